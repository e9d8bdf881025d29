using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>The feed-forward part of most older families: down(activation(up x)).</summary>
internal sealed class PlainFeedForward(Projection up, Projection down, string activation)
{
    private readonly Func<Tensor, Tensor> _activation = Activation.Named(activation, "config.json");

    /// <summary>(B, T, C) -> (B, T, C).</summary>
    public Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        return down.Forward(_activation(up.Forward(input))).MoveToOuterDisposeScope();
    }
}
