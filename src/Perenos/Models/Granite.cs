using System.Diagnostics.CodeAnalysis;
using Perenos.Layers;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a Granite.</summary>
internal sealed record GraniteConfig : ModelConfig
{
    [SetsRequiredMembers]
    public GraniteConfig(ConfigReader reader)
        : base(reader, "granite", absentMaximumLength: 2048, isTiedWhereAbsent: false)
    {
        Sizes = BlockSizes.Read(reader);
        Rotary = RotarySettings.Read(reader, Sizes.Heads.Size);
        HasAttentionBias = reader.Flag("attention_bias", absent: false);
        HasInnerBias = reader.Flag("mlp_bias", absent: false);
        EmbeddingMultiplier = reader.Number("embedding_multiplier") ?? 1;
        AttentionMultiplier = reader.Number("attention_multiplier") ?? 1;
        ResidualMultiplier = reader.Number("residual_multiplier") ?? 1;
        LogitDivisor = reader.Number("logits_scaling") ?? 1;
        if (LogitDivisor == 0)
            throw reader.Wrong("logits_scaling", "a divisor");
    }

    public BlockSizes Sizes { get; }

    public RotaryEmbedding Rotary { get; }

    /// <summary>Biases on the four projections of attention.</summary>
    public bool HasAttentionBias { get; }

    /// <summary>Biases on the three projections of the feed-forward part.</summary>
    public bool HasInnerBias { get; }

    /// <summary>Factor of what enters the first block.</summary>
    public double EmbeddingMultiplier { get; }

    /// <summary>Factor of attention scores, in place of 1 / √D.</summary>
    public double AttentionMultiplier { get; }

    /// <summary>Factor of what each half of a block adds.</summary>
    public double ResidualMultiplier { get; }

    /// <summary>What logits are divided by.</summary>
    public double LogitDivisor { get; }
}

/// <summary>Granite (Granite Team, IBM 2024, "Granite 3.0 Language Models"): a Llama with four multipliers (Yang et al. 2022, https://arxiv.org/abs/2203.03466).</summary>
internal static class Granite
{
    public static ModelFamily Family { get; } =
        ModelFamily.Of("granite", "GraniteForCausalLM", "model.embed_tokens.weight", reader => new GraniteConfig(reader), Build);

    private static RotaryDecoder Build(GraniteConfig config, WeightSource source) => new(config, source, new RotaryDecoderDesign
    {
        Sizes = config.Sizes,
        Rotary = config.Rotary,
        Layer = (weights, index) => Layer(config, weights, index),
        EmbeddingMultiplier = config.EmbeddingMultiplier,
        LogitMultiplier = 1 / config.LogitDivisor,
    });

    private static PreNormLayer Layer(GraniteConfig config, WeightScope weights, int index)
    {
        var attention = config.Sizes.Attention with
        {
            HasInputBias = config.HasAttentionBias,
            HasOutputBias = config.HasAttentionBias,
            Scale = config.AttentionMultiplier,
        };
        return new PreNormLayer(
            config.Sizes.Norm(weights["input_layernorm"]),
            new GroupedQueryAttention(attention, weights["self_attn"], config.Width, index).Forward,
            config.Sizes.Norm(weights["post_attention_layernorm"]),
            config.Sizes.FeedForward(weights["mlp"], config.HasInnerBias),
            config.ResidualMultiplier);
    }
}
