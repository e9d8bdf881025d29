using System.Text.Json.Nodes;
using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>AdaLoRA, opened for use: W + alpha / (r + 1e-5) · B (E ⊙ A), ranks cut layer by layer in training (Zhang et al. 2023, https://arxiv.org/abs/2303.10512).</summary>
internal static class AdaLora
{
    internal const string Method = "ADALORA";

    public static UpdateDropout? Place(PeftConfig config, AdapterWeights weights, ModelParts parts, List<AdapterPart> pieces)
    {
        // The schedule of the ranks and the weight of orthogonality concern training only.
        config.RefuseUnknown("r", "lora_alpha", "lora_dropout", "target_modules", "exclude_modules", "bias", "init_lora_weights", "layers_to_transform",
            "layers_pattern", "rank_pattern", "modules_to_save", "init_r", "target_r", "tinit", "tfinal", "deltaT", "beta1", "beta2", "orth_reg_weight", "total_step");
        if (config.Flag("bias"))
            throw config.NotImplemented("bias");
        int first = config.Size("init_r", 12);
        double alpha = config.Number("lora_alpha") ?? 8;
        foreach (var target in config.Projections(parts))
        {
            long rank = RankOf(config, target.Path) ?? first;
            Tensor Take(string leaf, params long[] shape) => weights.Take(target.Path, leaf, shape, target.Weight, _ => zeros(shape));
            var (down, values, up) = (Take("lora_A", rank, target.Inputs), Take("lora_E", rank, 1), Take("lora_B", target.Outputs, rank));
            // The divisor is the rank at the start, also where ranks were cut since.
            pieces.Add(new ProjectionPart(target, new AdaLoraUpdate(down, values, up, (alpha > 0 ? alpha : first) / (first + 1e-5))));
        }

        if (pieces.Count == 0)
            throw config.NothingMatches(parts);
        ReplacedModules.Place(config, weights, parts, pieces);
        return null;
    }

    // rank_pattern holds, for each layer's lora_E, which of the first ranks were kept.
    private static long? RankOf(PeftConfig config, string path)
    {
        if (config.Json["rank_pattern"] is not JsonObject patterns)
            return null;
        var entry = patterns.FirstOrDefault(pattern => pattern.Key == $"{path}.lora_E" || pattern.Key.StartsWith($"{path}.lora_E.", StringComparison.Ordinal));
        return entry.Value switch
        {
            null => null,
            JsonArray kept => kept.Count(flag => flag is JsonValue value && value.TryGetValue(out bool isKept) ? isKept : throw config.Wrong("rank_pattern", "lists of true and false")),
            _ => throw config.Wrong("rank_pattern", "lists of true and false"),
        };
    }
}

/// <summary>The update of one layer.</summary>
/// <param name="down">A, [rank, inputs].</param>
/// <param name="values">E, [rank, 1].</param>
/// <param name="up">B, [outputs, rank].</param>
/// <param name="scale">Factor of the update.</param>
internal sealed class AdaLoraUpdate(Tensor down, Tensor values, Tensor up, double scale) : IProjectionUpdate
{
    private readonly Tensor _down = down.DetachFromDisposeScope(), _values = values.DetachFromDisposeScope(), _up = up.DetachFromDisposeScope();

    public IEnumerable<(string Leaf, Tensor Tensor)> Weights => [("lora_A", _down), ("lora_B", _up), ("lora_E", _values)];

    public Tensor Apply(Tensor input, Func<Tensor, Tensor> inner)
    {
        using var scope = NewDisposeScope();
        var narrow = nn.functional.linear(input, _down.mul(_values).to(input.dtype));
        return inner(input).Plus(nn.functional.linear(narrow, _up.to(input.dtype)).Times(scale)).MoveToOuterDisposeScope();
    }

    public Tensor MergedWeight(Tensor weight) => weight.Plus(_up.matmul(_down.mul(_values)).Times(scale));

    public void Dispose()
    {
        _down.Dispose();
        _values.Dispose();
        _up.Dispose();
    }
}
