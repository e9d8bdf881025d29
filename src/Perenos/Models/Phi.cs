using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a Phi.</summary>
internal sealed record PhiConfig : ModelConfig
{
    /// <summary>Heads of attention.</summary>
    public required HeadCounts Heads { get; init; }

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
        var heads = HeadCounts.Read(reader, width);
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
            InnerWidth = reader.Size("intermediate_size", absent: 4 * width),
            NormEpsilon = reader.Number("layer_norm_eps") ?? 1e-5,
            Rotary = RotarySettings.Read(reader, heads.Size, absentShare: 0.5),
            HasHeadNorms = reader.Flag("qk_layernorm", absent: false),
            ActivationName = reader.Text("hidden_act") ?? "gelu_new",
            InitialSpread = reader.Number("initializer_range") ?? 0.02,
        };
    }
}

/// <summary>Phi-1 to Phi-2 (Gunasekar et al. 2023, https://arxiv.org/abs/2306.11644; Li et al. 2023, https://arxiv.org/abs/2309.05463).</summary>
internal sealed class Phi : CausalModel
{
    private readonly PhiConfig _config;
    private readonly ParallelLayer[] _layers;
    private readonly LayerNormalization _norm;

    internal Phi(PhiConfig config, WeightSource source)
        : base(config, new ModelParts())
    {
        _config = config;
        var root = new WeightScope(source, Parts);
        var weights = root["model"];
        Embedding = new TokenEmbedding(weights["embed_tokens"], config.VocabularySize, config.Width, config.InitialSpread);
        _layers = [.. Enumerable.Range(0, config.LayerCount).Select(index => Layer(config, weights["layers"][$"{index}"], index))];
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

    private static ParallelLayer Layer(PhiConfig config, WeightScope weights, int index)
    {
        var attention = new AttentionSettings
        {
            Heads = config.Heads,
            InitialSpread = config.InitialSpread,
            HasInputBias = true,
            HasOutputBias = true,
            OutputName = "dense",
            HeadNorm = config.HasHeadNorms ? (norm, _) => new LayerNormalization(norm, config.Heads.Size, config.NormEpsilon).Forward : null,
            NormNames = ("q_layernorm", "k_layernorm"),
        };
        return new ParallelLayer(
            attention: new GroupedQueryAttention(attention, weights["self_attn"], config.Width, index).Forward,
            feedForward: new PlainFeedForward(weights["mlp"]["fc1"], weights["mlp"]["fc2"], config.Width, config.InnerWidth, config.ActivationName, config.InitialSpread).Forward,
            norm: new LayerNormalization(weights["input_layernorm"], config.Width, config.NormEpsilon).Forward);
    }
}
