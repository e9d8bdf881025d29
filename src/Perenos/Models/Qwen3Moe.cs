using System.Diagnostics.CodeAnalysis;
using Perenos.Layers;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a Qwen 3 with experts.</summary>
internal sealed record Qwen3MoeConfig : ModelConfig
{
    [SetsRequiredMembers]
    public Qwen3MoeConfig(ConfigReader reader)
        : base(reader, "qwen3_moe", absentMaximumLength: 32_768, isTiedWhereAbsent: false)
    {
        Sizes = BlockSizes.Read(reader, absentKeys: 4);
        Rotary = RotarySettings.Read(reader, Sizes.Heads.Size);
        HasAttentionBias = reader.Flag("attention_bias", absent: false);
        Window = reader.Flag("use_sliding_window", absent: false) ? reader.SizeOrNone("sliding_window", absent: 4096) : null;
        Experts = ExpertSettings.Read(
            reader, reader.Either("num_experts", "num_local_experts"), absentCount: 128, absentChosen: 8, reader.Size("moe_intermediate_size", absent: 768),
            reader.Flag("norm_topk_prob", absent: false), absentWeight: 0.001);
        var dense = reader.Has("mlp_only_layers") ? reader.Numbers("mlp_only_layers") : [];
        long step = reader.Size("decoder_sparse_step", absent: 1);
        HasExperts = [.. Enumerable.Range(0, LayerCount).Select(layer => !dense.Contains(layer) && (layer + 1) % step == 0)];
    }

    public BlockSizes Sizes { get; }

    public RotaryEmbedding Rotary { get; }

    /// <summary>Biases on the four projections of attention.</summary>
    public bool HasAttentionBias { get; }

    /// <summary>Tokens that each token sees, itself and those just before it; none: all.</summary>
    public long? Window { get; }

    public ExpertSettings Experts { get; }

    /// <summary>Whether each layer has experts, or one feed-forward part.</summary>
    public IReadOnlyList<bool> HasExperts { get; }
}

/// <summary>Qwen 3's mixtures of experts (Yang et al. 2025, https://arxiv.org/abs/2505.09388).</summary>
internal static class Qwen3Moe
{
    public static ModelFamily Family { get; } =
        ModelFamily.Of("qwen3_moe", "Qwen3MoeForCausalLM", "model.embed_tokens.weight", reader => new Qwen3MoeConfig(reader), Build);

    private static RotaryDecoder Build(Qwen3MoeConfig config, WeightSource source) => new(config, source, new RotaryDecoderDesign
    {
        Sizes = config.Sizes,
        Rotary = config.Rotary,
        Layer = (weights, index) => Layer(config, weights, index),
        BalanceWeight = config.HasExperts.Contains(true) ? config.Experts.BalanceWeight : 0,
    });

    private static PreNormLayer Layer(Qwen3MoeConfig config, WeightScope weights, int index)
    {
        var sizes = config.Sizes;
        var attention = sizes.Attention with
        {
            HasInputBias = config.HasAttentionBias,
            HasOutputBias = config.HasAttentionBias,
            Window = config.Window,
            HeadNorm = (norm, _) => sizes.Norm(norm, sizes.Heads.Size),
        };
        var attentionNorm = sizes.Norm(weights["input_layernorm"]);
        var attend = new GroupedQueryAttention(attention, weights["self_attn"], config.Width, index);
        var feedForwardNorm = sizes.Norm(weights["post_attention_layernorm"]);
        return config.HasExperts[index]
            ? new PreNormLayer(attentionNorm, attend.Forward, feedForwardNorm, new ExpertMixture(weights["mlp"], sizes, config.Experts).Forward)
            : new PreNormLayer(attentionNorm, attend.Forward, feedForwardNorm, sizes.FeedForward(weights["mlp"]));
    }
}
