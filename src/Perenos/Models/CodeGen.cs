using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a CodeGen.</summary>
internal sealed record CodeGenConfig : ModelConfig
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

    internal static CodeGenConfig Read(ConfigReader reader)
    {
        long width = reader.Size("n_embd");
        int heads = reader.Heads("n_head", width);
        if (heads % CodeGenAttention.Blocks != 0)
            throw reader.Wrong("n_head", $"a multiple of {CodeGenAttention.Blocks}");
        long rotated = reader.Size("rotary_dim", absent: reader.Json.ContainsKey("rotary_dim") ? null : 64);
        if (rotated > width / heads || rotated % 2 != 0)
            throw reader.Wrong("rotary_dim", $"an even number up to the {width / heads} channels of a head");
        return new CodeGenConfig
        {
            ModelType = "codegen",
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

/// <summary>GPT-J's attention with one fused projection.</summary>
internal sealed class CodeGenAttention
{
    /// <summary>The fused projection lies in as many blocks as the first models were trained on cores.</summary>
    public const int Blocks = 4;

    private readonly CodeGenConfig _config;
    private readonly int _index;
    private readonly Projection _queryKeyValue;
    private readonly Projection _output;

    public CodeGenAttention(CodeGenConfig config, WeightScope weights, int index)
    {
        (_config, _index) = (config, index);
        _queryKeyValue = new Projection(weights["qkv_proj"], config.Width, 3 * config.Width, hasBias: false, initialSpread: config.InitialSpread);
        _output = new Projection(weights["out_proj"], config.Width, config.Width, hasBias: false, initialSpread: config.InitialSpread);
    }

    public Tensor Forward(Tensor input, ForwardContext context)
    {
        using var scope = NewDisposeScope();
        var (batch, time) = (input.shape[0], input.shape[1]);

        // (B, T, 3 C) -> (B, T, 4, 3, H/4 · D): query, value and key of a block stand side by side, in this order.
        var blocks = _queryKeyValue.Forward(input).view(batch, time, Blocks, 3, -1);

        // (B, T, 4, H/4 · D) -> (B, T, H, D)
        Tensor Heads(int part) => blocks.select(3, part).reshape(batch, time, _config.Heads, -1);
        var query = context.Rotary!.RotateNeighbours(Heads(0)).transpose(1, 2);
        var value = Heads(1).transpose(1, 2);
        var key = context.Rotary.RotateNeighbours(Heads(2)).transpose(1, 2);
        return _output.Forward(CausalAttention.Attend(query, key, value, context, _index)).MoveToOuterDisposeScope();
    }
}

/// <summary>A block: x + attention(norm x) + feed-forward(norm x), one norm for both.</summary>
internal sealed class CodeGenLayer : IDecoderLayer
{
    private readonly LayerNormalization _norm;
    private readonly CodeGenAttention _attention;
    private readonly PlainFeedForward _feedForward;

    public CodeGenLayer(CodeGenConfig config, WeightScope weights, int index)
    {
        _norm = new LayerNormalization(weights["ln_1"], config.Width, config.NormEpsilon);
        _attention = new CodeGenAttention(config, weights["attn"], index);
        _feedForward = new PlainFeedForward(
            new Projection(weights["mlp"]["fc_in"], config.Width, config.InnerWidth, hasBias: true, initialSpread: config.InitialSpread),
            new Projection(weights["mlp"]["fc_out"], config.InnerWidth, config.Width, hasBias: true, initialSpread: config.InitialSpread),
            config.ActivationName);
    }

    public Tensor Forward(Tensor hidden, ForwardContext context)
    {
        using var scope = NewDisposeScope();
        var normed = _norm.Forward(hidden);
        return _attention.Forward(normed, context).Plus(_feedForward.Forward(normed)).Plus(hidden).MoveToOuterDisposeScope();
    }
}

/// <summary>CodeGen (Nijkamp et al. 2022, https://arxiv.org/abs/2203.13474).</summary>
internal sealed class CodeGen : CausalModel
{
    private readonly CodeGenConfig _config;
    private readonly CodeGenLayer[] _layers;
    private readonly LayerNormalization _norm;

    internal CodeGen(CodeGenConfig config, WeightSource source)
        : base(config, new ModelParts())
    {
        _config = config;
        var root = new WeightScope(source, Parts);
        var weights = root["transformer"];
        Embedding = new TokenEmbedding(weights["wte"], config.VocabularySize, config.Width, config.InitialSpread);
        _layers = [.. Enumerable.Range(0, config.LayerCount).Select(index => new CodeGenLayer(config, weights["h"][$"{index}"], index))];
        _norm = new LayerNormalization(weights["ln_f"], config.Width, config.NormEpsilon);
        Head = Projection.Head(root["lm_head"], Embedding, config.IsTied, hasBias: true, config.InitialSpread);
    }

    internal static ModelFamily Family { get; } = ModelFamily.Of("codegen", "CodeGenForCausalLM", "transformer.wte.weight", CodeGenConfig.Read, (config, weights) => new CodeGen(config, weights)) with
    {
        OldBuffers = [".attn.causal_mask", ".attn.bias", ".attn.masked_bias"],
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
}
