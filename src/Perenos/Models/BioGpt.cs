using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a BioGPT.</summary>
internal sealed record BioGptConfig : ModelConfig
{
    /// <summary>Attention heads, H.</summary>
    public required int Heads { get; init; }

    /// <summary>Width inside the feed-forward part.</summary>
    public required long InnerWidth { get; init; }

    /// <summary>Name of the activation.</summary>
    public required string ActivationName { get; init; }

    /// <summary>Whether token embeddings are multiplied by √C.</summary>
    public required bool ScalesEmbedding { get; init; }

    /// <summary>Spread of random weights.</summary>
    public required double InitialSpread { get; init; }

    internal static BioGptConfig Read(ConfigReader reader)
    {
        long width = reader.Size("hidden_size");
        return new BioGptConfig
        {
            ModelType = "biogpt",
            VocabularySize = reader.Size("vocab_size"),
            Width = width,
            LayerCount = (int)reader.Size("num_hidden_layers"),
            MaximumLength = reader.Size("max_position_embeddings", absent: 1024),
            IsTied = reader.Flag("tie_word_embeddings", absent: true),
            Json = reader.Json,
            Heads = reader.Heads("num_attention_heads", width),
            InnerWidth = reader.Size("intermediate_size"),
            ActivationName = reader.Text("hidden_act") ?? "gelu",
            ScalesEmbedding = reader.Flag("scale_embedding", absent: true),
            InitialSpread = reader.Number("initializer_range") ?? 0.02,
        };
    }
}

/// <summary>Plain attention.</summary>
internal sealed class BioGptAttention
{
    private readonly BioGptConfig _config;
    private readonly int _index;
    private readonly Projection _key;
    private readonly Projection _value;
    private readonly Projection _query;
    private readonly Projection _output;

    public BioGptAttention(BioGptConfig config, WeightScope weights, int index)
    {
        (_config, _index) = (config, index);
        Projection Project(string name) => new(weights[name], config.Width, config.Width, hasBias: true, initialSpread: config.InitialSpread);
        _key = Project("k_proj");
        _value = Project("v_proj");
        _query = Project("q_proj");
        _output = Project("out_proj");
    }

    public Tensor Forward(Tensor input, ForwardContext context)
    {
        using var scope = NewDisposeScope();

        // (B, T, C) -> (B, H, T, D)
        Tensor Heads(Projection projection) => projection.Forward(input).view(input.shape[0], input.shape[1], _config.Heads, -1).transpose(1, 2);
        var mixed = CausalAttention.Attend(Heads(_query), Heads(_key), Heads(_value), context, _index);
        return _output.Forward(mixed).MoveToOuterDisposeScope();
    }
}

/// <summary>BioGPT (Luo et al. 2022, https://arxiv.org/abs/2210.10341).</summary>
internal sealed class BioGpt : CausalModel
{
    // The table's first two rows were fairseq's special positions; position 0 is row 2.
    private const int FirstPosition = 2;

    // The reference's norms leave the configuration's layer_norm_eps unread.
    private const double NormEpsilon = 1e-5;

    private readonly Tensor _positions;
    private readonly PreNormLayer[] _layers;
    private readonly LayerNormalization _norm;

    internal BioGpt(BioGptConfig config, WeightSource source)
        : base(config, new ModelParts())
    {
        var root = new WeightScope(source, Parts);
        var weights = root["biogpt"];
        Embedding = new TokenEmbedding(weights["embed_tokens"], config.VocabularySize, config.Width, config.InitialSpread,
            scale: config.ScalesEmbedding ? Math.Sqrt(config.Width) : 1);
        _positions = weights["embed_positions"].Take(
            "weight", [config.MaximumLength + FirstPosition, config.Width], new Initialization.Normal(config.InitialSpread));
        _layers = [.. Enumerable.Range(0, config.LayerCount).Select(index => Layer(config, weights["layers"][$"{index}"], index))];
        _norm = new LayerNormalization(weights["layer_norm"], config.Width, NormEpsilon);
        Head = Projection.Head(root["output_projection"], Embedding, config.IsTied, initialSpread: config.InitialSpread);
    }

    internal static ModelFamily Family { get; } = ModelFamily.Of("biogpt", "BioGptForCausalLM", "biogpt.embed_tokens.weight", BioGptConfig.Read, (config, weights) => new BioGpt(config, weights)) with
    {
        HeadName = "output_projection.weight",
    };

    /// <inheritdoc/>
    public override TokenEmbedding Embedding { get; }

    /// <inheritdoc/>
    public override Projection Head { get; }

    /// <inheritdoc/>
    public override IReadOnlyList<IDecoderLayer> Layers => _layers;

    /// <inheritdoc/>
    public override Tensor Embed(Tensor tokens, ForwardContext context) =>
        Embedding.Forward(tokens, context).Plus(TokenEmbedding.Rows(_positions, context.Positions, FirstPosition));

    /// <inheritdoc/>
    public override Tensor FinalNorm(Tensor hidden) => _norm.Forward(hidden);

    private static PreNormLayer Layer(BioGptConfig config, WeightScope weights, int index) => new(
        attention: new BioGptAttention(config, weights["self_attn"], index).Forward,
        attentionNorm: new LayerNormalization(weights["self_attn_layer_norm"], config.Width, NormEpsilon).Forward,
        feedForward: new PlainFeedForward(weights["fc1"], weights["fc2"], config.Width, config.InnerWidth, config.ActivationName, config.InitialSpread).Forward,
        feedForwardNorm: new LayerNormalization(weights["final_layer_norm"], config.Width, NormEpsilon).Forward);
}
