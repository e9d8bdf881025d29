using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a Falcon.</summary>
internal sealed record FalconConfig : ModelConfig
{
    /// <summary>Attention heads, H.</summary>
    public required int Heads { get; init; }

    /// <summary>Key and value heads, G; divides H.</summary>
    public required int KeyValueHeads { get; init; }

    /// <summary>Width inside the feed-forward part.</summary>
    public required long InnerWidth { get; init; }

    /// <summary>Added to the variance in norms.</summary>
    public required double NormEpsilon { get; init; }

    /// <summary>Rotary positions; none where attention has linear biases instead.</summary>
    public required RotaryEmbedding? Rotary { get; init; }

    /// <summary>How the parts of a block are put together.</summary>
    public required FalconBlock Block { get; init; }

    /// <summary>Biases on all projections of the blocks.</summary>
    public required bool HasBias { get; init; }

    /// <summary>Name of the activation.</summary>
    public required string ActivationName { get; init; }

    /// <summary>Spread of random weights.</summary>
    public required double InitialSpread { get; init; }

    internal static FalconConfig Read(ConfigReader reader)
    {
        long width = reader.Size(reader.Either("hidden_size", "n_embed"));
        int heads = reader.Heads(reader.Either("num_attention_heads", "n_head"), width);
        bool isNew = reader.Flag("new_decoder_architecture", absent: false);
        string groupsKey = reader.Either("num_kv_heads", "n_head_kv");
        long groups = isNew ? reader.Size(groupsKey, absent: heads) : reader.Flag("multi_query", absent: true) ? 1 : heads;
        if (heads % groups != 0)
            throw reader.Wrong(groupsKey, $"a divisor of the {heads} heads");
        return new FalconConfig
        {
            ModelType = "falcon",
            VocabularySize = reader.Size("vocab_size"),
            Width = width,
            LayerCount = (int)reader.Size(reader.Either("num_hidden_layers", "n_layer")),
            MaximumLength = reader.Size("max_position_embeddings", absent: 2048),
            IsTied = reader.Flag("tie_word_embeddings", absent: true),
            Json = reader.Json,
            Heads = heads,
            KeyValueHeads = (int)groups,
            InnerWidth = reader.Size("ffn_hidden_size", absent: 4 * width),
            NormEpsilon = reader.Number("layer_norm_epsilon") ?? 1e-5,
            Rotary = reader.Flag("alibi", absent: false) ? null : RotarySettings.Read(reader, width / heads),
            Block = ReadBlock(reader, isNew),
            HasBias = reader.Flag("bias", absent: false),
            ActivationName = reader.Text("activation") ?? "gelu",
            InitialSpread = reader.Number("initializer_range") ?? 0.02,
        };
    }

    private static FalconBlock ReadBlock(ConfigReader reader, bool isNew)
    {
        bool isParallel = reader.Flag("parallel_attn", absent: true);
        if (isNew && !isParallel)
            throw reader.Wrong("parallel_attn", "true, as the new decoder architecture needs it");
        const string normsKey = "num_ln_in_parallel_attn";
        return (isParallel, reader.OptionalInteger(normsKey) ?? (isNew ? 2 : 1)) switch
        {
            (false, _) => FalconBlock.Sequential,
            (true, 1) => FalconBlock.ParallelOneNorm,
            (true, 2) when isNew => FalconBlock.ParallelTwoNorms,
            _ => throw reader.Wrong(normsKey, isNew ? "1 or 2" : "1, or 2 with new_decoder_architecture"),
        };
    }
}

/// <summary>How a Falcon block puts its parts together.</summary>
internal enum FalconBlock
{
    /// <summary>x + attention(norm₁ x), then x + feed-forward(norm₂ x): Falcon-RW.</summary>
    Sequential,

    /// <summary>x + attention(norm x) + feed-forward(norm x): Falcon-7B and Falcon2-11B.</summary>
    ParallelOneNorm,

    /// <summary>x + attention(norm₁ x) + feed-forward(norm₂ x): Falcon-40B and 180B.</summary>
    ParallelTwoNorms,
}

/// <summary>Attention with one fused projection, in which each group has its query heads, its key head and its value head side by side.</summary>
internal sealed class FalconAttention
{
    private readonly FalconConfig _config;
    private readonly int _index;
    private readonly Projection _queryKeyValue;
    private readonly Projection _output;

    public FalconAttention(FalconConfig config, WeightScope weights, int index)
    {
        (_config, _index) = (config, index);
        long fused = (config.Heads + 2 * config.KeyValueHeads) * (config.Width / config.Heads);
        _queryKeyValue = new Projection(weights["query_key_value"], config.Width, fused, config.HasBias, initialSpread: config.InitialSpread);
        _output = new Projection(weights["dense"], config.Width, config.Width, config.HasBias, initialSpread: config.InitialSpread);
    }

    public Tensor Forward(Tensor input, ForwardContext context)
    {
        using var scope = NewDisposeScope();
        var (batch, time) = (input.shape[0], input.shape[1]);
        long queries = _config.Heads / _config.KeyValueHeads;

        // (B, T, (H + 2 G) D) -> (B, T, G, H/G + 2, D)
        var groups = _queryKeyValue.Forward(input).view(batch, time, _config.KeyValueHeads, queries + 2, -1);
        var query = groups.narrow(3, 0, queries).reshape(batch, time, _config.Heads, -1);
        var (key, value) = (groups.select(3, queries), groups.select(3, queries + 1));
        if (context.Rotary is { } rotary)
            (query, key) = (rotary.Rotate(query), rotary.Rotate(key));
        var mixed = CausalAttention.Attend(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), context, _index);
        return _output.Forward(mixed).MoveToOuterDisposeScope();
    }
}

/// <summary>Falcon (Almazrouei et al. 2023, https://arxiv.org/abs/2311.16867).</summary>
internal sealed class Falcon : CausalModel
{
    private readonly FalconConfig _config;
    private readonly float[] _slopes;
    private readonly IDecoderLayer[] _layers;
    private readonly LayerNormalization _norm;

    internal Falcon(FalconConfig config, WeightSource source)
        : base(config, new ModelParts())
    {
        _config = config;
        // Unlike in the paper and in BLOOM, the biases are divided by √D as the scores are.
        _slopes = LinearBiases.Slopes(config.Heads);
        var root = new WeightScope(source, Parts);
        var weights = root["transformer"];
        Embedding = new TokenEmbedding(weights["word_embeddings"], config.VocabularySize, config.Width, config.InitialSpread);
        _layers = [.. Enumerable.Range(0, config.LayerCount).Select(index => Layer(config, weights["h"][$"{index}"], index))];
        _norm = new LayerNormalization(weights["ln_f"], config.Width, config.NormEpsilon);
        Head = Projection.Head(root["lm_head"], Embedding, config.IsTied, initialSpread: config.InitialSpread);
    }

    internal static ModelFamily Family { get; } = ModelFamily.Of("falcon", "FalconForCausalLM", "transformer.word_embeddings.weight", FalconConfig.Read, (config, weights) => new Falcon(config, weights));

    /// <inheritdoc/>
    public override TokenEmbedding Embedding { get; }

    /// <inheritdoc/>
    public override Projection Head { get; }

    /// <inheritdoc/>
    public override IReadOnlyList<IDecoderLayer> Layers => _layers;

    /// <inheritdoc/>
    public override Tensor Embed(Tensor tokens, ForwardContext context)
    {
        if (_config.Rotary is null)
        {
            using var biases = LinearBiases.For(context, _slopes, ComputeType, product: ScalarType.BFloat16);
            context.AddToScores(biases.Scale(1 / Math.Sqrt(_config.Width / _config.Heads)));
        }
        else
        {
            context.Rotary = _config.Rotary.At(context.Positions);
        }

        return Embedding.Forward(tokens, context);
    }

    /// <inheritdoc/>
    public override Tensor FinalNorm(Tensor hidden) => _norm.Forward(hidden);

    private static IDecoderLayer Layer(FalconConfig config, WeightScope weights, int index)
    {
        Func<Tensor, Tensor> Norm(string name) => new LayerNormalization(weights[name], config.Width, config.NormEpsilon).Forward;
        var attention = new FalconAttention(config, weights["self_attention"], index);
        var feedForward = new PlainFeedForward(
            weights["mlp"]["dense_h_to_4h"], weights["mlp"]["dense_4h_to_h"], config.Width, config.InnerWidth, config.ActivationName, config.InitialSpread, config.HasBias);
        return config.Block switch
        {
            FalconBlock.Sequential => new PreNormLayer(Norm("input_layernorm"), attention.Forward, Norm("post_attention_layernorm"), feedForward.Forward),
            FalconBlock.ParallelTwoNorms => new ParallelLayer(Norm("ln_attn"), attention.Forward, feedForward.Forward, Norm("ln_mlp")),
            _ => new ParallelLayer(Norm("input_layernorm"), attention.Forward, feedForward.Forward),
        };
    }
}
