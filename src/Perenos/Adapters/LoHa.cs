using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>LoHa, opened for use: ΔW = alpha / r · (A₁ B₁) ⊙ (A₂ B₂) (Hyeon-Woo et al. 2021, https://arxiv.org/abs/2108.06098).</summary>
internal static class LoHa
{
    internal const string Method = "LOHA";

    public static UpdateDropout? Place(PeftConfig config, AdapterWeights weights, ModelParts parts, List<AdapterPart> pieces)
    {
        config.RefuseUnknown("r", "alpha", "rank_dropout", "module_dropout", "use_effective_conv2d", "target_modules", "exclude_modules",
            "layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern", "modules_to_save");
        foreach (var target in config.Projections(parts))
        {
            if (target.IsTransposed)
                throw config.NotImplemented("target_modules");
            int rank = config.RankOf(target.Path);
            double scale = config.AlphaOf(target.Path, "alpha") / rank;
            Tensor Take(string leaf, params long[] shape) => weights.Take(target.Path, leaf, shape, target.Weight, _ => zeros(shape)).DetachFromDisposeScope();
            var (up1, down1) = (Take("hada_w1_a", target.Outputs, rank), Take("hada_w1_b", rank, target.Inputs));
            var (up2, down2) = (Take("hada_w2_a", target.Outputs, rank), Take("hada_w2_b", rank, target.Inputs));
            pieces.Add(new ProjectionPart(target, new WholeUpdate(
                [("hada_w1_a", up1), ("hada_w1_b", down1), ("hada_w2_a", up2), ("hada_w2_b", down2)],
                () => up1.matmul(down1).mul(up2.matmul(down2)).Times(scale))));
        }

        if (pieces.Count == 0)
            throw config.NothingMatches(parts);
        ReplacedModules.Place(config, weights, parts, pieces);
        return null;
    }
}
