using System.Text.Json;
using System.Text.Json.Nodes;
using Perenos.Layers;
using Perenos.Runs;

namespace Perenos.Adapters;

/// <summary>PEFT's <c>adapter_config.json</c>; what would change the result and is not implemented is named, never dropped.</summary>
internal sealed class PeftConfig(JsonObject json, string location)
{
    // Keys that every method may have and that change nothing once the numbers are trained.
    private static readonly HashSet<string> Harmless =
    [
        "auto_mapping", "base_model_name_or_path", "inference_mode", "peft_type", "peft_version", "revision", "task_type",
        "fan_in_fan_out", "megatron_core", "qalora_group_size", "loftq_config", "eva_config", "corda_config", "lora_ga_config",
        "init_weights", "init_ia3_weights", "tokenizer_name_or_path", "tokenizer_kwargs", "num_transformer_submodules",
    ];

    /// <summary>A configuration that was made here instead of read.</summary>
    public static PeftConfig Made(JsonObject json, string location) =>
        // Parsed again: numbers of a file are read as any type, those of a program only as their own.
        new(JsonNode.Parse(json.ToJsonString())!.AsObject(), location);

    public JsonObject Json => json;

    public string Location => location;

    /// <summary>The method, such as <c>LORA</c>.</summary>
    public string Method => Text("peft_type") ?? throw Wrong("peft_type", "the name of a method");

    /// <summary>Refuses keys that are neither known to the method nor off.</summary>
    public void RefuseUnknown(params ReadOnlySpan<string> known)
    {
        if (Text("task_type") is { } task && task != "CAUSAL_LM")
            throw new PerenosException($"{location}: task_type = \"{task}\" is not implemented.", "Implemented: CAUSAL_LM, a language model.");
        foreach (var (key, value) in json)
        {
            if (!Harmless.Contains(key) && !known.Contains(key) && !IsOff(value))
                throw NotImplemented(key);
        }
    }

    public PerenosException NotImplemented(string key) => new(
        $"{location}: {key} = {json[key]?.ToJsonString() ?? "(missing)"} is not implemented for {Text("peft_type")}.",
        "Open the adapter with the program that made it, or merge it there.");

    public PerenosException Wrong(string key, string expected) => new(
        $"{location}: {key} = {json[key]?.ToJsonString() ?? "(missing)"} is not {expected}.", "Take adapter_config.json as PEFT wrote it.");

    public bool Flag(string key) => !IsOff(json[key]);

    public double? Number(string key) => json[key] is { } node ? Number(node, key) : null;

    public double Number(JsonNode node, string key) =>
        node is JsonValue value && value.GetValueKind() == JsonValueKind.Number && double.IsFinite(value.GetValue<double>()) ? value.GetValue<double>() : throw Wrong(key, "a number");

    /// <summary>A size for which memory is taken: positive and of sane magnitude.</summary>
    public int Size(string key, int? absent = null) => json[key] is { } node ? Size(node, key) : absent ?? throw Wrong(key, "a positive number");

    public int Size(JsonNode node, string key)
    {
        double number = Number(node, key);
        return number == Math.Floor(number) && number is >= 1 and <= 1 << 24 ? (int)number : throw Wrong(key, "a positive whole number");
    }

    public string? Text(string key) => json[key] switch
    {
        null => null,
        JsonValue value when value.TryGetValue(out string? text) => text,
        _ => throw Wrong(key, "a text"),
    };

    public IReadOnlyList<string> Texts(string key) => json[key] switch
    {
        null => [],
        JsonArray array => [.. array.Select(node => node?.ToString() ?? throw Wrong(key, "a list of names"))],
        _ => throw Wrong(key, "a list of names"),
    };

    public IReadOnlyList<long> Indices(JsonNode? node, string key) => node is JsonArray array
        ? [.. array.Select(entry => entry is JsonValue value && value.TryGetValue(out long index) ? index : throw Wrong(key, "a list of token numbers"))]
        : throw Wrong(key, "a list of token numbers");

    /// <summary>Linear layers that <c>target_modules</c> reaches; <c>all-linear</c> means all but the output head.</summary>
    public IReadOnlyList<Projection> Projections(ModelParts parts) =>
        [.. parts.Projections.Where(projection => IsAllLinear ? !ReferenceEquals(projection, parts.Projections[^1]) && !IsExcluded(projection.Path) : IsTarget(projection.Path))];

    /// <summary>Embeddings that <c>target_modules</c> reaches.</summary>
    public IReadOnlyList<TokenEmbedding> Embeddings(ModelParts parts) =>
        IsAllLinear ? [] : [.. parts.Embeddings.Where(embedding => IsTarget(embedding.Path))];

    /// <summary>PEFT's <c>check_target_module_exists</c>.</summary>
    public bool IsTarget(string path)
    {
        if (IsExcluded(path))
            return false;
        if (json["target_modules"] is JsonValue)
            return PeftNames.MatchesWhole(path, Text("target_modules")!);
        var entries = Texts("target_modules");
        return entries.Contains(path) || entries.Any(entry => PeftNames.IsOrEndsIn(path, entry)) && IsInLayers(path);
    }

    /// <summary>Nothing was reached: the adapter belongs to another model.</summary>
    public PerenosException NothingMatches(ModelParts parts) => new(
        $"{location}: target_modules = {json["target_modules"]?.ToJsonString() ?? "null"} matches no layer of the model.",
        $"The adapter belongs to another model; this one has {PeftNames.Ends(parts)}.");

    /// <summary>The value of the first pattern in file order that matches a layer.</summary>
    public JsonNode? Pattern(string key, string path) => json[key] is JsonObject patterns
        ? patterns.FirstOrDefault(pattern => PeftNames.MatchesEnd(path, pattern.Key)).Value
        : null;

    /// <summary>The rank of a layer, by pattern or for all.</summary>
    public int RankOf(string path) => Pattern("rank_pattern", path) is { } rank ? Size(rank, "rank_pattern") : Size("r", 8);

    /// <summary>The alpha of a layer, by pattern or for all.</summary>
    public double AlphaOf(string path, string key = "lora_alpha") =>
        Pattern("alpha_pattern", path) is { } alpha ? Number(alpha, "alpha_pattern") : Number(key) ?? 8;

    private bool IsAllLinear => json["target_modules"] is JsonValue && "all-linear".Equals(Text("target_modules"), StringComparison.OrdinalIgnoreCase);

    private bool IsExcluded(string path)
    {
        bool isNamed = json["exclude_modules"] is JsonValue
            ? PeftNames.MatchesWhole(path, Text("exclude_modules")!)
            : Texts("exclude_modules").Any(entry => PeftNames.IsOrEndsIn(path, entry));
        return isNamed || Texts("modules_to_save").Any(entry => PeftNames.LiesIn(path, entry));
    }

    // layers_to_transform looks at the first numbered part of the name, or at the one behind layers_pattern.
    private bool IsInLayers(string path)
    {
        List<int>? wanted = json["layers_to_transform"] switch
        {
            null or JsonArray { Count: 0 } => null,
            JsonArray array => [.. array.Select(Index)],
            { } single => [Index(single)],
        };
        if (wanted is null)
            return true;
        var patterns = json["layers_pattern"] is JsonValue ? [Text("layers_pattern")!] : Texts("layers_pattern");
        if (patterns.All(pattern => pattern.Length == 0))
            patterns = ["[^.]*"];
        var match = patterns.Select(pattern => PeftNames.Find(path, $@"\A.*?\.{pattern}\.([0-9]+)\.", pattern)).FirstOrDefault(match => match.Success);
        return match is not null && int.TryParse(match.Groups[^1].Value, out int index) && wanted.Contains(index);
    }

    private int Index(JsonNode? node) =>
        node is JsonValue value && value.TryGetValue(out int index) ? index : throw Wrong("layers_to_transform", "a whole number or a list of them");

    private static bool IsOff(JsonNode? node) => node switch
    {
        null => true,
        JsonArray array => array.Count == 0,
        JsonObject section => section.Count == 0,
        JsonValue value when value.TryGetValue(out string? text) => text is "" or "none",
        JsonValue value when value.GetValueKind() == JsonValueKind.Number => value.GetValue<double>() == 0,
        _ => node.GetValueKind() == JsonValueKind.False,
    };
}
