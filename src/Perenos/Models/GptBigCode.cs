using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a GPTBigCode.</summary>
internal sealed record GptBigCodeConfig : ModelConfig
{
    /// <summary>Attention heads, H.</summary>
    public required int Heads { get; init; }

    /// <summary>One key and value head for all query heads.</summary>
    public required bool IsMultiQuery { get; init; }

    /// <summary>Width inside the feed-forward part.</summary>
    public required long InnerWidth { get; init; }

    /// <summary>Added to the variance in norms.</summary>
    public required double NormEpsilon { get; init; }

    /// <summary>Name of the activation.</summary>
    public required string ActivationName { get; init; }

    /// <summary>Whether attention scores are divided by the root of the head's size.</summary>
    public required bool HasScaledScores { get; init; }

    /// <summary>Spread of random weights.</summary>
    public required double InitialSpread { get; init; }

    internal static GptBigCodeConfig Read(ConfigReader reader)
    {
        reader.RefuseTrue("add_cross_attention");
        long width = reader.Size("n_embd");
        return new GptBigCodeConfig
        {
            ModelType = "gpt_bigcode",
            VocabularySize = reader.Size("vocab_size"),
            Width = width,
            LayerCount = (int)reader.Size("n_layer"),
            MaximumLength = reader.Size("n_positions", absent: 1024),
            IsTied = reader.Flag("tie_word_embeddings", absent: true),
            Json = reader.Json,
            Heads = reader.Heads("n_head", width),
            IsMultiQuery = reader.Flag("multi_query", absent: true),
            InnerWidth = reader.Size("n_inner", absent: 4 * width),
            NormEpsilon = reader.Number("layer_norm_epsilon") ?? 1e-5,
            ActivationName = reader.Text("activation_function") ?? "gelu_pytorch_tanh",
            HasScaledScores = reader.Flag("scale_attn_weights", absent: true),
            InitialSpread = reader.Number("initializer_range") ?? 0.02,
        };
    }
}

/// <summary>Attention with one fused projection; keys and values of all heads are the same, or each head has its own (Shazeer 2019, https://arxiv.org/abs/1911.02150).</summary>
internal sealed class GptBigCodeAttention
{
    private readonly GptBigCodeConfig _config;
    private readonly int _index;
    private readonly Projection _queryKeyValue;
    private readonly Projection _output;

    public GptBigCodeAttention(GptBigCodeConfig config, WeightScope weights, int index)
    {
        (_config, _index) = (config, index);
        long keyValueWidth = config.IsMultiQuery ? config.Width / config.Heads : config.Width;
        _queryKeyValue = new Projection(weights["c_attn"], config.Width, config.Width + 2 * keyValueWidth, hasBias: true, initialSpread: config.InitialSpread);
        _output = new Projection(weights["c_proj"], config.Width, config.Width, hasBias: true, initialSpread: config.InitialSpread / Math.Sqrt(2.0 * config.LayerCount));
    }

    public Tensor Forward(Tensor input, ForwardContext context)
    {
        using var scope = NewDisposeScope();
        var (batch, time, heads, size) = (input.shape[0], input.shape[1], _config.Heads, _config.Width / _config.Heads);
        var fused = _queryKeyValue.Forward(input);

        // Either (B, T, (H + 2) D), or (B, T, H · 3 D) with query, key and value of each head side by side.
        var (query, key, value) = _config.IsMultiQuery
            ? (fused.narrow(2, 0, heads * size).reshape(batch, time, heads, size), fused.narrow(2, heads * size, size).unsqueeze(2), fused.narrow(2, (heads + 1) * size, size).unsqueeze(2))
            : (Part(0), Part(1), Part(2));
        Tensor Part(int place) => fused.view(batch, time, heads, 3, size).select(3, place);
        var mixed = CausalAttention.Attend(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), context, _index, scale: _config.HasScaledScores ? null : 1);
        return _output.Forward(mixed).MoveToOuterDisposeScope();
    }
}

/// <summary>GPTBigCode, the family of SantaCoder (Ben Allal et al. 2023, https://arxiv.org/abs/2301.03988) and StarCoder (Li et al. 2023, https://arxiv.org/abs/2305.06161).</summary>
internal sealed class GptBigCode : CausalModel
{
    private readonly Tensor _positions;
    private readonly PreNormLayer[] _layers;
    private readonly LayerNormalization _norm;

    internal GptBigCode(GptBigCodeConfig config, WeightSource source)
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

    internal static ModelFamily Family { get; } = ModelFamily.Of("gpt_bigcode", "GPTBigCodeForCausalLM", "transformer.wte.weight", GptBigCodeConfig.Read, (config, weights) => new GptBigCode(config, weights)) with
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

    private static PreNormLayer Layer(GptBigCodeConfig config, WeightScope weights, int index) => new(
        new LayerNormalization(weights["ln_1"], config.Width, config.NormEpsilon).Forward,
        new GptBigCodeAttention(config, weights["attn"], index).Forward,
        new LayerNormalization(weights["ln_2"], config.Width, config.NormEpsilon).Forward,
        new PlainFeedForward(weights["mlp"]["c_fc"], weights["mlp"]["c_proj"], config.Width, config.InnerWidth, config.ActivationName, config.InitialSpread,
            downSpread: config.InitialSpread / Math.Sqrt(2.0 * config.LayerCount)).Forward);
}
