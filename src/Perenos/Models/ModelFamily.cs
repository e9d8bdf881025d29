using System.Text.Json.Nodes;
using Perenos.Layers;

namespace Perenos.Models;

/// <summary>One family: how its configuration is read, its model built, and which oddities of old files are known.</summary>
/// <param name="ModelType">The family's name in <c>config.json</c>.</param>
/// <param name="Architecture">The class that transformers opens it with.</param>
/// <param name="Read">Reads the configuration.</param>
/// <param name="Build">Builds the model from weights.</param>
/// <param name="EmbeddingName">The weight that a tied head shares.</param>
public sealed record ModelFamily(
    string ModelType,
    string Architecture,
    Func<JsonObject, string, ModelConfig> Read,
    Func<ModelConfig, WeightSource, CausalModel> Build,
    string EmbeddingName)
{
    /// <summary>The weight of an untied head.</summary>
    public string HeadName { get; init; } = "lm_head.weight";

    /// <summary>Names under which a weight may lie in a file, likeliest first.</summary>
    public Func<string, IEnumerable<string>> Spellings { get; init; } = name => [name];

    /// <summary>Buffers of old files that mean nothing.</summary>
    public Func<string, bool> IsHarmless { get; init; } = IsRotaryBuffer;

    internal static ModelFamily Of<TConfig>(
        string modelType, string architecture, string embeddingName, Func<ConfigReader, TConfig> read, Func<TConfig, WeightSource, CausalModel> build)
        where TConfig : ModelConfig =>
        new(modelType, architecture, (json, location) => read(new ConfigReader(json, location)), (config, weights) => build((TConfig)config, weights), embeddingName);

    /// <summary>Frequencies that versions before 4.32 saved with every layer.</summary>
    internal static bool IsRotaryBuffer(string name) => name.EndsWith(".rotary_emb.inv_freq", StringComparison.Ordinal);

    /// <summary>Causal masks that old versions saved with every layer of attention.</summary>
    internal static bool IsMaskBuffer(string name) =>
        name.EndsWith(".attn.bias", StringComparison.Ordinal) || name.EndsWith(".attn.masked_bias", StringComparison.Ordinal);

    /// <summary>The name, and the one without the class's prefix, as in a file that was saved from the bare model.</summary>
    internal static IEnumerable<string> WithAndWithoutPrefix(string name, string prefix) =>
        name.StartsWith(prefix, StringComparison.Ordinal) ? [name, name[prefix.Length..]] : [name];
}
