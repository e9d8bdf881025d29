using System.Text.Json.Nodes;
using Perenos.Layers;
using Perenos.Runs;
using Perenos.Runs.Config;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>
/// (IA)³: activations are rescaled by learnt vectors, the outputs of attention layers and the inputs of feed-forward layers
/// (Liu et al. 2022, https://arxiv.org/abs/2205.05638). The vectors start at 1, so the model is unchanged at the start.
/// </summary>
public static class Ia3
{
    // The keys, the values and the second layer of the feed-forward part, as in the paper, under the names of the families.
    private static readonly string[] UsualOutputs = ["k_proj", "v_proj", "attn.c_attn", "query_key_value", "qkv_proj"];
    private static readonly string[] UsualInputs = ["down_proj", "mlp.c_proj", "dense_4h_to_h", "fc_out", "fc2", "w2"];

    internal const string Method = "IA3";

    /// <summary>Fresh scales, attached.</summary>
    /// <exception cref="PerenosException">A setting names a layer that the model does not have.</exception>
    public static Adapter Start(ModelParts parts, Ia3Config settings, ulong seed)
    {
        var (outputs, inputs) = (settings.OutputTargets, settings.InputTargets);
        if (outputs.Count + inputs.Count == 0)
            (outputs, inputs) = Usual(parts);
        JsonArray Names(IReadOnlyList<string> targets) => targets.Count == 0
            ? []
            : new JsonArray([.. PeftNames.Shortest(TargetLayers.Choose(parts, targets), parts).Select(name => (JsonNode)name)]);
        return PeftMethods.Start(new JsonObject
        {
            ["auto_mapping"] = null,
            ["exclude_modules"] = null,
            ["fan_in_fan_out"] = parts.Projections.Any(projection => projection.IsTransposed),
            ["feedforward_modules"] = Names(inputs),
            ["inference_mode"] = true,
            ["init_ia3_weights"] = true,
            ["modules_to_save"] = null,
            ["peft_type"] = Method,
            ["revision"] = null,
            ["target_modules"] = Names([.. outputs, .. inputs]),
            ["task_type"] = "CAUSAL_LM",
        }, parts, seed);
    }

    internal static UpdateDropout? Place(PeftConfig config, AdapterWeights weights, ModelParts parts, List<AdapterPart> pieces)
    {
        config.RefuseUnknown("target_modules", "feedforward_modules", "exclude_modules", "modules_to_save");
        foreach (var target in config.Projections(parts))
        {
            bool isInput = IsFeedForward(config, target.Path);
            long[] shape = isInput ? [1, target.Inputs] : [target.Outputs, 1];
            var scale = weights.Take(target.Path, "ia3_l", shape, target.Weight, _ => ones(shape));
            pieces.Add(new ProjectionPart(target, new Ia3Update(scale, isInput)));
        }

        if (pieces.Count == 0)
            throw config.NothingMatches(parts);
        ReplacedModules.Place(config, weights, parts, pieces);
        return null;
    }

    // PEFT looks at the end of the name here, whether or not a dot stands before it.
    private static bool IsFeedForward(PeftConfig config, string path) => config.Json["feedforward_modules"] is JsonValue
        ? PeftNames.MatchesWhole(path, config.Text("feedforward_modules")!)
        : config.Texts("feedforward_modules").Any(entry => path.EndsWith(entry, StringComparison.Ordinal));

    private static (IReadOnlyList<string> Outputs, IReadOnlyList<string> Inputs) Usual(ModelParts parts)
    {
        bool Has(string end) => parts.Projections.Any(projection => PeftNames.IsOrEndsIn(projection.Path, end));
        string[] outputs = [.. UsualOutputs.Where(Has)];
        string[] inputs = [.. UsualInputs.Where(Has)];
        return outputs.Length > 0 && inputs.Length > 0
            ? (outputs, inputs)
            : throw new PerenosException("(IA)³ has no usual layers for this family.", $"Set method.output_targets and method.input_targets; the model has {PeftNames.Ends(parts)}.");
    }
}

/// <summary>The scales of one layer.</summary>
/// <param name="scale">[outputs, 1], or [1, inputs] before a feed-forward layer.</param>
/// <param name="isInput">Whether inputs are scaled.</param>
internal sealed class Ia3Update(Tensor scale, bool isInput) : IProjectionUpdate
{
    private readonly Tensor _scale = scale.DetachFromDisposeScope();

    public IEnumerable<(string Leaf, Tensor Tensor)> Weights => [("ia3_l", _scale)];

    public Tensor Apply(Tensor input, Func<Tensor, Tensor> inner)
    {
        using var scope = NewDisposeScope();
        var line = _scale.flatten().to(input.dtype);
        return (isInput ? inner(input.mul(line)) : inner(input).mul(line)).MoveToOuterDisposeScope();
    }

    // [outputs, 1] scales rows, [1, inputs] columns.
    public Tensor MergedWeight(Tensor weight) => weight.mul(_scale);

    public Tensor MergedBias(Tensor bias) => isInput ? bias : bias.mul(_scale.flatten());

    public void Dispose() => _scale.Dispose();
}
