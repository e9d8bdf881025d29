using System.Diagnostics.CodeAnalysis;
using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a StableLM.</summary>
internal sealed record StableLmConfig : ModelConfig
{
    [SetsRequiredMembers]
    public StableLmConfig(ConfigReader reader)
        : base(reader, "stablelm", absentMaximumLength: 4096, isTiedWhereAbsent: false)
    {
        Sizes = BlockSizes.Read(reader, absentEpsilon: 1e-5, epsilonKey: "layer_norm_eps") with
        {
            NormKind = (weights, width, epsilon) => new LayerNormalization(weights, width, epsilon).Forward,
        };
        Rotary = RotarySettings.Read(reader, Sizes.Heads.Size, absentShare: 0.25);
        IsParallel = reader.Flag("use_parallel_residual", absent: false);
        HasHeadNorms = reader.Flag("qk_layernorm", absent: false);
        HasQueryKeyValueBias = reader.Flag("use_qkv_bias", absent: false);
    }

    public BlockSizes Sizes { get; }

    public RotaryEmbedding Rotary { get; }

    /// <summary>Whether attention and feed-forward part both read the block's input, through one norm.</summary>
    public bool IsParallel { get; }

    /// <summary>Norms on queries and keys, one for each head.</summary>
    public bool HasHeadNorms { get; }

    /// <summary>Biases on query, key and value.</summary>
    public bool HasQueryKeyValueBias { get; }
}

/// <summary>A norm without bias for each head.</summary>
internal sealed class StableLmHeadNorms
{
    private readonly LayerNormalization[] _norms;

    public StableLmHeadNorms(WeightScope weights, long heads, long headSize, double epsilon) =>
        _norms = [.. Enumerable.Range(0, (int)heads).Select(head => new LayerNormalization(weights["norms"][$"{head}"], headSize, epsilon, hasBias: false))];

    /// <summary>(B, T, N, D) -> (B, T, N, D).</summary>
    public Tensor Forward(Tensor heads)
    {
        using var scope = NewDisposeScope();
        return stack(_norms.Select((norm, head) => norm.Forward(heads.select(2, head))).ToArray(), 2).MoveToOuterDisposeScope();
    }
}

/// <summary>StableLM (Bellagente et al. 2024, https://arxiv.org/abs/2402.17834): layer norms, rotation of the first channels of a head, halves in turn or both at once.</summary>
internal static class StableLm
{
    public static ModelFamily Family { get; } =
        ModelFamily.Of("stablelm", "StableLmForCausalLM", "model.embed_tokens.weight", reader => new StableLmConfig(reader), Build);

    private static RotaryDecoder Build(StableLmConfig config, WeightSource source) => new(config, source, new RotaryDecoderDesign
    {
        Sizes = config.Sizes,
        Rotary = config.Rotary,
        Layer = (weights, index) => Layer(config, weights, index),
    });

    private static IDecoderLayer Layer(StableLmConfig config, WeightScope weights, int index)
    {
        var sizes = config.Sizes;
        var attention = new GroupedQueryAttention(sizes.Attention with
        {
            HasInputBias = config.HasQueryKeyValueBias,
            HeadNorm = config.HasHeadNorms ? (norms, heads) => new StableLmHeadNorms(norms, heads, sizes.Heads.Size, sizes.NormEpsilon).Forward : null,
            NormNames = ("q_layernorm", "k_layernorm"),
        }, weights["self_attn"], config.Width, index);
        var feedForward = sizes.FeedForward(weights["mlp"]);
        var norm = sizes.Norm(weights["input_layernorm"]);
        return config.IsParallel
            ? new ParallelLayer(norm, attention.Forward, feedForward)
            : new PreNormLayer(norm, attention.Forward, sizes.Norm(weights["post_attention_layernorm"]), feedForward);
    }
}
