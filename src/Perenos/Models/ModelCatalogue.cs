using System.Text.Json.Nodes;
using Perenos.Checkpoints;
using Perenos.Layers;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>One family: how its configuration is read, its model built, and which oddities of old files are known.</summary>
/// <param name="ModelType">The family's name in <c>config.json</c>.</param>
/// <param name="Architecture">The class that transformers opens it with.</param>
/// <param name="Read">Reads the configuration.</param>
/// <param name="Build">Builds the model from weights.</param>
/// <param name="EmbeddingName">The weight that a tied head shares.</param>
/// <param name="Spellings">Names under which a weight may lie in a file.</param>
/// <param name="IsHarmless">Buffers of old files that mean nothing.</param>
public sealed record ModelFamily(
    string ModelType,
    string Architecture,
    Func<JsonObject, string, ModelConfig> Read,
    Func<ModelConfig, WeightSource, CausalModel> Build,
    string EmbeddingName,
    Func<string, IEnumerable<string>> Spellings,
    Func<string, bool> IsHarmless);

/// <summary>The families that can be opened.</summary>
public static class ModelCatalogue
{
    private const string HeadName = "lm_head.weight";

    /// <summary>All of them.</summary>
    public static IReadOnlyList<ModelFamily> Families { get; } =
    [
        new("llama", "LlamaForCausalLM",
            (json, location) => LlamaConfig.Read(new ConfigReader(json, location)),
            (config, weights) => new Llama((LlamaConfig)config, weights),
            "model.embed_tokens.weight",
            name => [name],
            name => name.EndsWith(".rotary_emb.inv_freq", StringComparison.Ordinal)),
        new("gpt2", "GPT2LMHeadModel",
            (json, location) => Gpt2Config.Read(new ConfigReader(json, location)),
            (config, weights) => new Gpt2((Gpt2Config)config, weights),
            "transformer.wte.weight",
            // The first file on the hub lacks the prefix.
            name => [name, name.Replace("transformer.", "", StringComparison.Ordinal)],
            // Causal masks that old versions saved.
            name => name.EndsWith(".attn.bias", StringComparison.Ordinal) || name.EndsWith(".attn.masked_bias", StringComparison.Ordinal)),
    ];

    /// <summary>The family of a configuration.</summary>
    /// <exception cref="PerenosException">The family is not known.</exception>
    public static ModelFamily FamilyOf(JsonObject config, string location)
    {
        string? type = config["model_type"]?.ToString();
        return Families.FirstOrDefault(family => family.ModelType == type) ?? throw new PerenosException(
            $"{location}: the model type \"{type ?? "(missing)"}\" is not known.",
            $"Known: {string.Join(", ", Families.Select(family => family.ModelType))}.");
    }

    /// <summary>Builds the model of a configuration and fills it from a checkpoint.</summary>
    /// <exception cref="PerenosException">Configuration and checkpoint do not fit, or a weight is not finite.</exception>
    public static CausalModel Load(JsonObject config, string location, ITensorSource tensors, ScalarType type)
    {
        var family = FamilyOf(config, location);
        var settings = family.Read(config, location);
        bool repeatsEmbedding = settings.IsTied && RepeatsEmbedding(family, tensors);
        var weights = new CheckpointWeights(tensors, type, name => repeatsEmbedding && name == HeadName ? [] : family.Spellings(name));
        var model = family.Build(settings, weights);
        weights.RefuseSurplus(name => family.IsHarmless(name) || repeatsEmbedding && name == HeadName);
        return model;
    }

    /// <summary>Builds the model of a configuration with random weights.</summary>
    public static CausalModel Start(JsonObject config, string location, ulong seed, ScalarType type)
    {
        var family = FamilyOf(config, location);
        return family.Build(family.Read(config, location), new SeededWeights(seed, type));
    }

    // A tied head that was saved all the same, as the very same numbers: still tied.
    private static bool RepeatsEmbedding(ModelFamily family, ITensorSource tensors)
    {
        string? embedding = family.Spellings(family.EmbeddingName).FirstOrDefault(tensors.Tensors.ContainsKey);
        if (embedding is null || !tensors.Tensors.TryGetValue(HeadName, out var head) || !tensors.Tensors[embedding].Shape.SequenceEqual(head.Shape))
            return false;
        using var left = tensors.Read(embedding);
        using var right = tensors.Read(HeadName);
        return left.equal(right).all().item<bool>();
    }
}
