using System.Text.Json.Nodes;
using Perenos.Checkpoints;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>The families that can be opened.</summary>
public static class ModelCatalogue
{
    /// <summary>All of them.</summary>
    public static IReadOnlyList<ModelFamily> Families { get; } =
    [
        BioGpt.Family,
        Bloom.Family,
        CodeGen.Family,
        Cohere.Family,
        Falcon.Family,
        Gemma.Family,
        Gemma2.Family,
        Gemma3.Family,
        Gpt2.Family,
        GptBigCode.Family,
        GptJ.Family,
        GptNeo.Family,
        GptNeoX.Family,
        Granite.Family,
        Llama.Family,
        Mistral.Family,
        Mixtral.Family,
        Olmo2.Family,
        Olmoe.Family,
        Opt.Family,
        Phi.Family,
        Phi3.Family,
        Qwen2.Family,
        Qwen3.Family,
        Qwen3Moe.Family,
        SmolLm3.Family,
        StableLm.Family,
        Starcoder2.Family,
    ];

    /// <summary>The family of a configuration.</summary>
    /// <exception cref="PerenosException">The family is not known.</exception>
    public static ModelFamily FamilyOf(JsonObject config, string location)
    {
        string? type = config["model_type"]?.ToString();
        return Families.FirstOrDefault(family => family.ModelType == type) ?? throw new PerenosException(
            $"{location}: the model type \"{type ?? "(missing)"}\" is not known.",
            KnownAndNearest(type));
    }

    /// <summary>Builds the model of a configuration and fills it from a checkpoint.</summary>
    /// <exception cref="PerenosException">Configuration and checkpoint do not fit, or a weight is not finite.</exception>
    public static CausalModel Load(JsonObject config, string location, ITensorSource tensors, ScalarType type) =>
        Fill(config, location, tensors, type).Model;

    /// <summary>
    /// Every weight that the model of a configuration takes from a checkpoint: its name in the model, and its name in the file. Checks
    /// what <see cref="Load"/> checks but the values; of these only a head that may repeat the embedding is read.
    /// </summary>
    /// <exception cref="PerenosException">Configuration and checkpoint do not fit.</exception>
    public static IReadOnlyDictionary<string, string> Outline(JsonObject config, string location, ITensorSource tensors)
    {
        var (model, weights) = Fill(config, location, tensors, type: null);
        model.Dispose();
        return weights.Taken;
    }

    private static (CausalModel Model, CheckpointWeights Weights) Fill(JsonObject config, string location, ITensorSource tensors, ScalarType? type)
    {
        var family = FamilyOf(config, location);
        var settings = family.Read(config, location);
        bool repeatsEmbedding = settings.IsTied && RepeatsEmbedding(family, tensors);
        var weights = new CheckpointWeights(tensors, type, name => repeatsEmbedding && name == family.HeadName ? [] : family.Spellings(name));
        var model = family.Build(settings, weights);
        weights.RefuseSurplus(name => family.IsHarmless(name) || repeatsEmbedding && name == family.HeadName);
        return (model, weights);
    }

    /// <summary>Builds the model of a configuration with random weights.</summary>
    public static CausalModel Start(JsonObject config, string location, ulong seed, ScalarType type)
    {
        var family = FamilyOf(config, location);
        return family.Build(family.Read(config, location), new SeededWeights(seed, type));
    }

    private static string KnownAndNearest(string? type)
    {
        var known = Families.Select(family => family.ModelType).Order(StringComparer.Ordinal).ToList();
        string? nearest = type is null ? null : NearestName.Of(type, known);
        return $"{(nearest is null ? "" : $"Nearest: {nearest}. ")}Known: {string.Join(", ", known)}.";
    }

    // A tied head that was saved all the same, as the very same numbers: still tied.
    private static bool RepeatsEmbedding(ModelFamily family, ITensorSource tensors)
    {
        string? embedding = family.Spellings(family.EmbeddingName).FirstOrDefault(tensors.Tensors.ContainsKey);
        if (embedding is null || !tensors.Tensors.TryGetValue(family.HeadName, out var head) || !tensors.Tensors[embedding].Shape.SequenceEqual(head.Shape))
            return false;
        using var left = tensors.Read(embedding);
        using var right = tensors.Read(family.HeadName);
        return left.equal(right).all().item<bool>();
    }
}
