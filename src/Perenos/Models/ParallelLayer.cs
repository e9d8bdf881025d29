using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>
/// The block whose halves both read its input: x + attention(norm x) + feed-forward(norm x), with one norm or one for each
/// (Wang and Komatsuzaki 2021, https://github.com/kingoflolz/mesh-transformer-jax).
/// </summary>
/// <param name="norm">The norm, of attention alone where there is another.</param>
/// <param name="attention">Attention.</param>
/// <param name="feedForward">The feed-forward part.</param>
/// <param name="feedForwardNorm">The feed-forward part's own norm, if it has one.</param>
internal sealed class ParallelLayer(
    Func<Tensor, Tensor> norm,
    Func<Tensor, ForwardContext, Tensor> attention,
    Func<Tensor, Tensor> feedForward,
    Func<Tensor, Tensor>? feedForwardNorm = null) : IDecoderLayer
{
    public Tensor Forward(Tensor hidden, ForwardContext context)
    {
        using var scope = NewDisposeScope();
        var normed = norm(hidden);
        var attended = hidden.Plus(attention(normed, context));
        return attended.Plus(feedForward(feedForwardNorm is null ? normed : feedForwardNorm(hidden))).MoveToOuterDisposeScope();
    }
}
