using System.Diagnostics.CodeAnalysis;
using System.Text.Json.Nodes;
using Perenos.Runs;

namespace Perenos.Models;

/// <summary>What every family's <c>config.json</c> has in common.</summary>
public abstract record ModelConfig
{
    /// <summary>A configuration whose values are all given.</summary>
    protected ModelConfig()
    {
    }

    /// <summary>Reads what is common from the keys that most families give it.</summary>
    [SetsRequiredMembers]
    private protected ModelConfig(ConfigReader reader, string modelType, long absentMaximumLength, bool isTiedWhereAbsent)
    {
        ModelType = modelType;
        VocabularySize = reader.Size("vocab_size");
        Width = reader.Size("hidden_size");
        LayerCount = (int)reader.Size("num_hidden_layers");
        MaximumLength = reader.Size("max_position_embeddings", absentMaximumLength);
        IsTied = reader.Flag("tie_word_embeddings", isTiedWhereAbsent);
        Json = reader.Json;
    }

    /// <summary>The family's name on disk, such as <c>llama</c>.</summary>
    public required string ModelType { get; init; }

    /// <summary>Rows of the embedding.</summary>
    public required long VocabularySize { get; init; }

    /// <summary>Width of hidden states, C.</summary>
    public required long Width { get; init; }

    /// <summary>Number of blocks.</summary>
    public required int LayerCount { get; init; }

    /// <summary>Most tokens that the model was made for.</summary>
    public required long MaximumLength { get; init; }

    /// <summary>Whether the head shares the embedding's weight.</summary>
    public required bool IsTied { get; init; }

    /// <summary>The configuration as read, kept so that saving loses nothing.</summary>
    public required JsonObject Json { get; init; }
}

/// <summary>Reads values of a <c>config.json</c>; what is wrong is named by file and key.</summary>
internal sealed class ConfigReader(JsonObject json, string location)
{
    public JsonObject Json => json;

    public string Location => location;

    public long Integer(string key) => OptionalInteger(key) ?? throw Missing(key);

    public long? OptionalInteger(string key) => Number(key) switch
    {
        null => null,
        { } number when number == Math.Floor(number) && Math.Abs(number) < 1e15 => (long)number,
        _ => throw Wrong(key, "a whole number"),
    };

    public double? Number(string key)
    {
        var node = json[key];
        if (node is null)
            return null;
        return node is JsonValue value && value.GetValueKind() == System.Text.Json.JsonValueKind.Number && double.IsFinite(value.GetValue<double>())
            ? value.GetValue<double>()
            : throw Wrong(key, "a number");
    }

    /// <summary>A size that memory is taken for: positive and of sane magnitude.</summary>
    public long Size(string key, long? absent = null)
    {
        long size = OptionalInteger(key) ?? absent ?? throw Missing(key);
        return size is > 0 and <= int.MaxValue ? size : throw Wrong(key, "a positive size");
    }

    /// <summary>A size, or none where the file says null; what is absent takes the family's value.</summary>
    public long? SizeOrNone(string key, long? absent) => Has(key) ? Size(key) : json.ContainsKey(key) ? null : absent;

    /// <summary>A number above 0, or none where the file says null; what is absent takes the family's value.</summary>
    public double? PositiveOrNone(string key, double? absent)
    {
        double? number = Has(key) ? Number(key) : json.ContainsKey(key) ? null : absent;
        return number is null or > 0 ? number : throw Wrong(key, "a number above 0");
    }

    public bool Flag(string key, bool absent)
    {
        var node = json[key];
        if (node is null)
            return absent;
        return node is JsonValue value && value.TryGetValue(out bool flag) ? flag : throw Wrong(key, "true or false");
    }

    public string? Text(string key)
    {
        var node = json[key];
        if (node is null)
            return null;
        return node is JsonValue value && value.TryGetValue(out string? text) ? text : throw Wrong(key, "a text");
    }

    /// <summary>A list of numbers.</summary>
    public IReadOnlyList<double> Numbers(string key)
    {
        if (json[key] is not JsonArray list || !list.All(entry => entry is JsonValue value && value.GetValueKind() == System.Text.Json.JsonValueKind.Number))
            throw Wrong(key, "a list of numbers");
        return [.. list.Select(entry => entry!.GetValue<double>())];
    }

    public bool Has(string key) => json[key] is not null;

    public ConfigReader? Section(string key) => json[key] switch
    {
        null => null,
        JsonObject section => new ConfigReader(section, $"{location}: {key}"),
        _ => throw Wrong(key, "a section"),
    };

    /// <summary>Refuses a value that would change the computation and that no code here implements.</summary>
    public void Refuse(string key, Func<JsonNode, bool> isPlain, string implemented)
    {
        if (json[key] is { } node && !isPlain(node))
            throw new PerenosException($"{location}: {key} = {node.ToJsonString()} is not implemented.", $"Implemented: {implemented}.");
    }

    /// <summary>Refuses <c>true</c> for an option that no code here implements.</summary>
    public void RefuseTrue(string key)
    {
        if (Flag(key, absent: false))
            throw new PerenosException($"{location}: {key} = true is not implemented.", "Implemented: false.");
    }

    /// <summary>Heads, and the size of each where they share the width.</summary>
    public int Heads(string key, long width)
    {
        long heads = Size(key);
        return width % heads == 0 ? (int)heads : throw Wrong(key, $"a divisor of the width ({width})");
    }

    /// <summary>The key that is present: the first, or another spelling of it.</summary>
    public string Either(string key, string otherSpelling) => json[key] is null && json[otherSpelling] is not null ? otherSpelling : key;

    public PerenosException Wrong(string key, string expected) =>
        new($"{location}: {key} = {json[key]?.ToJsonString()} is not {expected}.", "Take config.json from the checkpoint's original folder.");

    private PerenosException Missing(string key) =>
        new($"{location}: {key} is missing.", "Take config.json from the checkpoint's original folder.");
}
