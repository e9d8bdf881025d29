using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>Sizes and kinds of an OPT.</summary>
internal sealed record OptConfig : ModelConfig
{
    /// <summary>Attention heads, H.</summary>
    public required int Heads { get; init; }

    /// <summary>Width inside the feed-forward part.</summary>
    public required long InnerWidth { get; init; }

    /// <summary>Name of the activation.</summary>
    public required string ActivationName { get; init; }

    /// <summary>Width of token embeddings; where it is not the width of hidden states, projections lead from one to the other.</summary>
    public required long EmbeddingWidth { get; init; }

    /// <summary>Norms before attention and feed-forward part, not after the sums.</summary>
    public required bool IsNormFirst { get; init; }

    /// <summary>A norm after the last block; only where norms come first.</summary>
    public required bool HasFinalNorm { get; init; }

    /// <summary>Weights and biases on norms.</summary>
    public required bool HasNormWeights { get; init; }

    /// <summary>Biases on all projections of the blocks.</summary>
    public required bool HasBias { get; init; }

    /// <summary>Spread of random weights.</summary>
    public required double InitialSpread { get; init; }

    internal static OptConfig Read(ConfigReader reader)
    {
        long width = reader.Size("hidden_size");
        bool isNormFirst = reader.Flag("do_layer_norm_before", absent: true);
        return new OptConfig
        {
            ModelType = "opt",
            VocabularySize = reader.Size("vocab_size"),
            Width = width,
            LayerCount = (int)reader.Size("num_hidden_layers"),
            MaximumLength = reader.Size("max_position_embeddings", absent: 2048),
            IsTied = reader.Flag("tie_word_embeddings", absent: true),
            Json = reader.Json,
            Heads = reader.Heads("num_attention_heads", width),
            InnerWidth = reader.Size("ffn_dim"),
            ActivationName = reader.Text("activation_function") ?? "relu",
            EmbeddingWidth = reader.Size("word_embed_proj_dim", absent: width),
            IsNormFirst = isNormFirst,
            HasFinalNorm = isNormFirst && !reader.Flag("_remove_final_layer_norm", absent: false),
            HasNormWeights = reader.Flag("layer_norm_elementwise_affine", absent: true),
            HasBias = reader.Flag("enable_bias", absent: true),
            InitialSpread = reader.Number("init_std") ?? 0.02,
        };
    }

    internal LayerNormalization Norm(WeightScope weights) => new(weights, Width, epsilon: 1e-5, HasNormWeights, HasNormWeights);
}

/// <summary>Plain attention.</summary>
internal sealed class OptAttention
{
    private readonly OptConfig _config;
    private readonly int _index;
    private readonly Projection _key;
    private readonly Projection _value;
    private readonly Projection _query;
    private readonly Projection _output;

    public OptAttention(OptConfig config, WeightScope weights, int index)
    {
        (_config, _index) = (config, index);
        Projection Project(string name) => new(weights[name], config.Width, config.Width, config.HasBias, initialSpread: config.InitialSpread);
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

/// <summary>The block of OPT-350M: norms around the sums.</summary>
internal sealed class OptPostNormLayer(
    Func<Tensor, ForwardContext, Tensor> attention, Func<Tensor, Tensor> attentionNorm, Func<Tensor, Tensor> feedForward, Func<Tensor, Tensor> feedForwardNorm) : IDecoderLayer
{
    public Tensor Forward(Tensor hidden, ForwardContext context)
    {
        using var scope = NewDisposeScope();
        hidden = attentionNorm(hidden.Plus(attention(hidden, context)));
        return feedForwardNorm(hidden.Plus(feedForward(hidden))).MoveToOuterDisposeScope();
    }
}

/// <summary>OPT (Zhang et al. 2022, https://arxiv.org/abs/2205.01068).</summary>
internal sealed class Opt : CausalModel
{
    // As in fairseq, row 1 belongs to padding; position 0 is row 2.
    private const int FirstPosition = 2;

    private readonly Tensor _positions;
    private readonly Projection? _widen;
    private readonly IDecoderLayer[] _layers;
    private readonly LayerNormalization? _norm;
    private readonly Projection? _narrow;

    internal Opt(OptConfig config, WeightSource source)
        : base(config, new ModelParts())
    {
        var root = new WeightScope(source, Parts);
        var weights = root["model"]["decoder"];
        Embedding = new TokenEmbedding(weights["embed_tokens"], config.VocabularySize, config.EmbeddingWidth, config.InitialSpread);
        _positions = weights["embed_positions"].Take(
            "weight", [config.MaximumLength + FirstPosition, config.Width], new Initialization.Normal(config.InitialSpread));
        if (config.EmbeddingWidth != config.Width)
        {
            _narrow = new Projection(weights["project_out"], config.Width, config.EmbeddingWidth, hasBias: false, initialSpread: config.InitialSpread);
            _widen = new Projection(weights["project_in"], config.EmbeddingWidth, config.Width, hasBias: false, initialSpread: config.InitialSpread);
        }

        _norm = config.HasFinalNorm ? config.Norm(weights["final_layer_norm"]) : null;
        _layers = [.. Enumerable.Range(0, config.LayerCount).Select(index => Layer(config, weights["layers"][$"{index}"], index))];
        Head = Projection.Head(root["lm_head"], Embedding, config.IsTied, initialSpread: config.InitialSpread);
    }

    internal static ModelFamily Family { get; } = ModelFamily.Of("opt", "OPTForCausalLM", "model.decoder.embed_tokens.weight", OptConfig.Read, (config, weights) => new Opt(config, weights)) with
    {
        OldBuffers = ["decoder.version"],
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
        using var scope = NewDisposeScope();
        var hidden = Embedding.Forward(tokens, context);
        // Where no positions are given, the mask counts them; only here.
        var positions = TokenEmbedding.Rows(_positions, context.PositionsByMask(), FirstPosition);
        return (_widen is null ? hidden : _widen.Forward(hidden)).Plus(positions).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override Tensor FinalNorm(Tensor hidden)
    {
        using var scope = NewDisposeScope();
        var normed = _norm is null ? hidden.alias() : _norm.Forward(hidden);
        return (_narrow is null ? normed : _narrow.Forward(normed)).MoveToOuterDisposeScope();
    }

    private static IDecoderLayer Layer(OptConfig config, WeightScope weights, int index)
    {
        var attention = new OptAttention(config, weights["self_attn"], index);
        var attentionNorm = config.Norm(weights["self_attn_layer_norm"]);
        var feedForward = new PlainFeedForward(
            weights["fc1"], weights["fc2"], config.Width, config.InnerWidth, config.ActivationName, config.InitialSpread, config.HasBias);
        var feedForwardNorm = config.Norm(weights["final_layer_norm"]);
        return config.IsNormFirst
            ? new PreNormLayer(attentionNorm.Forward, attention.Forward, feedForwardNorm.Forward, feedForward.Forward)
            : new OptPostNormLayer(attention.Forward, attentionNorm.Forward, feedForward.Forward, feedForwardNorm.Forward);
    }
}
