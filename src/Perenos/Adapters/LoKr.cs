using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>LoKr, opened for use: ΔW = alpha / r · W₁ ⊗ W₂, a Kronecker product, each factor whole or of low rank (Yeh et al. 2023, https://arxiv.org/abs/2309.14859).</summary>
internal static class LoKr
{
    internal const string Method = "LOKR";

    public static UpdateDropout? Place(PeftConfig config, AdapterWeights weights, ModelParts parts, List<AdapterPart> pieces)
    {
        config.RefuseUnknown("r", "alpha", "rank_dropout", "module_dropout", "rank_dropout_scale", "use_effective_conv2d", "decompose_both", "decompose_factor",
            "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern", "modules_to_save");
        int factor = (int)(config.Number("decompose_factor") ?? -1);
        foreach (var target in config.Projections(parts))
        {
            if (target.IsTransposed)
                throw config.NotImplemented("target_modules");
            int rank = config.RankOf(target.Path);
            double scale = config.AlphaOf(target.Path, "alpha") / rank;
            var (outer, inner) = (Factors(target.Outputs, factor), Factors(target.Inputs, factor));
            List<(string Leaf, Tensor Tensor)> tensors = [];
            Tensor Take(string leaf, params long[] shape)
            {
                var tensor = weights.Take(target.Path, leaf, shape, target.Weight, _ => zeros(shape)).DetachFromDisposeScope();
                tensors.Add((leaf, tensor));
                return tensor;
            }

            // A factor is whole where a low rank would save nothing.
            Func<Tensor> Factor(string name, long rows, long columns, bool isWhole)
            {
                if (isWhole)
                {
                    var whole = Take(name, rows, columns);
                    return () => whole;
                }

                var (left, right) = (Take($"{name}_a", rows, rank), Take($"{name}_b", rank, columns));
                return () => left.matmul(right);
            }

            bool isFirstWhole = !(config.Flag("decompose_both") && rank < Math.Max(outer.Small, inner.Small) / 2.0);
            var first = Factor("lokr_w1", outer.Small, inner.Small, isFirstWhole);
            var second = Factor("lokr_w2", outer.Large, inner.Large, !(rank < Math.Max(outer.Large, inner.Large) / 2.0));
            pieces.Add(new ProjectionPart(target, new WholeUpdate(tensors, () => first().kron(second()).Times(scale))));
        }

        if (pieces.Count == 0)
            throw config.NothingMatches(parts);
        ReplacedModules.Place(config, weights, parts, pieces);
        return null;
    }

    /// <summary>Two factors of a size: one of them as given if it divides, otherwise as near to each other, or to it, as divisors go.</summary>
    internal static (long Small, long Large) Factors(long size, long factor)
    {
        if (factor > 0 && size % factor == 0)
            return (factor, size / factor);
        long most = factor == -1 ? size : factor;
        long best = 1;
        for (long divisor = 2; divisor * divisor <= size && divisor <= most; divisor++)
        {
            if (size % divisor == 0)
                best = divisor;
        }

        return (best, size / best);
    }
}
