using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>The feed-forward part of most older families: down(activation(up x)).</summary>
internal sealed class PlainFeedForward
{
    private readonly Projection _up;
    private readonly Projection _down;
    private readonly Func<Tensor, Tensor> _activation;

    /// <param name="up">The place of the projection inwards.</param>
    /// <param name="down">The place of the projection outwards.</param>
    /// <param name="width">Width outside.</param>
    /// <param name="innerWidth">Width inside.</param>
    /// <param name="activation">Name of the activation.</param>
    /// <param name="initialSpread">Spread of random weights.</param>
    /// <param name="hasBias">Whether both projections have biases.</param>
    /// <param name="isTransposed">Whether the weights lie transposed.</param>
    /// <param name="downSpread">Spread of the projection outwards, where it is another.</param>
    public PlainFeedForward(
        WeightScope up, WeightScope down, long width, long innerWidth, string activation, double initialSpread,
        bool hasBias = true, bool isTransposed = false, double? downSpread = null)
    {
        _up = new Projection(up, width, innerWidth, hasBias, isTransposed, initialSpread);
        _down = new Projection(down, innerWidth, width, hasBias, isTransposed, downSpread ?? initialSpread);
        _activation = Activation.Named(activation, "config.json");
    }

    /// <summary>(B, T, C) -> (B, T, C).</summary>
    public Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        return _down.Forward(_activation(_up.Forward(input))).MoveToOuterDisposeScope();
    }
}
