using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a Llama.</summary>
public sealed record LlamaConfig : ModelConfig
{
    /// <summary>Query heads, H.</summary>
    public required int Heads { get; init; }

    /// <summary>Key and value heads, G; divides H.</summary>
    public required int KeyValueHeads { get; init; }

    /// <summary>Size of a head, D.</summary>
    public required long HeadSize { get; init; }

    /// <summary>Width inside the feed-forward part.</summary>
    public required long InnerWidth { get; init; }

    /// <summary>Added to the mean of squares in norms.</summary>
    public required double NormEpsilon { get; init; }

    /// <summary>Rotary positions.</summary>
    public required RotaryEmbedding Rotary { get; init; }

    /// <summary>Name of the gate's activation.</summary>
    public required string ActivationName { get; init; }

    /// <summary>Biases on the four projections of attention.</summary>
    public required bool HasAttentionBias { get; init; }

    /// <summary>Biases on the three projections of the feed-forward part.</summary>
    public required bool HasInnerBias { get; init; }

    /// <summary>Spread of random weights.</summary>
    public required double InitialSpread { get; init; }

    internal static LlamaConfig Read(ConfigReader reader)
    {
        reader.Refuse("pretraining_tp", node => node.GetValue<int>() == 1, "1");
        long width = reader.Size("hidden_size");
        int heads = (int)reader.Size("num_attention_heads");
        int groups = (int)reader.Size("num_key_value_heads", absent: heads);
        if (heads % groups != 0)
            throw reader.Wrong("num_key_value_heads", $"a divisor of num_attention_heads ({heads})");
        long headSize = reader.Size("head_dim", absent: width / heads);
        return new LlamaConfig
        {
            ModelType = "llama",
            VocabularySize = reader.Size("vocab_size"),
            Width = width,
            LayerCount = (int)reader.Size("num_hidden_layers"),
            MaximumLength = reader.Size("max_position_embeddings", absent: 2048),
            IsTied = reader.Flag("tie_word_embeddings", absent: false),
            Json = reader.Json,
            Heads = heads,
            KeyValueHeads = groups,
            HeadSize = headSize,
            InnerWidth = reader.Size("intermediate_size"),
            NormEpsilon = reader.Number("rms_norm_eps") ?? 1e-6,
            Rotary = RotarySettings.Read(reader, headSize),
            ActivationName = reader.Text("hidden_act") ?? "silu",
            HasAttentionBias = reader.Flag("attention_bias", absent: false),
            HasInnerBias = reader.Flag("mlp_bias", absent: false),
            InitialSpread = reader.Number("initializer_range") ?? 0.02,
        };
    }
}

/// <summary>Grouped-query attention with rotary positions.</summary>
internal sealed class LlamaAttention
{
    private readonly LlamaConfig _config;
    private readonly int _index;
    private readonly Projection _query;
    private readonly Projection _key;
    private readonly Projection _value;
    private readonly Projection _output;

    public LlamaAttention(LlamaConfig config, WeightScope weights, int index)
    {
        (_config, _index) = (config, index);
        Projection Project(string name, long inputs, long outputs) =>
            new(weights[name], inputs, outputs, config.HasAttentionBias, initialSpread: config.InitialSpread);
        _query = Project("q_proj", config.Width, config.Heads * config.HeadSize);
        _key = Project("k_proj", config.Width, config.KeyValueHeads * config.HeadSize);
        _value = Project("v_proj", config.Width, config.KeyValueHeads * config.HeadSize);
        _output = Project("o_proj", config.Heads * config.HeadSize, config.Width);
    }

    public Tensor Forward(Tensor input, ForwardContext context)
    {
        using var scope = NewDisposeScope();
        var (batch, time) = (input.shape[0], input.shape[1]);

        // (B, T, N · D) -> (B, T, N, D)
        Tensor SplitHeads(Tensor x) => x.view(batch, time, -1, _config.HeadSize);
        var query = context.Rotary!.Rotate(SplitHeads(_query.Forward(input))).transpose(1, 2);
        var key = context.Rotary.Rotate(SplitHeads(_key.Forward(input))).transpose(1, 2);
        var value = SplitHeads(_value.Forward(input)).transpose(1, 2);
        return _output.Forward(CausalAttention.Attend(query, key, value, context, _index)).MoveToOuterDisposeScope();
    }
}

/// <summary>Gated feed-forward part: down(act(gate x) · up x) (Shazeer 2020, https://arxiv.org/abs/2002.05202).</summary>
internal sealed class LlamaFeedForward
{
    private readonly Projection _gate;
    private readonly Projection _up;
    private readonly Projection _down;
    private readonly Func<Tensor, Tensor> _activation;
    private readonly bool _isSilu;

    public LlamaFeedForward(LlamaConfig config, WeightScope weights)
    {
        _activation = Activation.Named(config.ActivationName, "config.json");
        _isSilu = config.ActivationName is "silu" or "swish";
        _gate = new Projection(weights["gate_proj"], config.Width, config.InnerWidth, config.HasInnerBias, initialSpread: config.InitialSpread);
        _up = new Projection(weights["up_proj"], config.Width, config.InnerWidth, config.HasInnerBias, initialSpread: config.InitialSpread);
        _down = new Projection(weights["down_proj"], config.InnerWidth, config.Width, config.HasInnerBias, initialSpread: config.InitialSpread);
    }

    public Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        var (gate, up) = (_gate.Forward(input), _up.Forward(input));
        var inner = _isSilu ? SiluGate.Apply(gate, up) : _activation(gate) * up;
        return _down.Forward(inner).MoveToOuterDisposeScope();
    }
}

/// <summary>A block: x + attention(norm x), then x + feed-forward(norm x).</summary>
internal sealed class LlamaLayer : IDecoderLayer
{
    private readonly RootMeanSquareNorm _attentionNorm;
    private readonly LlamaAttention _attention;
    private readonly RootMeanSquareNorm _feedForwardNorm;
    private readonly LlamaFeedForward _feedForward;

    public LlamaLayer(LlamaConfig config, WeightScope weights, int index)
    {
        _attention = new LlamaAttention(config, weights["self_attn"], index);
        _feedForward = new LlamaFeedForward(config, weights["mlp"]);
        _attentionNorm = new RootMeanSquareNorm(weights["input_layernorm"], config.Width, config.NormEpsilon);
        _feedForwardNorm = new RootMeanSquareNorm(weights["post_attention_layernorm"], config.Width, config.NormEpsilon);
    }

    public Tensor Forward(Tensor hidden, ForwardContext context)
    {
        using var scope = NewDisposeScope();
        hidden = hidden.Plus(_attention.Forward(_attentionNorm.Forward(hidden), context));
        return hidden.Plus(_feedForward.Forward(_feedForwardNorm.Forward(hidden))).MoveToOuterDisposeScope();
    }
}

/// <summary>Llama (Touvron et al. 2023, https://arxiv.org/abs/2302.13971) and what is shaped like it, such as SmolLM2.</summary>
public sealed class Llama : CausalModel
{
    private readonly LlamaConfig _config;
    private readonly LlamaLayer[] _layers;
    private readonly RootMeanSquareNorm _norm;

    internal Llama(LlamaConfig config, WeightSource source)
        : base(config, new ModelParts())
    {
        _config = config;
        var weights = new WeightScope(source, Parts);
        Embedding = new TokenEmbedding(weights["model"]["embed_tokens"], config.VocabularySize, config.Width, config.InitialSpread);
        _layers = [.. Enumerable.Range(0, config.LayerCount).Select(index => new LlamaLayer(config, weights["model"]["layers"][$"{index}"], index))];
        _norm = new RootMeanSquareNorm(weights["model"]["norm"], config.Width, config.NormEpsilon);
        Head = Projection.Head(weights["lm_head"], Embedding, config.IsTied, initialSpread: config.InitialSpread);
    }

    internal static ModelFamily Family { get; } = ModelFamily.Of("llama", "LlamaForCausalLM", "model.embed_tokens.weight", LlamaConfig.Read, (config, weights) => new Llama(config, weights));

    /// <inheritdoc/>
    public override TokenEmbedding Embedding { get; }

    /// <inheritdoc/>
    public override Projection Head { get; }

    /// <inheritdoc/>
    public override IReadOnlyList<IDecoderLayer> Layers => _layers;

    /// <inheritdoc/>
    public override Tensor Embed(Tensor tokens, ForwardContext context)
    {
        var hidden = Embedding.Forward(tokens);
        context.Rotary = _config.Rotary.At(context.Positions, (context.Cache?.Length ?? 0) + tokens.shape[1]);
        return hidden;
    }

    /// <inheritdoc/>
    public override Tensor FinalNorm(Tensor hidden) => _norm.Forward(hidden);
}
