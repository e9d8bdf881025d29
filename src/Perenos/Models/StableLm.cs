using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a StableLM.</summary>
internal sealed record StableLmConfig : ModelConfig
{
    /// <summary>Attention heads, H.</summary>
    public required int Heads { get; init; }

    /// <summary>Key and value heads, G; divides H.</summary>
    public required int KeyValueHeads { get; init; }

    /// <summary>Width inside the feed-forward part.</summary>
    public required long InnerWidth { get; init; }

    /// <summary>Added to the variance in norms.</summary>
    public required double NormEpsilon { get; init; }

    /// <summary>Rotary positions.</summary>
    public required RotaryEmbedding Rotary { get; init; }

    /// <summary>Whether attention and feed-forward part both read the block's input, through one norm.</summary>
    public required bool IsParallel { get; init; }

    /// <summary>Norms on queries and keys, one for each head.</summary>
    public required bool HasHeadNorms { get; init; }

    /// <summary>Biases on query, key and value.</summary>
    public required bool HasQueryKeyValueBias { get; init; }

    /// <summary>Name of the gate's activation.</summary>
    public required string ActivationName { get; init; }

    /// <summary>Spread of random weights.</summary>
    public required double InitialSpread { get; init; }

    internal static StableLmConfig Read(ConfigReader reader)
    {
        long width = reader.Size("hidden_size");
        int heads = reader.Heads("num_attention_heads", width);
        long groups = reader.Size("num_key_value_heads", absent: heads);
        if (heads % groups != 0)
            throw reader.Wrong("num_key_value_heads", $"a divisor of num_attention_heads ({heads})");
        return new StableLmConfig
        {
            ModelType = "stablelm",
            VocabularySize = reader.Size("vocab_size"),
            Width = width,
            LayerCount = (int)reader.Size("num_hidden_layers"),
            MaximumLength = reader.Size("max_position_embeddings", absent: 4096),
            IsTied = reader.Flag("tie_word_embeddings", absent: false),
            Json = reader.Json,
            Heads = heads,
            KeyValueHeads = (int)groups,
            InnerWidth = reader.Size("intermediate_size"),
            NormEpsilon = reader.Number("layer_norm_eps") ?? 1e-5,
            Rotary = RotarySettings.Read(reader, width / heads, absentShare: 0.25),
            IsParallel = reader.Flag("use_parallel_residual", absent: false),
            HasHeadNorms = reader.Flag("qk_layernorm", absent: false),
            HasQueryKeyValueBias = reader.Flag("use_qkv_bias", absent: false),
            ActivationName = reader.Text("hidden_act") ?? "silu",
            InitialSpread = reader.Number("initializer_range") ?? 0.02,
        };
    }
}

/// <summary>A norm without bias for each head.</summary>
internal sealed class StableLmHeadNorms
{
    private readonly LayerNormalization[] _norms;

    public StableLmHeadNorms(WeightScope weights, int heads, long headSize, double epsilon) =>
        _norms = [.. Enumerable.Range(0, heads).Select(head => new LayerNormalization(weights["norms"][$"{head}"], headSize, epsilon, hasBias: false))];

    /// <summary>(B, T, N, D) -> (B, T, N, D).</summary>
    public Tensor Forward(Tensor heads)
    {
        using var scope = NewDisposeScope();
        return stack(_norms.Select((norm, head) => norm.Forward(heads.select(2, head))).ToArray(), 2).MoveToOuterDisposeScope();
    }
}

/// <summary>Grouped-query attention with rotary positions on the first channels of a head.</summary>
internal sealed class StableLmAttention
{
    private readonly int _index;
    private readonly long _headSize;
    private readonly Projection _query;
    private readonly Projection _key;
    private readonly Projection _value;
    private readonly Projection _output;
    private readonly StableLmHeadNorms? _queryNorms;
    private readonly StableLmHeadNorms? _keyNorms;

    public StableLmAttention(StableLmConfig config, WeightScope weights, int index)
    {
        (_index, _headSize) = (index, config.Width / config.Heads);
        Projection Project(string name, long outputs, bool hasBias) => new(weights[name], config.Width, outputs, hasBias, initialSpread: config.InitialSpread);
        _query = Project("q_proj", config.Width, config.HasQueryKeyValueBias);
        _key = Project("k_proj", config.KeyValueHeads * _headSize, config.HasQueryKeyValueBias);
        _value = Project("v_proj", config.KeyValueHeads * _headSize, config.HasQueryKeyValueBias);
        _output = Project("o_proj", config.Width, hasBias: false);
        if (config.HasHeadNorms)
        {
            _queryNorms = new StableLmHeadNorms(weights["q_layernorm"], config.Heads, _headSize, config.NormEpsilon);
            _keyNorms = new StableLmHeadNorms(weights["k_layernorm"], config.KeyValueHeads, _headSize, config.NormEpsilon);
        }
    }

    public Tensor Forward(Tensor input, ForwardContext context)
    {
        using var scope = NewDisposeScope();

        // (B, T, N · D) -> (B, T, N, D)
        Tensor Heads(Projection projection, StableLmHeadNorms? norms = null)
        {
            var heads = projection.Forward(input).view(input.shape[0], input.shape[1], -1, _headSize);
            return norms is null ? heads : norms.Forward(heads);
        }

        var query = context.Rotary!.Rotate(Heads(_query, _queryNorms)).transpose(1, 2);
        var key = context.Rotary.Rotate(Heads(_key, _keyNorms)).transpose(1, 2);
        var value = Heads(_value).transpose(1, 2);
        return _output.Forward(CausalAttention.Attend(query, key, value, context, _index)).MoveToOuterDisposeScope();
    }
}

/// <summary>A block: x + attention(norm x), then x + feed-forward(norm x); or both at once from one norm.</summary>
internal sealed class StableLmLayer : IDecoderLayer
{
    private readonly StableLmAttention _attention;
    private readonly GatedFeedForward _feedForward;
    private readonly LayerNormalization _attentionNorm;
    private readonly LayerNormalization? _feedForwardNorm;

    public StableLmLayer(StableLmConfig config, WeightScope weights, int index)
    {
        _attention = new StableLmAttention(config, weights["self_attn"], index);
        _feedForward = new GatedFeedForward(
            weights["mlp"], config.Width, config.InnerWidth, Activation.Gated(config.ActivationName, "config.json"), hasBias: false, config.InitialSpread);
        _attentionNorm = new LayerNormalization(weights["input_layernorm"], config.Width, config.NormEpsilon);
        _feedForwardNorm = config.IsParallel ? null : new LayerNormalization(weights["post_attention_layernorm"], config.Width, config.NormEpsilon);
    }

    public Tensor Forward(Tensor hidden, ForwardContext context)
    {
        using var scope = NewDisposeScope();
        var normed = _attentionNorm.Forward(hidden);
        var attended = hidden.Plus(_attention.Forward(normed, context));
        return attended.Plus(_feedForward.Forward(_feedForwardNorm?.Forward(attended) ?? normed)).MoveToOuterDisposeScope();
    }
}

/// <summary>StableLM (Bellagente et al. 2024, https://arxiv.org/abs/2402.17834).</summary>
internal sealed class StableLm : CausalModel
{
    private readonly StableLmConfig _config;
    private readonly StableLmLayer[] _layers;
    private readonly LayerNormalization _norm;

    internal StableLm(StableLmConfig config, WeightSource source)
        : base(config, new ModelParts())
    {
        _config = config;
        var root = new WeightScope(source, Parts);
        var weights = root["model"];
        Embedding = new TokenEmbedding(weights["embed_tokens"], config.VocabularySize, config.Width, config.InitialSpread);
        _layers = [.. Enumerable.Range(0, config.LayerCount).Select(index => new StableLmLayer(config, weights["layers"][$"{index}"], index))];
        _norm = new LayerNormalization(weights["norm"], config.Width, config.NormEpsilon);
        Head = Projection.Head(root["lm_head"], Embedding, config.IsTied, initialSpread: config.InitialSpread);
    }

    internal static ModelFamily Family { get; } = ModelFamily.Of("stablelm", "StableLmForCausalLM", "model.embed_tokens.weight", StableLmConfig.Read, (config, weights) => new StableLm(config, weights));

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
}
