using System.Diagnostics.CodeAnalysis;
using Perenos.Layers;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a Qwen 3.</summary>
internal sealed record Qwen3Config : ModelConfig
{
    [SetsRequiredMembers]
    public Qwen3Config(ConfigReader reader)
        : base(reader, "qwen3", absentMaximumLength: 32_768, isTiedWhereAbsent: false)
    {
        Sizes = BlockSizes.Read(reader, absentKeys: 32, absentHeadSize: 128);
        Rotary = RotarySettings.Read(reader, Sizes.Heads.Size);
        Windows = Qwen2Config.ReadWindows(reader, LayerCount);
        HasAttentionBias = reader.Flag("attention_bias", absent: false);
    }

    public BlockSizes Sizes { get; }

    public RotaryEmbedding Rotary { get; }

    /// <summary>Tokens that the tokens of each layer see; none: all.</summary>
    public IReadOnlyList<long?> Windows { get; }

    /// <summary>Biases on the four projections of attention.</summary>
    public bool HasAttentionBias { get; }
}

/// <summary>Qwen 3 (Yang et al. 2025, https://arxiv.org/abs/2505.09388): a Llama that norms each head of queries and keys.</summary>
internal static class Qwen3
{
    public static ModelFamily Family { get; } =
        ModelFamily.Of("qwen3", "Qwen3ForCausalLM", "model.embed_tokens.weight", reader => new Qwen3Config(reader), Build);

    private static RotaryDecoder Build(Qwen3Config config, WeightSource source) => new(config, source, new RotaryDecoderDesign
    {
        Sizes = config.Sizes,
        Rotary = config.Rotary,
        Layer = (weights, index) => Layer(config, weights, index),
    });

    private static PreNormLayer Layer(Qwen3Config config, WeightScope weights, int index)
    {
        var sizes = config.Sizes;
        var attention = sizes.Attention with
        {
            HasInputBias = config.HasAttentionBias,
            HasOutputBias = config.HasAttentionBias,
            Window = config.Windows[index],
            HeadNorm = (norm, _) => sizes.Norm(norm, sizes.Heads.Size),
        };
        return new PreNormLayer(
            sizes.Norm(weights["input_layernorm"]),
            new GroupedQueryAttention(attention, weights["self_attn"], config.Width, index).Forward,
            sizes.Norm(weights["post_attention_layernorm"]),
            sizes.FeedForward(weights["mlp"]));
    }
}
