using System.Diagnostics.CodeAnalysis;
using Perenos.Layers;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a Llama.</summary>
internal sealed record LlamaConfig : ModelConfig
{
    [SetsRequiredMembers]
    public LlamaConfig(ConfigReader reader)
        : base(reader, "llama", absentMaximumLength: 2048, isTiedWhereAbsent: false)
    {
        // Above 1, products are cut into slices that round otherwise.
        reader.Refuse("pretraining_tp", node => node.GetValue<int>() == 1, "1");
        Sizes = BlockSizes.Read(reader);
        Rotary = RotarySettings.Read(reader, Sizes.Heads.Size);
        HasAttentionBias = reader.Flag("attention_bias", absent: false);
        HasInnerBias = reader.Flag("mlp_bias", absent: false);
    }

    /// <summary>Heads, widths, activation, epsilon of the norms.</summary>
    public BlockSizes Sizes { get; }

    /// <summary>Rotary positions.</summary>
    public RotaryEmbedding Rotary { get; }

    /// <summary>Biases on the four projections of attention.</summary>
    public bool HasAttentionBias { get; }

    /// <summary>Biases on the three projections of the feed-forward part.</summary>
    public bool HasInnerBias { get; }
}

/// <summary>
/// Llama (Touvron et al. 2023, https://arxiv.org/abs/2302.13971) and what is shaped like it, such as SmolLM2. Its relatives put other
/// things into the same places: <see cref="RotaryDecoder"/> is the whole, <see cref="PreNormLayer"/> the block,
/// <see cref="GroupedQueryAttention"/> and <see cref="GatedFeedForward"/> are its halves.
/// </summary>
internal static class Llama
{
    public static ModelFamily Family { get; } =
        ModelFamily.Of("llama", "LlamaForCausalLM", "model.embed_tokens.weight", reader => new LlamaConfig(reader), Build);

    private static RotaryDecoder Build(LlamaConfig config, WeightSource source) => new(config, source, new RotaryDecoderDesign
    {
        Sizes = config.Sizes,
        Rotary = config.Rotary,
        Layer = (weights, index) => Layer(config, weights, index),
    });

    // x + attention(norm x), then x + feed-forward(norm x); the names are the checkpoint's.
    private static PreNormLayer Layer(LlamaConfig config, WeightScope weights, int index)
    {
        var attention = config.Sizes.Attention with { HasInputBias = config.HasAttentionBias, HasOutputBias = config.HasAttentionBias };
        return new PreNormLayer(
            config.Sizes.Norm(weights["input_layernorm"]),
            new GroupedQueryAttention(attention, weights["self_attn"], config.Width, index).Forward,
            config.Sizes.Norm(weights["post_attention_layernorm"]),
            config.Sizes.FeedForward(weights["mlp"], config.HasInnerBias));
    }
}
