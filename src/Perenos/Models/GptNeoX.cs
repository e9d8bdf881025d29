using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a GPT-NeoX.</summary>
internal sealed record GptNeoXConfig : ModelConfig
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

    /// <summary>Whether attention and feed-forward part both read the block's input.</summary>
    public required bool IsParallel { get; init; }

    /// <summary>Biases on the two projections of attention.</summary>
    public required bool HasAttentionBias { get; init; }

    /// <summary>Spread of random weights.</summary>
    public required double InitialSpread { get; init; }

    internal static GptNeoXConfig Read(ConfigReader reader)
    {
        long width = reader.Size("hidden_size");
        int heads = reader.Heads("num_attention_heads", width);
        return new GptNeoXConfig
        {
            ModelType = "gpt_neox",
            VocabularySize = reader.Size("vocab_size"),
            Width = width,
            LayerCount = (int)reader.Size("num_hidden_layers"),
            MaximumLength = reader.Size("max_position_embeddings", absent: 2048),
            IsTied = reader.Flag("tie_word_embeddings", absent: false),
            Json = reader.Json,
            Heads = heads,
            InnerWidth = reader.Size("intermediate_size"),
            NormEpsilon = reader.Number("layer_norm_eps") ?? 1e-5,
            Rotary = RotarySettings.Read(reader, width / heads, absentShare: 0.25),
            ActivationName = reader.Text("hidden_act") ?? "gelu",
            IsParallel = reader.Flag("use_parallel_residual", absent: true),
            HasAttentionBias = reader.Flag("attention_bias", absent: true),
            InitialSpread = reader.Number("initializer_range") ?? 0.02,
        };
    }
}

/// <summary>Attention with one fused projection, in which query, key and value of each head stand side by side.</summary>
internal sealed class GptNeoXAttention
{
    private readonly GptNeoXConfig _config;
    private readonly int _index;
    private readonly Projection _queryKeyValue;
    private readonly Projection _output;

    public GptNeoXAttention(GptNeoXConfig config, WeightScope weights, int index)
    {
        (_config, _index) = (config, index);
        _queryKeyValue = new Projection(weights["query_key_value"], config.Width, 3 * config.Width, config.HasAttentionBias, initialSpread: config.InitialSpread);
        _output = new Projection(weights["dense"], config.Width, config.Width, config.HasAttentionBias, initialSpread: config.InitialSpread);
    }

    public Tensor Forward(Tensor input, ForwardContext context)
    {
        using var scope = NewDisposeScope();

        // (B, T, 3 C) -> (B, T, H, 3, D)
        var heads = _queryKeyValue.Forward(input).view(input.shape[0], input.shape[1], _config.Heads, 3, -1);
        var query = context.Rotary!.Rotate(heads.select(3, 0)).transpose(1, 2);
        var key = context.Rotary.Rotate(heads.select(3, 1)).transpose(1, 2);
        var value = heads.select(3, 2).transpose(1, 2);
        return _output.Forward(CausalAttention.Attend(query, key, value, context, _index)).MoveToOuterDisposeScope();
    }
}

/// <summary>GPT-NeoX (Black et al. 2022, https://arxiv.org/abs/2204.06745), and Pythia.</summary>
internal sealed class GptNeoX : CausalModel
{
    private readonly GptNeoXConfig _config;
    private readonly IDecoderLayer[] _layers;
    private readonly LayerNormalization _norm;

    internal GptNeoX(GptNeoXConfig config, WeightSource source)
        : base(config, new ModelParts())
    {
        _config = config;
        var root = new WeightScope(source, Parts);
        var weights = root["gpt_neox"];
        Embedding = new TokenEmbedding(weights["embed_in"], config.VocabularySize, config.Width, config.InitialSpread);
        _layers = [.. Enumerable.Range(0, config.LayerCount).Select(index => Layer(config, weights["layers"][$"{index}"], index))];
        _norm = new LayerNormalization(weights["final_layer_norm"], config.Width, config.NormEpsilon);
        Head = Projection.Head(root["embed_out"], Embedding, config.IsTied, initialSpread: config.InitialSpread);
    }

    internal static ModelFamily Family { get; } = ModelFamily.Of("gpt_neox", "GPTNeoXForCausalLM", "gpt_neox.embed_in.weight", GptNeoXConfig.Read, (config, weights) => new GptNeoX(config, weights)) with
    {
        HeadName = "embed_out.weight",
        OldBuffers = [".attention.bias", ".attention.masked_bias", ".attention.rotary_emb.inv_freq"],
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

    private static IDecoderLayer Layer(GptNeoXConfig config, WeightScope weights, int index)
    {
        Func<Tensor, Tensor> Norm(string name) => new LayerNormalization(weights[name], config.Width, config.NormEpsilon).Forward;
        var (attentionNorm, feedForwardNorm) = (Norm("input_layernorm"), Norm("post_attention_layernorm"));
        var attention = new GptNeoXAttention(config, weights["attention"], index);
        var feedForward = new PlainFeedForward(
            weights["mlp"]["dense_h_to_4h"], weights["mlp"]["dense_4h_to_h"], config.Width, config.InnerWidth, config.ActivationName, config.InitialSpread);
        return config.IsParallel
            ? new ParallelLayer(attentionNorm, attention.Forward, feedForward.Forward, feedForwardNorm)
            : new PreNormLayer(attentionNorm, attention.Forward, feedForwardNorm, feedForward.Forward);
    }
}
