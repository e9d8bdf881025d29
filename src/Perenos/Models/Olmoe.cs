using System.Diagnostics.CodeAnalysis;
using Perenos.Layers;

namespace Perenos.Models;

/// <summary>Sizes and kinds of an OLMoE.</summary>
internal sealed record OlmoeConfig : ModelConfig
{
    [SetsRequiredMembers]
    public OlmoeConfig(ConfigReader reader)
        : base(reader, "olmoe", absentMaximumLength: 4096, isTiedWhereAbsent: false)
    {
        Sizes = BlockSizes.Read(reader, absentEpsilon: 1e-5);
        Rotary = RotarySettings.Read(reader, Sizes.Heads.Size);
        HasAttentionBias = reader.Flag("attention_bias", absent: false);
        Limit = reader.PositiveOrNone("clip_qkv", absent: null);
        Experts = ExpertSettings.Read(
            reader, reader.Either("num_experts", "num_local_experts"), absentCount: 64, absentChosen: 8, Sizes.InnerWidth,
            reader.Flag("norm_topk_prob", absent: false), absentWeight: 0.01);
    }

    public BlockSizes Sizes { get; }

    public RotaryEmbedding Rotary { get; }

    /// <summary>Biases on the four projections of attention.</summary>
    public bool HasAttentionBias { get; }

    /// <summary>Largest magnitude of queries, keys and values; none: as they are.</summary>
    public double? Limit { get; }

    public ExpertSettings Experts { get; }
}

/// <summary>OLMoE (Muennighoff et al. 2024, https://arxiv.org/abs/2409.02060): experts in every layer, norms on whole queries and keys.</summary>
internal static class Olmoe
{
    public static ModelFamily Family { get; } =
        ModelFamily.Of("olmoe", "OlmoeForCausalLM", "model.embed_tokens.weight", reader => new OlmoeConfig(reader), Build);

    private static RotaryDecoder Build(OlmoeConfig config, WeightSource source) => new(config, source, new RotaryDecoderDesign
    {
        Sizes = config.Sizes,
        Rotary = config.Rotary,
        Layer = (weights, index) => Layer(config, weights, index),
        BalanceWeight = config.Experts.BalanceWeight,
    });

    private static PreNormLayer Layer(OlmoeConfig config, WeightScope weights, int index)
    {
        var sizes = config.Sizes;
        var attention = sizes.Attention with
        {
            HasInputBias = config.HasAttentionBias,
            HasOutputBias = config.HasAttentionBias,
            Limit = config.Limit,
            ProjectionNorm = (norm, width) => sizes.Norm(norm, width),
        };
        return new PreNormLayer(
            sizes.Norm(weights["input_layernorm"]),
            new GroupedQueryAttention(attention, weights["self_attn"], config.Width, index).Forward,
            sizes.Norm(weights["post_attention_layernorm"]),
            new ExpertMixture(weights["mlp"], sizes, config.Experts).Forward);
    }
}
