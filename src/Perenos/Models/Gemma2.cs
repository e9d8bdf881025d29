using System.Diagnostics.CodeAnalysis;
using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a Gemma 2.</summary>
internal sealed record Gemma2Config : ModelConfig
{
    [SetsRequiredMembers]
    public Gemma2Config(ConfigReader reader)
        : base(reader, "gemma2", absentMaximumLength: 8192, isTiedWhereAbsent: true)
    {
        reader.RefuseTrue("use_bidirectional_attention");
        Sizes = BlockSizes.Read(
            reader, absentKeys: 4, absentHeadSize: 256, activationKey: "hidden_activation", absentActivation: "gelu_pytorch_tanh") with
        { NormKind = Gemma.Norm };
        Rotary = RotarySettings.Read(reader, Sizes.Heads.Size);
        HasAttentionBias = reader.Flag("attention_bias", absent: false);
        // Every second layer slides, the first one too.
        Windows = LayerWindows.Read(reader, LayerCount, reader.SizeOrNone("sliding_window", absent: 4096), layer => layer % 2 == 0);
        QueryScalar = reader.PositiveOrNone("query_pre_attn_scalar", absent: 256) ?? 256;
        ScoreCap = reader.PositiveOrNone("attn_logit_softcapping", absent: 50);
        LogitCap = reader.PositiveOrNone("final_logit_softcapping", absent: 30);
    }

    public BlockSizes Sizes { get; }

    public RotaryEmbedding Rotary { get; }

    /// <summary>Biases on the four projections of attention.</summary>
    public bool HasAttentionBias { get; }

    /// <summary>Tokens that the tokens of each layer see; none: all.</summary>
    public IReadOnlyList<long?> Windows { get; }

    /// <summary>Attention scores are divided by its root, in place of the head's size.</summary>
    public double QueryScalar { get; }

    /// <summary>c in c · tanh(score / c); none: scores as they are.</summary>
    public double? ScoreCap { get; }

    /// <summary>c in c · tanh(logit / c); none: logits as they are.</summary>
    public double? LogitCap { get; }
}

/// <summary>The block of Gemma 2 and 3, with norms before and behind: x + norm(attention(norm x)), then x + norm(feed-forward(norm x)).</summary>
internal sealed class Gemma2Layer : IDecoderLayer
{
    private readonly GroupedQueryAttention _attention;
    private readonly Func<Tensor, Tensor> _feedForward;
    private readonly Func<Tensor, Tensor> _beforeAttention;
    private readonly Func<Tensor, Tensor> _behindAttention;
    private readonly Func<Tensor, Tensor> _beforeFeedForward;
    private readonly Func<Tensor, Tensor> _behindFeedForward;

    public Gemma2Layer(BlockSizes sizes, AttentionSettings attention, WeightScope weights, int index)
    {
        _attention = new GroupedQueryAttention(attention, weights["self_attn"], sizes.Width, index);
        _feedForward = sizes.FeedForward(weights["mlp"]);
        _beforeAttention = sizes.Norm(weights["input_layernorm"]);
        _behindAttention = sizes.Norm(weights["post_attention_layernorm"]);
        _beforeFeedForward = sizes.Norm(weights["pre_feedforward_layernorm"]);
        _behindFeedForward = sizes.Norm(weights["post_feedforward_layernorm"]);
    }

    public Tensor Forward(Tensor hidden, ForwardContext context)
    {
        using var scope = NewDisposeScope();
        hidden = hidden.Plus(_behindAttention(_attention.Forward(_beforeAttention(hidden), context)));
        return hidden.Plus(_behindFeedForward(_feedForward(_beforeFeedForward(hidden)))).MoveToOuterDisposeScope();
    }
}

/// <summary>Gemma 2 (Gemma Team 2024, https://arxiv.org/abs/2408.00118): windows in every second layer, capped scores and logits.</summary>
internal static class Gemma2
{
    public static ModelFamily Family { get; } =
        ModelFamily.Of("gemma2", "Gemma2ForCausalLM", "model.embed_tokens.weight", reader => new Gemma2Config(reader), Build);

    private static RotaryDecoder Build(Gemma2Config config, WeightSource source) => new(config, source, new RotaryDecoderDesign
    {
        Sizes = config.Sizes,
        Rotary = config.Rotary,
        Layer = (weights, index) => new Gemma2Layer(config.Sizes, Attention(config, index), weights, index),
        EmbeddingScale = Math.Sqrt(config.Width),
        LogitCap = config.LogitCap,
    });

    private static AttentionSettings Attention(Gemma2Config config, int index) => config.Sizes.Attention with
    {
        HasInputBias = config.HasAttentionBias,
        HasOutputBias = config.HasAttentionBias,
        Window = config.Windows[index],
        Scale = 1 / Math.Sqrt(config.QueryScalar),
        ScoreCap = config.ScoreCap,
    };
}
