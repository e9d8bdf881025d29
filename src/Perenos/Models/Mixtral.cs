using System.Diagnostics.CodeAnalysis;
using Perenos.Layers;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a Mixtral.</summary>
internal sealed record MixtralConfig : ModelConfig
{
    [SetsRequiredMembers]
    public MixtralConfig(ConfigReader reader)
        : base(reader, "mixtral", absentMaximumLength: 131_072, isTiedWhereAbsent: false)
    {
        reader.Refuse("router_jitter_noise", node => node.GetValue<double>() == 0, "0");
        Sizes = BlockSizes.Read(reader, absentKeys: 8, absentEpsilon: 1e-5);
        Rotary = RotarySettings.Read(reader, Sizes.Heads.Size, absentBase: 1_000_000);
        Window = reader.SizeOrNone("sliding_window", absent: null);
        Experts = ExpertSettings.Read(
            reader, reader.Either("num_local_experts", "num_experts"), absentCount: 8, absentChosen: 2, Sizes.InnerWidth, isRenormalized: true, absentWeight: 0.001);
    }

    public BlockSizes Sizes { get; }

    public RotaryEmbedding Rotary { get; }

    /// <summary>Tokens that each token sees, itself and those just before it; none: all.</summary>
    public long? Window { get; }

    public ExpertSettings Experts { get; }
}

/// <summary>Mixtral (Jiang et al. 2024, https://arxiv.org/abs/2401.04088): a Mistral with a mixture of experts in place of the feed-forward part.</summary>
internal static class Mixtral
{
    public static ModelFamily Family { get; } =
        ModelFamily.Of("mixtral", "MixtralForCausalLM", "model.embed_tokens.weight", reader => new MixtralConfig(reader), Build);

    private static RotaryDecoder Build(MixtralConfig config, WeightSource source) => new(config, source, new RotaryDecoderDesign
    {
        Sizes = config.Sizes,
        Rotary = config.Rotary,
        Layer = (weights, index) => Layer(config, weights, index),
        BalanceWeight = config.Experts.BalanceWeight,
    });

    private static PreNormLayer Layer(MixtralConfig config, WeightScope weights, int index) => new(
        config.Sizes.Norm(weights["input_layernorm"]),
        new GroupedQueryAttention(config.Sizes.Attention with { Window = config.Window }, weights["self_attn"], config.Width, index).Forward,
        config.Sizes.Norm(weights["post_attention_layernorm"]),
        new ExpertMixture(weights["block_sparse_moe"], config.Sizes, config.Experts, names: ("w1", "w3", "w2")).Forward);
}
