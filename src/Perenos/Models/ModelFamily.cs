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

    /// <summary>How the names of buffers end that old versions saved and that mean nothing: causal masks, rotary frequencies.</summary>
    public IReadOnlyList<string> OldBuffers { get; init; } = [".rotary_emb.inv_freq"];

    /// <summary>Names under which a weight may lie in a file, likeliest first: as given, and without the prefix of the class that has the head.</summary>
    public IEnumerable<string> Spellings(string name)
    {
        string prefix = EmbeddingName[..(EmbeddingName.IndexOf('.', StringComparison.Ordinal) + 1)];
        return name.StartsWith(prefix, StringComparison.Ordinal) ? [name, name[prefix.Length..]] : [name];
    }

    /// <summary>Whether a tensor that no part of the model asked for may be left alone.</summary>
    public bool IsHarmless(string name) => OldBuffers.Any(ending => name.EndsWith(ending, StringComparison.Ordinal));

    internal static ModelFamily Of<TConfig>(
        string modelType, string architecture, string embeddingName, Func<ConfigReader, TConfig> read, Func<TConfig, WeightSource, CausalModel> build)
        where TConfig : ModelConfig =>
        new(modelType, architecture, (json, location) => read(new ConfigReader(json, location)), (config, weights) => build((TConfig)config, weights), embeddingName);
}
