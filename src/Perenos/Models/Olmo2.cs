using System.Diagnostics.CodeAnalysis;
using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>Sizes and kinds of an OLMo 2.</summary>
internal sealed record Olmo2Config : ModelConfig
{
    [SetsRequiredMembers]
    public Olmo2Config(ConfigReader reader)
        : base(reader, "olmo2", absentMaximumLength: 2048, isTiedWhereAbsent: false)
    {
        Sizes = BlockSizes.Read(reader, absentEpsilon: 1e-5);
        Rotary = RotarySettings.Read(reader, Sizes.Heads.Size);
        HasAttentionBias = reader.Flag("attention_bias", absent: false);
    }

    public BlockSizes Sizes { get; }

    public RotaryEmbedding Rotary { get; }

    /// <summary>Biases on the four projections of attention.</summary>
    public bool HasAttentionBias { get; }
}

/// <summary>A block that norms what is added: x + norm(attention x), then x + norm(feed-forward x).</summary>
internal sealed class Olmo2Layer : IDecoderLayer
{
    private readonly GroupedQueryAttention _attention;
    private readonly Func<Tensor, Tensor> _attentionNorm;
    private readonly Func<Tensor, Tensor> _feedForward;
    private readonly Func<Tensor, Tensor> _feedForwardNorm;

    public Olmo2Layer(Olmo2Config config, WeightScope weights, int index)
    {
        var sizes = config.Sizes;
        var attention = sizes.Attention with
        {
            HasInputBias = config.HasAttentionBias,
            HasOutputBias = config.HasAttentionBias,
            ProjectionNorm = (norm, width) => sizes.Norm(norm, width),
        };
        _attention = new GroupedQueryAttention(attention, weights["self_attn"], config.Width, index);
        _attentionNorm = sizes.Norm(weights["post_attention_layernorm"]);
        _feedForward = sizes.FeedForward(weights["mlp"]);
        _feedForwardNorm = sizes.Norm(weights["post_feedforward_layernorm"]);
    }

    public Tensor Forward(Tensor hidden, ForwardContext context)
    {
        using var scope = NewDisposeScope();
        hidden = hidden.Plus(_attentionNorm(_attention.Forward(hidden, context)));
        return hidden.Plus(_feedForwardNorm(_feedForward(hidden))).MoveToOuterDisposeScope();
    }
}

/// <summary>OLMo 2 (OLMo Team 2024, https://arxiv.org/abs/2501.00656): norms behind the parts, and on whole queries and keys.</summary>
internal static class Olmo2
{
    public static ModelFamily Family { get; } =
        ModelFamily.Of("olmo2", "Olmo2ForCausalLM", "model.embed_tokens.weight", reader => new Olmo2Config(reader), Build);

    private static RotaryDecoder Build(Olmo2Config config, WeightSource source) => new(config, source, new RotaryDecoderDesign
    {
        Sizes = config.Sizes,
        Rotary = config.Rotary,
        Layer = (weights, index) => new Olmo2Layer(config, weights, index),
    });
}
