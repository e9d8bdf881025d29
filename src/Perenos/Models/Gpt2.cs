using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a GPT-2.</summary>
public sealed record Gpt2Config : ModelConfig
{
    /// <summary>Attention heads, H.</summary>
    public required int Heads { get; init; }

    /// <summary>Width inside the feed-forward part.</summary>
    public required long InnerWidth { get; init; }

    /// <summary>Added to the variance in norms.</summary>
    public required double NormEpsilon { get; init; }

    /// <summary>Name of the activation.</summary>
    public required string ActivationName { get; init; }

    /// <summary>Whether attention scores are divided by the root of the head's size.</summary>
    public required bool HasScaledScores { get; init; }

    /// <summary>Whether the scores of layer l (from 0) are divided by l + 1 as well.</summary>
    public required bool ScalesByLayer { get; init; }

    /// <summary>Spread of random weights.</summary>
    public required double InitialSpread { get; init; }

    internal static Gpt2Config Read(ConfigReader reader)
    {
        reader.RefuseTrue("add_cross_attention");
        long width = reader.Size("n_embd");
        int heads = (int)reader.Size("n_head");
        if (width % heads != 0)
            throw reader.Wrong("n_head", $"a divisor of n_embd ({width})");
        return new Gpt2Config
        {
            ModelType = "gpt2",
            VocabularySize = reader.Size("vocab_size"),
            Width = width,
            LayerCount = (int)reader.Size("n_layer"),
            MaximumLength = reader.Size("n_positions", absent: 1024),
            IsTied = reader.Flag("tie_word_embeddings", absent: true),
            Json = reader.Json,
            Heads = heads,
            InnerWidth = reader.Size("n_inner", absent: 4 * width),
            NormEpsilon = reader.Number("layer_norm_epsilon") ?? 1e-5,
            ActivationName = reader.Text("activation_function") ?? "gelu_new",
            HasScaledScores = reader.Flag("scale_attn_weights", absent: true),
            ScalesByLayer = reader.Flag("scale_attn_by_inverse_layer_idx", absent: false),
            InitialSpread = reader.Number("initializer_range") ?? 0.02,
        };
    }
}

/// <summary>Attention with one fused projection for query, key and value.</summary>
internal sealed class Gpt2Attention
{
    private readonly Gpt2Config _config;
    private readonly int _index;
    private readonly Projection _queryKeyValue;
    private readonly Projection _output;
    private readonly double _scale;

    public Gpt2Attention(Gpt2Config config, WeightScope weights, int index)
    {
        (_config, _index) = (config, index);
        _queryKeyValue = new Projection(weights["c_attn"], config.Width, 3 * config.Width, hasBias: true, isTransposed: true, config.InitialSpread);
        _output = new Projection(weights["c_proj"], config.Width, config.Width, hasBias: true, isTransposed: true,
            Gpt2.ResidualSpread(config));
        _scale = (config.HasScaledScores ? 1 / Math.Sqrt(config.Width / config.Heads) : 1) / (config.ScalesByLayer ? index + 1 : 1);
    }

    public Tensor Forward(Tensor input, ForwardContext context)
    {
        using var scope = NewDisposeScope();
        var (batch, time) = (input.shape[0], input.shape[1]);

        // (B, T, C) -> (B, H, T, D)
        Tensor SplitHeads(Tensor x) => x.view(batch, time, _config.Heads, -1).transpose(1, 2);
        var parts = _queryKeyValue.Forward(input).split(_config.Width, 2);
        var mixed = CausalAttention.Attend(
            SplitHeads(parts[0].contiguous()), SplitHeads(parts[1].contiguous()), SplitHeads(parts[2].contiguous()), context, _index, scale: _scale);
        return _output.Forward(mixed).MoveToOuterDisposeScope();
    }
}

/// <summary>GPT-2 (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners").</summary>
public sealed class Gpt2 : CausalModel
{
    private readonly Tensor _positions;
    private readonly PreNormLayer[] _layers;
    private readonly LayerNormalization _norm;

    internal Gpt2(Gpt2Config config, WeightSource source)
        : base(config, new ModelParts())
    {
        var root = new WeightScope(source, Parts);
        var weights = root["transformer"];
        Embedding = new TokenEmbedding(weights["wte"], config.VocabularySize, config.Width, config.InitialSpread);
        _positions = weights["wpe"].Take("weight", [config.MaximumLength, config.Width], new Initialization.Normal(config.InitialSpread));
        _layers = [.. Enumerable.Range(0, config.LayerCount).Select(index => Layer(config, weights["h"][$"{index}"], index))];
        _norm = new LayerNormalization(weights["ln_f"], config.Width, config.NormEpsilon);
        Head = Projection.Head(root["lm_head"], Embedding, config.IsTied, initialSpread: config.InitialSpread);
    }

    internal static ModelFamily Family { get; } = ModelFamily.Of("gpt2", "GPT2LMHeadModel", "transformer.wte.weight", Gpt2Config.Read, (config, weights) => new Gpt2(config, weights)) with
    {
        OldBuffers = [".attn.bias", ".attn.masked_bias"],
    };

    /// <inheritdoc/>
    public override TokenEmbedding Embedding { get; }

    /// <inheritdoc/>
    public override Projection Head { get; }

    /// <inheritdoc/>
    public override IReadOnlyList<IDecoderLayer> Layers => _layers;

    /// <inheritdoc/>
    public override Tensor Embed(Tensor tokens, ForwardContext context) =>
        Embedding.Forward(tokens, context).Plus(TokenEmbedding.Rows(_positions, context.Positions));

    /// <inheritdoc/>
    public override Tensor FinalNorm(Tensor hidden) => _norm.Forward(hidden);

    private static PreNormLayer Layer(Gpt2Config config, WeightScope weights, int index) => new(
        new LayerNormalization(weights["ln_1"], config.Width, config.NormEpsilon).Forward,
        new Gpt2Attention(config, weights["attn"], index).Forward,
        new LayerNormalization(weights["ln_2"], config.Width, config.NormEpsilon).Forward,
        new PlainFeedForward(weights["mlp"]["c_fc"], weights["mlp"]["c_proj"], config.Width, config.InnerWidth, config.ActivationName, config.InitialSpread,
            isTransposed: true, downSpread: ResidualSpread(config)).Forward);

    // Projections into the residual stream start smaller: https://github.com/openai/gpt-2, and section 2.3 of the paper.
    internal static double ResidualSpread(Gpt2Config config) => config.InitialSpread / Math.Sqrt(2.0 * config.LayerCount);
}
