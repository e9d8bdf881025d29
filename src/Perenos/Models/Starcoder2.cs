using System.Diagnostics.CodeAnalysis;
using Perenos.Layers;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a StarCoder 2.</summary>
internal sealed record Starcoder2Config : ModelConfig
{
    private const string UsualActivation = "gelu_pytorch_tanh";

    [SetsRequiredMembers]
    public Starcoder2Config(ConfigReader reader)
        : base(reader, "starcoder2", absentMaximumLength: 4096, isTiedWhereAbsent: true)
    {
        Sizes = BlockSizes.Read(reader, absentKeys: 2, absentEpsilon: 1e-5, epsilonKey: "norm_epsilon", absentActivation: UsualActivation) with
        {
            NormKind = (weights, width, epsilon) => new LayerNormalization(weights, width, epsilon).Forward,
        };
        ActivationName = reader.Text("hidden_act") ?? UsualActivation;
        Rotary = RotarySettings.Read(reader, Sizes.Heads.Size);
        Window = reader.SizeOrNone("sliding_window", absent: null);
        HasBias = reader.Flag("use_bias", absent: true);
    }

    public BlockSizes Sizes { get; }

    public RotaryEmbedding Rotary { get; }

    /// <summary>Name of the activation between the two projections of the feed-forward part.</summary>
    public string ActivationName { get; }

    /// <summary>Tokens that each token sees, itself and those just before it; none: all.</summary>
    public long? Window { get; }

    /// <summary>Biases on all projections.</summary>
    public bool HasBias { get; }
}

/// <summary>StarCoder 2 (Lozhkov et al. 2024, https://arxiv.org/abs/2402.19173): layer norms, biases and an ungated feed-forward part.</summary>
internal static class Starcoder2
{
    public static ModelFamily Family { get; } =
        ModelFamily.Of("starcoder2", "Starcoder2ForCausalLM", "model.embed_tokens.weight", reader => new Starcoder2Config(reader), Build);

    private static RotaryDecoder Build(Starcoder2Config config, WeightSource source) => new(config, source, new RotaryDecoderDesign
    {
        Sizes = config.Sizes,
        Rotary = config.Rotary,
        Layer = (weights, index) => Layer(config, weights, index),
    });

    private static PreNormLayer Layer(Starcoder2Config config, WeightScope weights, int index)
    {
        var sizes = config.Sizes;
        var attention = sizes.Attention with { HasInputBias = config.HasBias, HasOutputBias = config.HasBias, Window = config.Window };
        var feedForward = weights["mlp"];
        return new PreNormLayer(
            sizes.Norm(weights["input_layernorm"]),
            new GroupedQueryAttention(attention, weights["self_attn"], config.Width, index).Forward,
            sizes.Norm(weights["post_attention_layernorm"]),
            new PlainFeedForward(
                feedForward["c_fc"], feedForward["c_proj"], config.Width, sizes.InnerWidth, config.ActivationName, sizes.InitialSpread, config.HasBias).Forward);
    }
}
