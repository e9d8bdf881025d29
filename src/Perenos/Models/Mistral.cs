using System.Diagnostics.CodeAnalysis;
using Perenos.Layers;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a Mistral.</summary>
internal sealed record MistralConfig : ModelConfig
{
    [SetsRequiredMembers]
    public MistralConfig(ConfigReader reader)
        : base(reader, "mistral", absentMaximumLength: 131_072, isTiedWhereAbsent: false)
    {
        Sizes = BlockSizes.Read(reader, absentKeys: 8);
        Rotary = RotarySettings.Read(reader, Sizes.Heads.Size);
        Window = reader.SizeOrNone("sliding_window", absent: 4096);
    }

    public BlockSizes Sizes { get; }

    public RotaryEmbedding Rotary { get; }

    /// <summary>Tokens that each token sees, itself and those just before it; none: all.</summary>
    public long? Window { get; }
}

/// <summary>Mistral (Jiang et al. 2023, https://arxiv.org/abs/2310.06825): a Llama of which every layer may see a window only.</summary>
internal static class Mistral
{
    public static ModelFamily Family { get; } =
        ModelFamily.Of("mistral", "MistralForCausalLM", "model.embed_tokens.weight", reader => new MistralConfig(reader), Build);

    private static RotaryDecoder Build(MistralConfig config, WeightSource source) => new(config, source, new RotaryDecoderDesign
    {
        Sizes = config.Sizes,
        Rotary = config.Rotary,
        Layer = (weights, index) => Layer(config, weights, index),
    });

    private static PreNormLayer Layer(MistralConfig config, WeightScope weights, int index) => new(
        config.Sizes.Norm(weights["input_layernorm"]),
        new GroupedQueryAttention(config.Sizes.Attention with { Window = config.Window }, weights["self_attn"], config.Width, index).Forward,
        config.Sizes.Norm(weights["post_attention_layernorm"]),
        config.Sizes.FeedForward(weights["mlp"]));
}
