using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a Phi.</summary>
internal sealed record PhiConfig : ModelConfig
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

    /// <summary>Norms on each head of queries and keys.</summary>
    public required bool HasHeadNorms { get; init; }

    /// <summary>Name of the activation.</summary>
    public required string ActivationName { get; init; }

    /// <summary>Spread of random weights.</summary>
    public required double InitialSpread { get; init; }

    internal static PhiConfig Read(ConfigReader reader)
    {
        long width = reader.Size("hidden_size");
        int heads = reader.Heads("num_attention_heads", width);
        long groups = reader.Size("num_key_value_heads", absent: heads);
        if (heads % groups != 0)
            throw reader.Wrong("num_key_value_heads", $"a divisor of num_attention_heads ({heads})");
        return new PhiConfig
        {
            ModelType = "phi",
            VocabularySize = reader.Size("vocab_size"),
            Width = width,
            LayerCount = (int)reader.Size("num_hidden_layers"),
            MaximumLength = reader.Size("max_position_embeddings", absent: 2048),
            IsTied = reader.Flag("tie_word_embeddings", absent: false),
            Json = reader.Json,
            Heads = heads,
            KeyValueHeads = (int)groups,
            InnerWidth = reader.Size("intermediate_size", absent: 4 * width),
            NormEpsilon = reader.Number("layer_norm_eps") ?? 1e-5,
            Rotary = RotarySettings.Read(reader, width / heads, absentShare: 0.5),
            HasHeadNorms = reader.Flag("qk_layernorm", absent: false),
            ActivationName = reader.Text("hidden_act") ?? "gelu_new",
            InitialSpread = reader.Number("initializer_range") ?? 0.02,
        };
    }
}

/// <summary>Attention with rotary positions on the first channels of a head.</summary>
internal sealed class PhiAttention
{
    private readonly int _index;
    private readonly long _headSize;
    private readonly Projection _query;
    private readonly Projection _key;
    private readonly Projection _value;
    private readonly Projection _output;
    private readonly LayerNormalization? _queryNorm;
    private readonly LayerNormalization? _keyNorm;

    public PhiAttention(PhiConfig config, WeightScope weights, int index)
    {
        (_index, _headSize) = (index, config.Width / config.Heads);
        Projection Project(string name, long outputs) => new(weights[name], config.Width, outputs, hasBias: true, initialSpread: config.InitialSpread);
        _query = Project("q_proj", config.Width);
        _key = Project("k_proj", config.KeyValueHeads * _headSize);
        _value = Project("v_proj", config.KeyValueHeads * _headSize);
        _output = Project("dense", config.Width);
        if (config.HasHeadNorms)
        {
            _queryNorm = new LayerNormalization(weights["q_layernorm"], _headSize, config.NormEpsilon);
            _keyNorm = new LayerNormalization(weights["k_layernorm"], _headSize, config.NormEpsilon);
        }
    }

    public Tensor Forward(Tensor input, ForwardContext context)
    {
        using var scope = NewDisposeScope();

        // (B, T, N · D) -> (B, T, N, D)
        Tensor Heads(Projection projection, LayerNormalization? norm = null)
        {
            var heads = projection.Forward(input).view(input.shape[0], input.shape[1], -1, _headSize);
            return norm is null ? heads : norm.Forward(heads);
        }

        var query = context.Rotary!.Rotate(Heads(_query, _queryNorm)).transpose(1, 2);
        var key = context.Rotary.Rotate(Heads(_key, _keyNorm)).transpose(1, 2);
        var value = Heads(_value).transpose(1, 2);
        return _output.Forward(CausalAttention.Attend(query, key, value, context, _index)).MoveToOuterDisposeScope();
    }
}

/// <summary>A block: x + attention(norm x) + feed-forward(norm x), one norm for both.</summary>
internal sealed class PhiLayer : IDecoderLayer
{
    private readonly PhiAttention _attention;
    private readonly PlainFeedForward _feedForward;
    private readonly LayerNormalization _norm;

    public PhiLayer(PhiConfig config, WeightScope weights, int index)
    {
        _attention = new PhiAttention(config, weights["self_attn"], index);
        _feedForward = new PlainFeedForward(
            new Projection(weights["mlp"]["fc1"], config.Width, config.InnerWidth, hasBias: true, initialSpread: config.InitialSpread),
            new Projection(weights["mlp"]["fc2"], config.InnerWidth, config.Width, hasBias: true, initialSpread: config.InitialSpread),
            config.ActivationName);
        _norm = new LayerNormalization(weights["input_layernorm"], config.Width, config.NormEpsilon);
    }

    public Tensor Forward(Tensor hidden, ForwardContext context)
    {
        using var scope = NewDisposeScope();
        var normed = _norm.Forward(hidden);
        return _attention.Forward(normed, context).Plus(_feedForward.Forward(normed)).Plus(hidden).MoveToOuterDisposeScope();
    }
}

/// <summary>Phi-1 to Phi-2 (Gunasekar et al. 2023, https://arxiv.org/abs/2306.11644; Li et al. 2023, https://arxiv.org/abs/2309.05463).</summary>
internal sealed class Phi : CausalModel
{
    private readonly PhiConfig _config;
    private readonly PhiLayer[] _layers;
    private readonly LayerNormalization _norm;

    internal Phi(PhiConfig config, WeightSource source)
        : base(config, new ModelParts())
    {
        _config = config;
        var root = new WeightScope(source, Parts);
        var weights = root["model"];
        Embedding = new TokenEmbedding(weights["embed_tokens"], config.VocabularySize, config.Width, config.InitialSpread);
        _layers = [.. Enumerable.Range(0, config.LayerCount).Select(index => new PhiLayer(config, weights["layers"][$"{index}"], index))];
        _norm = new LayerNormalization(weights["final_layernorm"], config.Width, config.NormEpsilon);
        Head = Projection.Head(root["lm_head"], Embedding, config.IsTied, hasBias: true, config.InitialSpread);
    }

    internal static ModelFamily Family { get; } = ModelFamily.Of("phi", "PhiForCausalLM", "model.embed_tokens.weight", PhiConfig.Read, (config, weights) => new Phi(config, weights));

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
