using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>Sizes and kinds that the blocks of Llama's relatives share, and the parts that follow from them alone.</summary>
internal sealed record BlockSizes
{
    /// <summary>Width of the hidden states, C.</summary>
    public required long Width { get; init; }

    /// <summary>Heads of attention.</summary>
    public required HeadCounts Heads { get; init; }

    /// <summary>Width inside the feed-forward part.</summary>
    public required long InnerWidth { get; init; }

    /// <summary>Added under the root in norms.</summary>
    public required double NormEpsilon { get; init; }

    /// <summary>Builds the family's kind of norm from the place of its weights, its width and epsilon.</summary>
    public Func<WeightScope, long, double, Func<Tensor, Tensor>> NormKind { get; init; } = (weights, width, epsilon) => new RootMeanSquareNorm(weights, width, epsilon).Forward;

    /// <summary>act(gate) · up.</summary>
    public required Func<Tensor, Tensor, Tensor> Gated { get; init; }

    /// <summary>Spread of random weights.</summary>
    public required double InitialSpread { get; init; }

    /// <summary>Plain grouped-query attention of these sizes, to be varied.</summary>
    public AttentionSettings Attention => new() { Heads = Heads, InitialSpread = InitialSpread };

    /// <summary>Reads the sizes; what is absent takes the family's value.</summary>
    public static BlockSizes Read(
        ConfigReader reader, int? absentKeys = null, long? absentHeadSize = null, double absentEpsilon = 1e-6, string epsilonKey = "rms_norm_eps",
        string activationKey = "hidden_act", string absentActivation = "silu")
    {
        long width = reader.Size("hidden_size");
        return new BlockSizes
        {
            Width = width,
            Heads = HeadCounts.Read(reader, width, absentKeys, absentHeadSize),
            InnerWidth = reader.Size("intermediate_size"),
            NormEpsilon = reader.Number(epsilonKey) ?? absentEpsilon,
            Gated = Activation.Gated(reader.Text(activationKey) ?? absentActivation, reader.Location),
            InitialSpread = reader.Number("initializer_range") ?? 0.02,
        };
    }

    /// <summary>A norm over the last axis, of the hidden states' width if no other is given.</summary>
    public Func<Tensor, Tensor> Norm(WeightScope weights, long? width = null) => NormKind(weights, width ?? Width, NormEpsilon);

    /// <summary>The gated feed-forward part.</summary>
    public Func<Tensor, Tensor> FeedForward(WeightScope weights, bool hasBias = false) => new GatedFeedForward(weights, Width, InnerWidth, Gated, hasBias, InitialSpread).Forward;
}
