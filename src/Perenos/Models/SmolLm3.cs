using System.Diagnostics.CodeAnalysis;
using Perenos.Layers;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a SmolLM3.</summary>
internal sealed record SmolLm3Config : ModelConfig
{
    [SetsRequiredMembers]
    public SmolLm3Config(ConfigReader reader)
        : base(reader, "smollm3", absentMaximumLength: 32_768, isTiedWhereAbsent: true)
    {
        Sizes = BlockSizes.Read(reader, absentKeys: 4);
        Rotary = RotarySettings.Read(reader, Sizes.Heads.Size, absentBase: 2_000_000);
        IsRotary = ReadRotaryLayers(reader, LayerCount);
        long? window = reader.SizeOrNone("sliding_window", absent: null);
        bool slides = reader.Flag("use_sliding_window", absent: false) && window is not null;
        Windows = LayerWindows.Read(reader, LayerCount, window, layer => slides && !IsRotary[layer]);
        HasAttentionBias = reader.Flag("attention_bias", absent: false);
        HasInnerBias = reader.Flag("mlp_bias", absent: false);
    }

    public BlockSizes Sizes { get; }

    public RotaryEmbedding Rotary { get; }

    /// <summary>Whether each layer rotates queries and keys.</summary>
    public IReadOnlyList<bool> IsRotary { get; }

    /// <summary>Tokens that the tokens of each layer see; none: all.</summary>
    public IReadOnlyList<long?> Windows { get; }

    /// <summary>Biases on the four projections of attention.</summary>
    public bool HasAttentionBias { get; }

    /// <summary>Biases on the three projections of the feed-forward part.</summary>
    public bool HasInnerBias { get; }

    // In no_rope_layers, 1 says that the layer does rotate.
    private static bool[] ReadRotaryLayers(ConfigReader reader, int layers)
    {
        if (!reader.Has("no_rope_layers"))
        {
            long interval = reader.Size("no_rope_layer_interval", absent: 4);
            return [.. Enumerable.Range(1, layers).Select(number => number % interval != 0)];
        }

        var flags = reader.Numbers("no_rope_layers");
        return flags.Count >= layers ? [.. flags.Take(layers).Select(flag => flag != 0)] : throw reader.Wrong("no_rope_layers", $"a list for {layers} layers");
    }
}

/// <summary>SmolLM3 (Hugging Face 2025): a Llama of which some layers know no positions (Yang et al. 2025, https://arxiv.org/abs/2501.18795).</summary>
internal static class SmolLm3
{
    public static ModelFamily Family { get; } =
        ModelFamily.Of("smollm3", "SmolLM3ForCausalLM", "model.embed_tokens.weight", reader => new SmolLm3Config(reader), Build);

    private static RotaryDecoder Build(SmolLm3Config config, WeightSource source) => new(config, source, new RotaryDecoderDesign
    {
        Sizes = config.Sizes,
        Rotary = config.Rotary,
        Layer = (weights, index) => Layer(config, weights, index),
    });

    private static PreNormLayer Layer(SmolLm3Config config, WeightScope weights, int index)
    {
        var attention = config.Sizes.Attention with
        {
            HasInputBias = config.HasAttentionBias,
            HasOutputBias = config.HasAttentionBias,
            Window = config.Windows[index],
        };
        if (!config.IsRotary[index])
            attention = attention with { Rotate = (_, heads) => heads };
        return new PreNormLayer(
            config.Sizes.Norm(weights["input_layernorm"]),
            new GroupedQueryAttention(attention, weights["self_attn"], config.Width, index).Forward,
            config.Sizes.Norm(weights["post_attention_layernorm"]),
            config.Sizes.FeedForward(weights["mlp"], config.HasInnerBias));
    }
}
