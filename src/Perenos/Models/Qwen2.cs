using System.Diagnostics.CodeAnalysis;
using Perenos.Layers;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a Qwen 2.</summary>
internal sealed record Qwen2Config : ModelConfig
{
    [SetsRequiredMembers]
    public Qwen2Config(ConfigReader reader)
        : base(reader, "qwen2", absentMaximumLength: 32_768, isTiedWhereAbsent: false)
    {
        Sizes = BlockSizes.Read(reader, absentKeys: 32);
        Rotary = RotarySettings.Read(reader, Sizes.Heads.Size);
        Windows = ReadWindows(reader, LayerCount);
    }

    public BlockSizes Sizes { get; }

    public RotaryEmbedding Rotary { get; }

    /// <summary>Tokens that the tokens of each layer see; none: all.</summary>
    public IReadOnlyList<long?> Windows { get; }

    /// <summary>The windows of all Qwens: <c>sliding_window</c> counts only with <c>use_sliding_window</c>, and only from <c>max_window_layers</c> on.</summary>
    internal static IReadOnlyList<long?> ReadWindows(ConfigReader reader, int layers)
    {
        long? window = reader.Flag("use_sliding_window", absent: false) ? reader.SizeOrNone("sliding_window", absent: 4096) : null;
        long first = reader.OptionalInteger("max_window_layers") ?? 28;
        return LayerWindows.Read(reader, layers, window, layer => window is not null && layer >= first);
    }
}

/// <summary>Qwen 2 and 2.5 (Yang et al. 2024, https://arxiv.org/abs/2407.10671): a Llama with biases on queries, keys and values.</summary>
internal static class Qwen2
{
    public static ModelFamily Family { get; } =
        ModelFamily.Of("qwen2", "Qwen2ForCausalLM", "model.embed_tokens.weight", reader => new Qwen2Config(reader), Build);

    private static RotaryDecoder Build(Qwen2Config config, WeightSource source) => new(config, source, new RotaryDecoderDesign
    {
        Sizes = config.Sizes,
        Rotary = config.Rotary,
        Layer = (weights, index) => Layer(config, weights, index),
    });

    private static PreNormLayer Layer(Qwen2Config config, WeightScope weights, int index) => new(
        config.Sizes.Norm(weights["input_layernorm"]),
        new GroupedQueryAttention(config.Sizes.Attention with { HasInputBias = true, Window = config.Windows[index] }, weights["self_attn"], config.Width, index).Forward,
        config.Sizes.Norm(weights["post_attention_layernorm"]),
        config.Sizes.FeedForward(weights["mlp"]));
}
