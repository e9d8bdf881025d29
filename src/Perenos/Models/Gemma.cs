using System.Diagnostics.CodeAnalysis;
using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a Gemma.</summary>
internal sealed record GemmaConfig : ModelConfig
{
    [SetsRequiredMembers]
    public GemmaConfig(ConfigReader reader)
        : base(reader, "gemma", absentMaximumLength: 8192, isTiedWhereAbsent: true)
    {
        reader.RefuseTrue("use_bidirectional_attention");
        Sizes = BlockSizes.Read(
            reader, absentKeys: 16, absentHeadSize: 256, activationKey: reader.Either("hidden_activation", "hidden_act"),
            absentActivation: "gelu_pytorch_tanh") with
        { NormKind = Gemma.Norm };
        // The first files say "gelu" and mean the tanh form: https://github.com/huggingface/transformers/pull/29402.
        if (reader.Text("hidden_activation") is null && reader.Text("hidden_act") == "gelu")
            Sizes = Sizes with { Gated = Activation.Gated("gelu_pytorch_tanh", reader.Location) };
        Rotary = RotarySettings.Read(reader, Sizes.Heads.Size);
        HasAttentionBias = reader.Flag("attention_bias", absent: false);
    }

    public BlockSizes Sizes { get; }

    public RotaryEmbedding Rotary { get; }

    /// <summary>Biases on the four projections of attention.</summary>
    public bool HasAttentionBias { get; }
}

/// <summary>Gemma (Gemma Team 2024, https://arxiv.org/abs/2403.08295): a Llama with embeddings times √C and norm weights that lie as w − 1.</summary>
internal static class Gemma
{
    public static ModelFamily Family { get; } =
        ModelFamily.Of("gemma", "GemmaForCausalLM", "model.embed_tokens.weight", reader => new GemmaConfig(reader), Build);

    /// <summary>The norm of all Gemmas.</summary>
    internal static Func<Tensor, Tensor> Norm(WeightScope weights, long width, double epsilon) =>
        new RootMeanSquareNorm(weights, width, epsilon, isStoredLessOne: true).Forward;

    private static RotaryDecoder Build(GemmaConfig config, WeightSource source) => new(config, source, new RotaryDecoderDesign
    {
        Sizes = config.Sizes,
        Rotary = config.Rotary,
        Layer = (weights, index) => Layer(config, weights, index),
        EmbeddingScale = Math.Sqrt(config.Width),
    });

    private static PreNormLayer Layer(GemmaConfig config, WeightScope weights, int index)
    {
        var attention = config.Sizes.Attention with { HasInputBias = config.HasAttentionBias, HasOutputBias = config.HasAttentionBias };
        return new PreNormLayer(
            config.Sizes.Norm(weights["input_layernorm"]),
            new GroupedQueryAttention(attention, weights["self_attn"], config.Width, index).Forward,
            config.Sizes.Norm(weights["post_attention_layernorm"]),
            config.Sizes.FeedForward(weights["mlp"]));
    }
}
