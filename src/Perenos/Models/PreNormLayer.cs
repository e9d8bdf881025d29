using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>The common block: x + m · attention(norm x), then x + m · feed-forward(norm x); m is 1 in most families.</summary>
internal sealed class PreNormLayer(
    Func<Tensor, Tensor> attentionNorm,
    Func<Tensor, ForwardContext, Tensor> attention,
    Func<Tensor, Tensor> feedForwardNorm,
    Func<Tensor, ForwardContext, Tensor> feedForward,
    double residualMultiplier = 1) : IDecoderLayer
{
    /// <summary>A feed-forward part that needs nothing of the call.</summary>
    public PreNormLayer(
        Func<Tensor, Tensor> attentionNorm, Func<Tensor, ForwardContext, Tensor> attention,
        Func<Tensor, Tensor> feedForwardNorm, Func<Tensor, Tensor> feedForward, double residualMultiplier = 1)
        : this(attentionNorm, attention, feedForwardNorm, (input, _) => feedForward(input), residualMultiplier)
    {
    }

    public Tensor Forward(Tensor hidden, ForwardContext context)
    {
        using var scope = NewDisposeScope();
        hidden = hidden.Plus(Weighed(attention(attentionNorm(hidden), context)));
        return hidden.Plus(Weighed(feedForward(feedForwardNorm(hidden), context))).MoveToOuterDisposeScope();
    }

    private Tensor Weighed(Tensor update) => residualMultiplier == 1 ? update : update.Times(residualMultiplier);
}
