using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>VeRA, opened for use: all layers share one random pair and learn two vectors, W + diag(b) B diag(d) A (Kopiczko et al. 2023, https://arxiv.org/abs/2310.11454).</summary>
internal static class Vera
{
    internal const string Method = "VERA";

    public static UpdateDropout? Place(PeftConfig config, AdapterWeights weights, ModelParts parts, List<AdapterPart> pieces)
    {
        config.RefuseUnknown("r", "target_modules", "exclude_modules", "vera_dropout", "bias", "d_initial", "layers_to_transform", "layers_pattern",
            "modules_to_save", "projection_prng_key", "save_projection");
        // Without the pair in the file it would have to be drawn again by another program's generator, which PEFT itself warns about.
        if (!config.Flag("save_projection"))
            throw config.NotImplemented("save_projection");
        if (config.Flag("bias"))
            throw config.NotImplemented("bias");
        var targets = config.Projections(parts);
        if (targets.Count == 0)
            throw config.NothingMatches(parts);
        int rank = config.Size("r", 256);
        Tensor Shared(string leaf, params long[] shape) => weights.Take("", $"base_model.{leaf}", shape, targets[0].Weight, _ => zeros(shape));
        var pair = new SharedPair(
            Shared("vera_A", rank, targets.Max(target => target.Inputs)), Shared("vera_B", targets.Max(target => target.Outputs), rank));
        pieces.Add(pair);
        foreach (var target in targets)
        {
            Tensor Take(string leaf, long length) => weights.Take(target.Path, leaf, [length], target.Weight, _ => zeros([length]));
            pieces.Add(new ProjectionPart(target, new VeraUpdate(pair, Take("vera_lambda_d", rank), Take("vera_lambda_b", target.Outputs))));
        }

        ReplacedModules.Place(config, weights, parts, pieces);
        return null;
    }
}

/// <summary>The frozen random pair of all layers: A [rank, widest input], B [widest output, rank].</summary>
internal sealed class SharedPair(Tensor down, Tensor up) : AdapterPart
{
    public Tensor Down { get; } = down.DetachFromDisposeScope();

    public Tensor Up { get; } = up.DetachFromDisposeScope();

    public override string Path => "shared pair";

    public override IEnumerable<(string Name, Tensor Tensor)> Weights => [];

    public override IEnumerable<(string Name, Tensor Tensor)> Saved => [("base_model.vera_A", Down), ("base_model.vera_B", Up)];

    public override void Attach()
    {
    }

    public override void Detach()
    {
    }

    public override void Merge()
    {
    }

    public override void Unmerge()
    {
    }

    public override void Dispose()
    {
        Down.Dispose();
        Up.Dispose();
    }
}

/// <summary>The vectors of one layer.</summary>
/// <param name="pair">A and B of all layers; each layer uses their first columns and rows.</param>
/// <param name="inner">d, [rank].</param>
/// <param name="outer">b, [outputs].</param>
internal sealed class VeraUpdate(SharedPair pair, Tensor inner, Tensor outer) : IProjectionUpdate
{
    private readonly Tensor _inner = inner.DetachFromDisposeScope(), _outer = outer.DetachFromDisposeScope();

    public IEnumerable<(string Leaf, Tensor Tensor)> Weights => [("vera_lambda_b", _outer), ("vera_lambda_d", _inner)];

    public Tensor Apply(Tensor input, Func<Tensor, Tensor> inner)
    {
        using var scope = NewDisposeScope();
        var type = input.dtype;
        var narrow = nn.functional.linear(input, pair.Down.narrow(1, 0, input.shape[^1]).to(type)).mul(_inner.to(type));
        var wide = nn.functional.linear(narrow, pair.Up.narrow(0, 0, _outer.shape[0]).to(type)).mul(_outer.to(type));
        return inner(input).Plus(wide).MoveToOuterDisposeScope();
    }

    public Tensor MergedWeight(Tensor weight)
    {
        var down = pair.Down.narrow(1, 0, weight.shape[1]).mul(_inner.unsqueeze(1));
        return weight.Plus(pair.Up.narrow(0, 0, weight.shape[0]).mul(_outer.unsqueeze(1)).matmul(down));
    }

    public void Dispose()
    {
        _inner.Dispose();
        _outer.Dispose();
    }
}
