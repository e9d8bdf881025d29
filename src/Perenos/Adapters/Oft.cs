using Perenos.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>
/// OFT, opened for use: the input of a layer is rotated block by block, y = W (x R) + b, R the Cayley transform of a skew-symmetric
/// matrix (Qiu et al. 2023, https://arxiv.org/abs/2306.07280), exact or as a Neumann series.
/// </summary>
internal static class Oft
{
    internal const string Method = "OFT";

    public static UpdateDropout? Place(PeftConfig config, AdapterWeights weights, ModelParts parts, List<AdapterPart> pieces)
    {
        config.RefuseUnknown("r", "oft_block_size", "module_dropout", "target_modules", "exclude_modules", "bias", "layers_to_transform", "layers_pattern",
            "modules_to_save", "coft", "eps", "block_share", "use_cayley_neumann", "num_cayley_neumann_terms");
        if (config.Flag("bias"))
            throw config.NotImplemented("bias");
        bool isExact = config.Json["use_cayley_neumann"] is not null && !config.Flag("use_cayley_neumann");
        int terms = config.Size("num_cayley_neumann_terms", 5);
        foreach (var target in config.Projections(parts))
        {
            long size = BlockSize(config, target.Inputs);
            long blocks = target.Inputs / size, own = config.Flag("block_share") ? 1 : blocks;
            var angles = weights.Take(target.Path, "oft_R.weight", [own, size * (size - 1) / 2], target.Weight, _ => zeros([own, size * (size - 1) / 2]));
            if (config.Flag("coft"))
                angles = Constrained(angles, (config.Number("eps") ?? 6e-5) / Math.Sqrt(own));
            pieces.Add(new ProjectionPart(target, new OftUpdate(angles, size, blocks, isExact ? null : terms)));
        }

        if (pieces.Count == 0)
            throw config.NothingMatches(parts);
        ReplacedModules.Place(config, weights, parts, pieces);
        return null;
    }

    // Given is the size of a block or, instead, their number; PEFT moves what does not divide to the nearest divisor.
    private static long BlockSize(PeftConfig config, long inputs)
    {
        double given = config.Number("oft_block_size") ?? 32;
        if (given == 0)
            return inputs / Divisor(inputs, config.Size("r"));
        if (config.Number("r") is { } blocks && blocks != 0)
            throw config.Wrong("r", "0, as it must be where oft_block_size is given");
        return Divisor(inputs, config.Size("oft_block_size", 32));
    }

    private static long Divisor(long size, long wanted)
    {
        if (wanted >= size)
            return size;
        long above = wanted, below = wanted;
        while (size % above != 0)
            above++;
        while (below > 1 && size % below != 0)
            below--;
        return wanted - below <= above - wanted ? below : above;
    }

    // Constrained OFT: each block's skew-symmetric matrix stays within a ball; its norm counts every angle twice.
    private static Tensor Constrained(Tensor angles, double radius)
    {
        using var limit = radius.ToScalar();
        using var one = 1.0.ToScalar();
        var norm = angles.mul(angles).sum(1, keepdim: true).Times(2).sqrt();
        return angles.mul(full_like(norm, limit).div(norm).clamp_max(one));
    }
}

/// <summary>The rotation of one layer's input.</summary>
/// <param name="angles">[own blocks, size · (size − 1) / 2]: the upper triangles; one for all blocks where they are shared.</param>
/// <param name="size">Size of a block.</param>
/// <param name="blocks">Number of blocks.</param>
/// <param name="terms">Terms of the Neumann series, or null for the exact transform.</param>
internal sealed class OftUpdate(Tensor angles, long size, long blocks, int? terms) : IProjectionUpdate
{
    private readonly Tensor _angles = angles.DetachFromDisposeScope();

    public IEnumerable<(string Leaf, Tensor Tensor)> Weights => [("oft_R.weight", _angles)];

    public Tensor Apply(Tensor input, Func<Tensor, Tensor> inner)
    {
        using var scope = NewDisposeScope();
        // (…, inputs) -> (n, blocks, 1, size) · (blocks, size, size) -> (…, inputs)
        var parts = input.reshape(-1, blocks, 1, size);
        var turned = parts.matmul(Rotations().to(input.dtype)).reshape(input.shape);
        return inner(turned).MoveToOuterDisposeScope();
    }

    // W (x R) = (W Rᵀ) x for a row x: block by block, w R_bᵀ.
    public Tensor MergedWeight(Tensor weight) =>
        weight.reshape(weight.shape[0], blocks, 1, size).matmul(Rotations().transpose(1, 2)).reshape(weight.shape);

    public void Dispose() => _angles.Dispose();

    // (blocks, size, size); a shared block is repeated by broadcasting.
    private Tensor Rotations()
    {
        var places = triu_indices((int)size, (int)size, 1).to(_angles.device); // (2, size · (size − 1) / 2)
        var flat = zeros([_angles.shape[0], size * size], _angles.dtype, _angles.device)
            .index_copy(1, places[0].mul(Arithmetic.Filled([1], size, ScalarType.Int64, _angles.device)).Plus(places[1]), _angles);
        var upper = flat.view(-1, size, size);
        var skew = upper.sub(upper.transpose(1, 2));
        var identity = eye(size, dtype: _angles.dtype, device: _angles.device);
        if (terms is null)
            // R = (I − Q) (I + Q)⁻¹: from R (I + Q) = I − Q, transposed for the solver.
            return linalg.solve(identity.Plus(skew).transpose(1, 2), identity.sub(skew).transpose(1, 2)).transpose(1, 2);
        return Series(skew, identity, terms.Value);
    }

    // I + 2 Q + 2 Q² + … + Qⁿ: the last power counts once.
    private static Tensor Series(Tensor skew, Tensor identity, int terms)
    {
        var sum = identity.expand(skew.shape[0], -1, -1);
        if (terms > 1)
            sum = sum.Plus(skew.Times(2));
        if (terms > 2)
        {
            var power = skew.matmul(skew);
            sum = sum.Plus(power.Times(2));
            for (int term = 3; term < terms - 1; term++)
            {
                power = power.matmul(skew);
                sum = sum.Plus(power.Times(2));
            }

            sum = sum.Plus(power.matmul(skew));
        }

        return sum;
    }
}
