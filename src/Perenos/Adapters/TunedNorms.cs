using System.Text.Json.Nodes;
using Perenos.Layers;
using Perenos.Runs;
using Perenos.Runs.Config;

namespace Perenos.Adapters;

/// <summary>Training the norms' weights and biases, and nothing else (PEFT's LN_TUNING; Zhao et al. 2023, https://arxiv.org/abs/2312.11420).</summary>
public static class TunedNorms
{
    internal const string Method = "LN_TUNING";

    /// <summary>All norms learn, from where they are.</summary>
    /// <exception cref="PerenosException">The model's norms have no weights.</exception>
    public static Adapter Start(ModelParts parts, NormConfig settings, ulong seed)
    {
        if (parts.NormWeights.Count == 0)
            throw new PerenosException("The norms of this model have no weights to train.", "Use method lora.");
        var modules = parts.NormWeights.Select(name => name[..name.LastIndexOf('.')]).ToHashSet();
        return PeftMethods.Start(new JsonObject
        {
            ["auto_mapping"] = null,
            ["exclude_modules"] = null,
            ["inference_mode"] = true,
            ["modules_to_save"] = null,
            ["peft_type"] = Method,
            ["revision"] = null,
            ["target_modules"] = new JsonArray([.. modules.Order(StringComparer.Ordinal).Select(name => (JsonNode)name)]),
            ["task_type"] = "CAUSAL_LM",
        }, parts, seed);
    }

    internal static UpdateDropout? Place(PeftConfig config, AdapterWeights weights, ModelParts parts, List<AdapterPart> pieces)
    {
        config.RefuseUnknown("target_modules", "exclude_modules", "modules_to_save");
        foreach (string module in ReplacedModules.LeafModules(parts).Where(config.IsTarget))
            pieces.AddRange(ReplacedModules.Replace(module, leaf => $"ln_tuning_layers.{leaf}", weights, parts, config));
        if (pieces.Count == 0)
            throw config.NothingMatches(parts);
        ReplacedModules.Place(config, weights, parts, pieces);
        return null;
    }
}
