using System.Text.Json.Nodes;
using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>
/// The start of a LoRA from the principal directions of the weight, W = U S Vᵀ: B₀ = U_r √(S_r / s), A₀ = √(S_r / s) V_rᵀ, and the base
/// counts less by s · B₀ A₀ (Meng et al. 2024, https://arxiv.org/abs/2404.02948). The base keeps its bits: what it counts less by is
/// subtracted beside it, and on disk stands the equal LoRA of twice the rank for the untouched base.
/// </summary>
internal static class Pissa
{
    /// <summary>Whether the start is PiSSA's; other starts that change the base are refused.</summary>
    public static bool IsAskedFor(PeftConfig config)
    {
        if (config.Json["init_lora_weights"] is not JsonValue value || !value.TryGetValue(out string? start))
            return false;
        return start switch
        {
            "pissa" => true,
            "gaussian" or "orthogonal" or "eva" => false,
            // Random factorisations do not come back the same, and the others have changed the base in ways that only their own program repeats.
            _ => throw config.NotImplemented("init_lora_weights"),
        };
    }

    /// <summary>B₀ and A₀ of a layer.</summary>
    public static PrincipalPair PrincipalPair(Projection target, int rank, double scale)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        var weight = target.Weight.to(ScalarType.Float32);
        var (left, values, right) = linalg.svd(target.IsTransposed ? weight.t() : weight, fullMatrices: false);
        // A layer narrower than the rank has no more directions: zeros stand for the rest.
        long kept = Math.Min(rank, values.shape[0]);
        var roots = values.narrow(0, 0, kept).Times(1 / scale).sqrt();
        var (down, up) = (roots.unsqueeze(1).mul(right.narrow(0, 0, kept)), left.narrow(1, 0, kept).mul(roots));
        return new PrincipalPair(
            cat([down, zeros([rank - kept, target.Inputs], down.dtype, down.device)], 0).MoveToOuterDisposeScope(),
            cat([up, zeros([target.Outputs, rank - kept], up.dtype, up.device)], 1).MoveToOuterDisposeScope());
    }

    /// <summary>The configuration of the equal LoRA: A and A₀ above each other, B and −B₀ side by side, twice the rank, the same factor.</summary>
    public static void DescribeAsConverted(JsonObject config)
    {
        bool isRankStabilized = config["use_rslora"]?.GetValue<bool>() == true;
        void Multiply(JsonObject section, string key, double factor, double absent) =>
            section[key] = PeftNumber.Of(factor * (section[key]?.GetValue<double>() ?? absent));

        double forAlpha = isRankStabilized ? Math.Sqrt(2) : 2;
        Multiply(config, "r", 2, absent: 8);
        Multiply(config, "lora_alpha", forAlpha, absent: 8);
        foreach (var (key, factor) in new[] { ("rank_pattern", 2.0), ("alpha_pattern", forAlpha) })
        {
            if (config[key] is JsonObject patterns)
                patterns.Select(pattern => pattern.Key).ToList().ForEach(pattern => Multiply(patterns, pattern, factor, 0));
        }

        config["init_lora_weights"] = true;
    }
}

/// <summary>A low-rank pair that a layer started from.</summary>
/// <param name="Down">A₀, [rank, inputs].</param>
/// <param name="Up">B₀, [outputs, rank].</param>
internal sealed record PrincipalPair(Tensor Down, Tensor Up) : IDisposable
{
    public void Dispose()
    {
        Down.Dispose();
        Up.Dispose();
    }
}
