using System.Diagnostics.CodeAnalysis;
using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a Command R.</summary>
internal sealed record CohereConfig : ModelConfig
{
    [SetsRequiredMembers]
    public CohereConfig(ConfigReader reader)
        : base(reader, "cohere", absentMaximumLength: 8192, isTiedWhereAbsent: true)
    {
        Sizes = BlockSizes.Read(reader, absentEpsilon: 1e-5, epsilonKey: "layer_norm_eps") with
        {
            NormKind = (weights, width, epsilon) => new LayerNormalization(weights, width, epsilon, hasBias: false).Forward,
        };
        Rotary = RotarySettings.Read(reader, Sizes.Heads.Size, absentBase: 500_000);
        HasAttentionBias = reader.Flag("attention_bias", absent: false);
        HasHeadNorms = reader.Flag("use_qk_norm", absent: false);
        LogitMultiplier = reader.Number("logit_scale") ?? 0.0625;
    }

    public BlockSizes Sizes { get; }

    public RotaryEmbedding Rotary { get; }

    /// <summary>Biases on the four projections of attention.</summary>
    public bool HasAttentionBias { get; }

    /// <summary>Norms on each head of queries and keys, with weights for each.</summary>
    public bool HasHeadNorms { get; }

    /// <summary>Factor of the logits.</summary>
    public double LogitMultiplier { get; }
}

/// <summary>A layer norm of each head, with its own weights [N, D].</summary>
internal sealed class CohereHeadNorm
{
    private readonly Tensor _weight;
    private readonly double _epsilon;

    public CohereHeadNorm(WeightScope weights, long heads, long size, double epsilon)
    {
        _weight = weights.Take("weight", [heads, size], new Initialization.Ones());
        _epsilon = epsilon;
        weights.Parts.NormWeights.Add(weights.Path + ".weight");
    }

    /// <summary>(B, T, N, D) -> (B, T, N, D).</summary>
    public Tensor Forward(Tensor heads)
    {
        using var scope = NewDisposeScope();
        return (nn.functional.layer_norm(heads, [heads.shape[^1]], eps: _epsilon) * _weight).MoveToOuterDisposeScope();
    }
}

/// <summary>Command R (Cohere 2024): parallel blocks, layer norms without bias, rotation of neighbouring channels, scaled logits.</summary>
internal static class Cohere
{
    public static ModelFamily Family { get; } =
        ModelFamily.Of("cohere", "CohereForCausalLM", "model.embed_tokens.weight", reader => new CohereConfig(reader), Build);

    private static RotaryDecoder Build(CohereConfig config, WeightSource source) => new(config, source, new RotaryDecoderDesign
    {
        Sizes = config.Sizes,
        Rotary = config.Rotary,
        Layer = (weights, index) => Layer(config, weights, index),
        LogitMultiplier = config.LogitMultiplier,
    });

    private static ParallelLayer Layer(CohereConfig config, WeightScope weights, int index)
    {
        var sizes = config.Sizes;
        var attention = sizes.Attention with
        {
            HasInputBias = config.HasAttentionBias,
            HasOutputBias = config.HasAttentionBias,
            HeadNorm = config.HasHeadNorms ? (norm, heads) => new CohereHeadNorm(norm, heads, sizes.Heads.Size, sizes.NormEpsilon).Forward : null,
            Rotate = (context, heads) => context.Rotary!.RotateNeighbours(heads),
        };
        return new ParallelLayer(
            attention: new GroupedQueryAttention(attention, weights["self_attn"], config.Width, index).Forward,
            feedForward: sizes.FeedForward(weights["mlp"]),
            norm: sizes.Norm(weights["input_layernorm"]));
    }
}
