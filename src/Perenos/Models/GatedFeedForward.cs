using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>Gated feed-forward part: down(act(gate x) · up x) (Shazeer 2020, https://arxiv.org/abs/2002.05202).</summary>
internal sealed class GatedFeedForward
{
    private readonly Func<Tensor, Tensor, Tensor> _gated;
    private readonly Projection _gate;
    private readonly Projection _up;
    private readonly Projection _down;

    /// <param name="weights">The place of the three projections.</param>
    /// <param name="width">Width outside.</param>
    /// <param name="innerWidth">Width inside.</param>
    /// <param name="gated">act(gate) · up.</param>
    /// <param name="hasBias">Whether the projections have biases.</param>
    /// <param name="initialSpread">Spread of random weights.</param>
    /// <param name="names">Names of gate, up and down.</param>
    public GatedFeedForward(
        WeightScope weights, long width, long innerWidth, Func<Tensor, Tensor, Tensor> gated, bool hasBias, double initialSpread,
        (string Gate, string Up, string Down)? names = null)
    {
        var (gate, up, down) = names ?? ("gate_proj", "up_proj", "down_proj");
        _gated = gated;
        _gate = new Projection(weights[gate], width, innerWidth, hasBias, initialSpread: initialSpread);
        _up = new Projection(weights[up], width, innerWidth, hasBias, initialSpread: initialSpread);
        _down = new Projection(weights[down], innerWidth, width, hasBias, initialSpread: initialSpread);
    }

    /// <summary>(…, width) -> (…, width).</summary>
    public Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        return _down.Forward(_gated(_gate.Forward(input), _up.Forward(input))).MoveToOuterDisposeScope();
    }
}
