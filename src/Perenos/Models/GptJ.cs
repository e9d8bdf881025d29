using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a GPT-J, and of a CodeGen.</summary>
internal sealed record GptJConfig : ModelConfig
{
    /// <summary>Attention heads, H.</summary>
    public required int Heads { get; init; }

    /// <summary>Width inside the feed-forward part.</summary>
    public required long InnerWidth { get; init; }

    /// <summary>Added to the variance in norms.</summary>
    public required double NormEpsilon { get; init; }

    /// <summary>Rotary positions.</summary>
    public required RotaryEmbedding Rotary { get; init; }

    /// <summary>Name of the activation.</summary>
    public required string ActivationName { get; init; }

    /// <summary>Spread of random weights.</summary>
    public required double InitialSpread { get; init; }

    internal static GptJConfig Read(ConfigReader reader, string modelType)
    {
        long width = reader.Size("n_embd");
        int heads = reader.Heads("n_head", width);
        long rotated = reader.Size("rotary_dim", absent: reader.Json.ContainsKey("rotary_dim") ? null : 64);
        if (rotated > width / heads || rotated % 2 != 0)
            throw reader.Wrong("rotary_dim", $"an even number up to the {width / heads} channels of a head");
        return new GptJConfig
        {
            ModelType = modelType,
            VocabularySize = reader.Size("vocab_size"),
            Width = width,
            LayerCount = (int)reader.Size("n_layer"),
            MaximumLength = reader.Size("n_positions", absent: 2048),
            IsTied = reader.Flag("tie_word_embeddings", absent: false),
            Json = reader.Json,
            Heads = heads,
            InnerWidth = reader.Size("n_inner", absent: 4 * width),
            NormEpsilon = reader.Number("layer_norm_epsilon") ?? 1e-5,
            Rotary = new RotaryEmbedding(rotated, 10_000, new RotaryScaling.None()),
            ActivationName = reader.Text("activation_function") ?? "gelu_new",
            InitialSpread = reader.Number("initializer_range") ?? 0.02,
        };
    }
}

/// <summary>Attention with rotary positions on the first channels of a head, neighbours turning together.</summary>
internal sealed class GptJAttention
{
    private readonly GptJConfig _config;
    private readonly int _index;
    private readonly Projection _key;
    private readonly Projection _value;
    private readonly Projection _query;
    private readonly Projection _output;

    public GptJAttention(GptJConfig config, WeightScope weights, int index)
    {
        (_config, _index) = (config, index);
        Projection Project(string name) => new(weights[name], config.Width, config.Width, hasBias: false, initialSpread: config.InitialSpread);
        _key = Project("k_proj");
        _value = Project("v_proj");
        _query = Project("q_proj");
        _output = Project("out_proj");
    }

    public Tensor Forward(Tensor input, ForwardContext context)
    {
        using var scope = NewDisposeScope();

        // (B, T, C) -> (B, T, H, D)
        Tensor SplitHeads(Tensor x) => x.view(x.shape[0], x.shape[1], _config.Heads, -1);
        var query = context.Rotary!.RotateNeighbours(SplitHeads(_query.Forward(input))).transpose(1, 2);
        var key = context.Rotary.RotateNeighbours(SplitHeads(_key.Forward(input))).transpose(1, 2);
        var value = SplitHeads(_value.Forward(input)).transpose(1, 2);
        return _output.Forward(CausalAttention.Attend(query, key, value, context, _index)).MoveToOuterDisposeScope();
    }
}

/// <summary>GPT-J (Wang and Komatsuzaki 2021, https://github.com/kingoflolz/mesh-transformer-jax), and what differs from it in attention only.</summary>
internal sealed class GptJ : CausalModel
{
    private readonly GptJConfig _config;
    private readonly ParallelLayer[] _layers;
    private readonly LayerNormalization _norm;

    /// <param name="config">Sizes and kinds.</param>
    /// <param name="source">Where the weights come from.</param>
    /// <param name="attention">Builds the attention of a block from its place and index.</param>
    internal GptJ(GptJConfig config, WeightSource source, Func<WeightScope, int, Func<Tensor, ForwardContext, Tensor>> attention)
        : base(config, new ModelParts())
    {
        _config = config;
        var root = new WeightScope(source, Parts);
        var weights = root["transformer"];
        Embedding = new TokenEmbedding(weights["wte"], config.VocabularySize, config.Width, config.InitialSpread);
        _layers = [.. Enumerable.Range(0, config.LayerCount).Select(index => Layer(config, weights["h"][$"{index}"], block => attention(block, index)))];
        _norm = new LayerNormalization(weights["ln_f"], config.Width, config.NormEpsilon);
        Head = Projection.Head(root["lm_head"], Embedding, config.IsTied, hasBias: true, config.InitialSpread);
    }

    internal static ModelFamily Family { get; } = ModelFamily.Of("gptj", "GPTJForCausalLM", "transformer.wte.weight",
        reader => GptJConfig.Read(reader, "gptj"),
        (config, weights) => new GptJ(config, weights, (block, index) => new GptJAttention(config, block, index).Forward)) with
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
    public override Tensor Embed(Tensor tokens, ForwardContext context)
    {
        context.Rotary = _config.Rotary.At(context.Positions);
        return Embedding.Forward(tokens, context);
    }

    /// <inheritdoc/>
    public override Tensor FinalNorm(Tensor hidden) => _norm.Forward(hidden);

    private static ParallelLayer Layer(GptJConfig config, WeightScope weights, Func<WeightScope, Func<Tensor, ForwardContext, Tensor>> attention) => new(
        new LayerNormalization(weights["ln_1"], config.Width, config.NormEpsilon).Forward,
        attention(weights["attn"]),
        new PlainFeedForward(weights["mlp"]["fc_in"], weights["mlp"]["fc_out"], config.Width, config.InnerWidth, config.ActivationName, config.InitialSpread).Forward);
}
