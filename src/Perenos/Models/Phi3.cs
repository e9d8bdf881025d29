using System.Diagnostics.CodeAnalysis;
using Perenos.Layers;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a Phi 3.</summary>
internal sealed record Phi3Config : ModelConfig
{
    [SetsRequiredMembers]
    public Phi3Config(ConfigReader reader)
        : base(reader, "phi3", absentMaximumLength: 4096, isTiedWhereAbsent: false)
    {
        Sizes = BlockSizes.Read(reader, absentEpsilon: 1e-5);
        Rotary = RotarySettings.Read(reader, Sizes.Heads.Size, absentShare: 1);
        if (Rotary.Scaling is not (RotaryScaling.None or RotaryScaling.LongRope))
        {
            throw new PerenosException(
                $"{reader.Location}: rotary scaling of the kind {Rotary.Scaling.GetType().Name} is not implemented for phi3.", "Implemented: default, longrope.");
        }

        Window = reader.SizeOrNone("sliding_window", absent: null);
    }

    public BlockSizes Sizes { get; }

    public RotaryEmbedding Rotary { get; }

    /// <summary>Tokens that each token sees, itself and those just before it; none: all.</summary>
    public long? Window { get; }
}

/// <summary>Grouped-query attention with one projection for queries, keys and values, one after the other.</summary>
internal sealed class Phi3Attention
{
    private readonly Phi3Config _config;
    private readonly int _index;
    private readonly Projection _queryKeyValue;
    private readonly Projection _output;

    public Phi3Attention(Phi3Config config, WeightScope weights, int index)
    {
        (_config, _index) = (config, index);
        var heads = config.Sizes.Heads;
        _queryKeyValue = new Projection(weights["qkv_proj"], config.Width, heads.QueryWidth + 2 * heads.KeyWidth, hasBias: false, initialSpread: config.Sizes.InitialSpread);
        _output = new Projection(weights["o_proj"], heads.QueryWidth, config.Width, hasBias: false, initialSpread: config.Sizes.InitialSpread);
    }

    public Tensor Forward(Tensor input, ForwardContext context)
    {
        using var scope = NewDisposeScope();
        var heads = _config.Sizes.Heads;
        // (B, T, (H + 2 G) · D) -> (B, T, H + 2 G, D)
        var all = _queryKeyValue.Forward(input).view(input.shape[0], input.shape[1], -1, heads.Size);
        var query = context.Rotary!.Rotate(all.narrow(2, 0, heads.Queries)).transpose(1, 2);
        var key = context.Rotary.Rotate(all.narrow(2, heads.Queries, heads.Keys)).transpose(1, 2);
        var value = all.narrow(2, heads.Queries + heads.Keys, heads.Keys).transpose(1, 2);
        return _output.Forward(CausalAttention.Attend(query, key, value, context, _index, _config.Window)).MoveToOuterDisposeScope();
    }
}

/// <summary>Gated feed-forward part with one projection for gate and up.</summary>
internal sealed class Phi3FeedForward
{
    private readonly Func<Tensor, Tensor, Tensor> _gated;
    private readonly Projection _gateAndUp;
    private readonly Projection _down;

    public Phi3FeedForward(BlockSizes sizes, WeightScope weights)
    {
        _gated = sizes.Gated;
        _gateAndUp = new Projection(weights["gate_up_proj"], sizes.Width, 2 * sizes.InnerWidth, hasBias: false, initialSpread: sizes.InitialSpread);
        _down = new Projection(weights["down_proj"], sizes.InnerWidth, sizes.Width, hasBias: false, initialSpread: sizes.InitialSpread);
    }

    public Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        var halves = _gateAndUp.Forward(input).chunk(2, -1);
        return _down.Forward(_gated(halves[0].contiguous(), halves[1].contiguous())).MoveToOuterDisposeScope();
    }
}

/// <summary>Phi 3 and 4 (Abdin et al. 2024, https://arxiv.org/abs/2404.14219): a Llama with fused projections, and LongRoPE for long contexts.</summary>
internal static class Phi3
{
    public static ModelFamily Family { get; } =
        ModelFamily.Of("phi3", "Phi3ForCausalLM", "model.embed_tokens.weight", reader => new Phi3Config(reader), Build);

    private static RotaryDecoder Build(Phi3Config config, WeightSource source) => new(config, source, new RotaryDecoderDesign
    {
        Sizes = config.Sizes,
        Rotary = config.Rotary,
        Layer = (weights, index) => new PreNormLayer(
            config.Sizes.Norm(weights["input_layernorm"]),
            new Phi3Attention(config, weights["self_attn"], index).Forward,
            config.Sizes.Norm(weights["post_attention_layernorm"]),
            new Phi3FeedForward(config.Sizes, weights["mlp"]).Forward),
    });
}
