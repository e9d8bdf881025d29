using System.Text.Json;
using System.Text.Json.Nodes;

namespace Perenos.Runs.Import;

/// <summary>Their keys on one side, our recipe on the other: each key is taken exactly once, and what is left over is reported too.</summary>
internal sealed class Translation(ConfigDocument document, JsonObject theirs)
{
    private readonly Dictionary<string, KeyReport> _reports = [];
    private readonly List<KeyReport> _defaults = [];

    public JsonObject Ours { get; } = [];

    /// <summary>Whether they set a key to something.</summary>
    public bool Has(string key) => theirs[key] is not null;

    public JsonNode? this[string key] => theirs[key];

    /// <summary>Sets a key of ours.</summary>
    public void Set(string ours, JsonNode? value)
    {
        string[] parts = ours.Split('.');
        var section = parts[..^1].Aggregate(Ours, (block, part) => (JsonObject)(block[part] ??= new JsonObject()));
        section[parts[^1]] = value;
    }

    /// <summary>Reports that a key became one of ours.</summary>
    public void Map(string key, string ours, JsonNode? value)
    {
        Set(ours, value);
        Report(key, KeyFate.Mapped, $"{ours} = {StrictShape.Show(value)}");
    }

    /// <summary>A number of theirs, or their default, under a key of ours.</summary>
    public void Number(string key, string ours, double? theirDefault)
    {
        if (Has(key))
            Map(key, ours, JsonValue.Create(Real(key)));
        else if (theirDefault is { } value)
            Default(key, ours, JsonValue.Create(value));
    }

    /// <summary>A whole number of theirs, or their default, under a key of ours.</summary>
    public void Whole(string key, string ours, int? theirDefault)
    {
        if (Has(key))
            Map(key, ours, JsonValue.Create(Integer(key)));
        else if (theirDefault is { } value)
            Default(key, ours, JsonValue.Create(value));
    }

    /// <summary>Their default where it is another than ours: written out, so that the recipe does the same.</summary>
    public void Default(string key, string ours, JsonNode value)
    {
        Set(ours, value);
        _defaults.Add(new KeyReport("(absent)", key, KeyFate.Mapped, $"{ours} = {StrictShape.Show(value)}, the default there"));
    }

    /// <summary>Something that nobody wrote and that is otherwise here.</summary>
    public void Differs(string key, string explanation) => _defaults.Add(new KeyReport("(absent)", key, KeyFate.Lost, explanation));

    public void Report(string key, KeyFate fate, string explanation) =>
        _reports[key] = new KeyReport(key, StrictShape.Show(theirs[key]), fate, explanation);

    /// <summary>Reports keys that change nothing here.</summary>
    public void Needless(string explanation, params string[] keys)
    {
        foreach (string key in keys.Where(key => theirs.ContainsKey(key) && !_reports.ContainsKey(key)))
            Report(key, KeyFate.Needless, explanation);
    }

    /// <summary>Reports keys that are not done here; switched off, they change nothing.</summary>
    public void Lost(string explanation, params string[] keys)
    {
        foreach (string key in keys.Where(key => theirs.ContainsKey(key) && !_reports.ContainsKey(key)))
            Report(key, IsOff(theirs[key]) ? KeyFate.Needless : KeyFate.Lost, IsOff(theirs[key]) ? "off" : explanation);
    }

    /// <summary>Every key in their order, then the defaults.</summary>
    public List<KeyReport> Reports()
    {
        foreach (var (key, value) in theirs)
        {
            if (!_reports.ContainsKey(key))
                Report(key, IsOff(value) ? KeyFate.Needless : KeyFate.Lost, IsOff(value) ? "off" : "the importer does not know this key");
        }

        return [.. theirs.Select(pair => _reports[pair.Key]), .. _defaults];
    }

    public double Real(string key) => theirs[key] is JsonValue value && value.TryGetValue(out double number) ? number
        // YAML 1.1 readers take 1e-4 without a dot for text, and the tools then convert it.
        : theirs[key] is JsonValue text && text.TryGetValue(out string? written) && double.TryParse(written, System.Globalization.CultureInfo.InvariantCulture, out number) ? number
        : throw Wrong(key, "a number");

    public int Integer(string key) => Real(key) is var number && number == (int)number ? (int)number : throw Wrong(key, "a whole number");

    public bool Flag(string key) => theirs[key] switch
    {
        null => false,
        JsonValue value when value.TryGetValue(out bool flag) => flag,
        JsonValue value when value.TryGetValue(out string? text) && text is "auto" or "true" or "True" => true,
        _ => throw Wrong(key, "true or false"),
    };

    public string Text(string key) => theirs[key] is JsonValue value && value.GetValueKind() == JsonValueKind.String ? value.GetValue<string>() : throw Wrong(key, "text");

    /// <summary>A list of texts; they also write it as one text with commas.</summary>
    public IReadOnlyList<string> Texts(string key) => theirs[key] switch
    {
        JsonArray list when list.All(item => item is JsonValue) => [.. list.Select(item => item!.ToString())],
        JsonValue value when value.GetValueKind() == JsonValueKind.String => value.GetValue<string>().Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries),
        _ => throw Wrong(key, "a list of names"),
    };

    /// <summary>Something without which there is no recipe.</summary>
    public PerenosException Impossible(string key, string why, string hint) =>
        new($"{document.At(key)}: {key} = {StrictShape.Show(theirs[key])}: {why}.", hint);

    public PerenosException Missing(string key, string hint) => new($"{document.Name} has no {key}.", hint);

    public static bool IsOff(JsonNode? value) => value switch
    {
        null => true,
        JsonArray list => list.Count == 0,
        JsonObject block => block.Count == 0,
        _ => value.GetValueKind() == JsonValueKind.False || value.ToString() is "" or "0" or "0.0" or "none" or "no",
    };

    private PerenosException Wrong(string key, string expected) => new($"{document.At(key)}: {key} is {StrictShape.Show(theirs[key])}, but must be {expected}.", "Correct the recipe there first.");
}
