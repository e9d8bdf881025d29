using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a BLOOM.</summary>
internal sealed record BloomConfig : ModelConfig
{
    /// <summary>Attention heads, H.</summary>
    public required int Heads { get; init; }

    /// <summary>Added to the variance in norms.</summary>
    public required double NormEpsilon { get; init; }

    /// <summary>Whether the sums of a block take the normed input instead of the input.</summary>
    public required bool AddsNormedInput { get; init; }

    /// <summary>Spread of random weights.</summary>
    public required double InitialSpread { get; init; }

    internal static BloomConfig Read(ConfigReader reader)
    {
        long width = reader.Size(reader.Either("hidden_size", "n_embed"));
        if (reader.OptionalInteger("n_inner") is { } inner && inner != 4 * width)
            throw reader.Wrong("n_inner", $"four times the width ({4 * width}), the only one that this family has");
        return new BloomConfig
        {
            ModelType = "bloom",
            VocabularySize = reader.Size("vocab_size"),
            Width = width,
            LayerCount = (int)reader.Size(reader.Either("n_layer", "num_hidden_layers")),
            // Biases by distance have no last position; seq_length is what the model was trained on.
            MaximumLength = reader.Size("seq_length", absent: 2048),
            IsTied = reader.Flag("tie_word_embeddings", absent: true),
            Json = reader.Json,
            Heads = reader.Heads(reader.Either("n_head", "num_attention_heads"), width),
            NormEpsilon = reader.Number("layer_norm_epsilon") ?? 1e-5,
            AddsNormedInput = reader.Flag("apply_residual_connection_post_layernorm", absent: false),
            InitialSpread = reader.Number("initializer_range") ?? 0.02,
        };
    }
}

/// <summary>Attention with one fused projection, in which query, key and value of each head stand side by side.</summary>
internal sealed class BloomAttention
{
    private readonly BloomConfig _config;
    private readonly int _index;
    private readonly Projection _queryKeyValue;
    private readonly Projection _output;

    public BloomAttention(BloomConfig config, WeightScope weights, int index)
    {
        (_config, _index) = (config, index);
        _queryKeyValue = new Projection(weights["query_key_value"], config.Width, 3 * config.Width, hasBias: true, initialSpread: config.InitialSpread);
        _output = new Projection(weights["dense"], config.Width, config.Width, hasBias: true, initialSpread: config.InitialSpread);
    }

    public Tensor Forward(Tensor input, ForwardContext context)
    {
        using var scope = NewDisposeScope();

        // (B, T, 3 C) -> (B, T, H, 3, D)
        var heads = _queryKeyValue.Forward(input).view(input.shape[0], input.shape[1], _config.Heads, 3, -1);
        Tensor Part(int place) => heads.select(3, place).transpose(1, 2);
        return _output.Forward(CausalAttention.Attend(Part(0), Part(1), Part(2), context, _index)).MoveToOuterDisposeScope();
    }
}

/// <summary>A block: x + attention(norm x), then x + feed-forward(norm x), where each x may be its norm.</summary>
internal sealed class BloomLayer : IDecoderLayer
{
    private readonly bool _addsNormedInput;
    private readonly LayerNormalization _attentionNorm;
    private readonly BloomAttention _attention;
    private readonly LayerNormalization _feedForwardNorm;
    private readonly PlainFeedForward _feedForward;

    public BloomLayer(BloomConfig config, WeightScope weights, int index)
    {
        _addsNormedInput = config.AddsNormedInput;
        _attentionNorm = new LayerNormalization(weights["input_layernorm"], config.Width, config.NormEpsilon);
        _attention = new BloomAttention(config, weights["self_attention"], index);
        _feedForwardNorm = new LayerNormalization(weights["post_attention_layernorm"], config.Width, config.NormEpsilon);
        _feedForward = new PlainFeedForward(
            weights["mlp"]["dense_h_to_4h"], weights["mlp"]["dense_4h_to_h"], config.Width, 4 * config.Width, activation: "gelu_new", config.InitialSpread);
    }

    public Tensor Forward(Tensor hidden, ForwardContext context)
    {
        using var scope = NewDisposeScope();
        var normed = _attentionNorm.Forward(hidden);
        hidden = (_addsNormedInput ? normed : hidden).Plus(_attention.Forward(normed, context));
        normed = _feedForwardNorm.Forward(hidden);
        return (_addsNormedInput ? normed : hidden).Plus(_feedForward.Forward(normed)).MoveToOuterDisposeScope();
    }
}

/// <summary>BLOOM (Le Scao et al. 2022, https://arxiv.org/abs/2211.05100).</summary>
internal sealed class Bloom : CausalModel
{
    private readonly float[] _slopes;
    private readonly LayerNormalization _embeddingNorm;
    private readonly BloomLayer[] _layers;
    private readonly LayerNormalization _norm;

    internal Bloom(BloomConfig config, WeightSource source)
        : base(config, new ModelParts())
    {
        _slopes = LinearBiases.Slopes(config.Heads);
        var root = new WeightScope(source, Parts);
        var weights = root["transformer"];
        Embedding = new TokenEmbedding(weights["word_embeddings"], config.VocabularySize, config.Width, config.InitialSpread);
        _embeddingNorm = new LayerNormalization(weights["word_embeddings_layernorm"], config.Width, config.NormEpsilon);
        _layers = [.. Enumerable.Range(0, config.LayerCount).Select(index => new BloomLayer(config, weights["h"][$"{index}"], index))];
        _norm = new LayerNormalization(weights["ln_f"], config.Width, config.NormEpsilon);
        Head = Projection.Head(root["lm_head"], Embedding, config.IsTied, initialSpread: config.InitialSpread);
    }

    internal static ModelFamily Family { get; } = ModelFamily.Of("bloom", "BloomForCausalLM", "transformer.word_embeddings.weight", BloomConfig.Read, (config, weights) => new Bloom(config, weights)) with
    {
        OldBuffers = [".self_attention.scale_mask_softmax.causal_mask"],
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
        context.AddToScores(LinearBiases.For(context, _slopes, ComputeType));
        return _embeddingNorm.Forward(Embedding.Forward(tokens, context));
    }

    /// <inheritdoc/>
    public override Tensor FinalNorm(Tensor hidden) => _norm.Forward(hidden);
}
