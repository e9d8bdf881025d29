using System.Text.Json.Nodes;
using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>Sizes and kinds of a GPT-Neo.</summary>
internal sealed record GptNeoConfig : ModelConfig
{
    /// <summary>Attention heads, H.</summary>
    public required int Heads { get; init; }

    /// <summary>Width inside the feed-forward part.</summary>
    public required long InnerWidth { get; init; }

    /// <summary>Added to the variance in norms.</summary>
    public required double NormEpsilon { get; init; }

    /// <summary>Name of the activation.</summary>
    public required string ActivationName { get; init; }

    /// <summary>For each layer, how many tokens a token sees; none means all.</summary>
    public required IReadOnlyList<long?> Windows { get; init; }

    /// <summary>Spread of random weights.</summary>
    public required double InitialSpread { get; init; }

    internal static GptNeoConfig Read(ConfigReader reader)
    {
        long width = reader.Size("hidden_size");
        int layers = (int)reader.Size(reader.Either("num_layers", "num_hidden_layers"));
        return new GptNeoConfig
        {
            ModelType = "gpt_neo",
            VocabularySize = reader.Size("vocab_size"),
            Width = width,
            LayerCount = layers,
            MaximumLength = reader.Size("max_position_embeddings", absent: 2048),
            IsTied = reader.Flag("tie_word_embeddings", absent: true),
            Json = reader.Json,
            Heads = reader.Heads(reader.Either("num_heads", "num_attention_heads"), width),
            InnerWidth = reader.Size("intermediate_size", absent: 4 * width),
            NormEpsilon = reader.Number("layer_norm_epsilon") ?? 1e-5,
            ActivationName = reader.Text("activation_function") ?? "gelu_new",
            Windows = ReadWindows(reader, layers, reader.Size("window_size", absent: 256)),
            InitialSpread = reader.Number("initializer_range") ?? 0.02,
        };
    }

    // [[["global", "local"], 12]]: the kinds in turn, twelve times.
    private static List<long?> ReadWindows(ConfigReader reader, int layers, long window)
    {
        const string key = "attention_types";
        var wrong = reader.Wrong(key, $"a list such as [[[\"global\", \"local\"], {Math.Max(1, layers / 2)}]] for {layers} layers");
        List<long?> windows = [];
        foreach (var group in reader.Json[key] is null ? [new JsonArray(new JsonArray("global", "local"), 12)] : reader.Json[key] as JsonArray ?? throw wrong)
        {
            if (group is not JsonArray { Count: 2 } pair || pair[0] is not JsonArray kinds || pair[1] is not JsonValue number || !number.TryGetValue(out int times))
                throw wrong;
            for (int turn = 0; turn < times && windows.Count <= layers; turn++)
            {
                foreach (var kind in kinds)
                {
                    windows.Add(kind?.ToString() switch
                    {
                        "global" => null,
                        "local" => window,
                        _ => throw wrong,
                    });
                }
            }
        }

        return windows.Count == layers ? windows : throw wrong;
    }
}

/// <summary>Attention without division by √D, over all tokens or those just before.</summary>
internal sealed class GptNeoAttention
{
    private readonly GptNeoConfig _config;
    private readonly int _index;
    private readonly Projection _key;
    private readonly Projection _value;
    private readonly Projection _query;
    private readonly Projection _output;

    public GptNeoAttention(GptNeoConfig config, WeightScope weights, int index)
    {
        (_config, _index) = (config, index);
        Projection Project(string name, bool hasBias) => new(weights[name], config.Width, config.Width, hasBias, initialSpread: config.InitialSpread);
        _key = Project("k_proj", hasBias: false);
        _value = Project("v_proj", hasBias: false);
        _query = Project("q_proj", hasBias: false);
        _output = Project("out_proj", hasBias: true);
    }

    public Tensor Forward(Tensor input, ForwardContext context)
    {
        using var scope = NewDisposeScope();

        // (B, T, C) -> (B, H, T, D)
        Tensor Heads(Projection projection) => projection.Forward(input).view(input.shape[0], input.shape[1], _config.Heads, -1).transpose(1, 2);
        var mixed = CausalAttention.Attend(Heads(_query), Heads(_key), Heads(_value), context, _index, _config.Windows[_index], scale: 1);
        return _output.Forward(mixed).MoveToOuterDisposeScope();
    }
}

/// <summary>GPT-Neo (Black et al. 2021, https://doi.org/10.5281/zenodo.5297715).</summary>
internal sealed class GptNeo : CausalModel
{
    private readonly Tensor _positions;
    private readonly PreNormLayer[] _layers;
    private readonly LayerNormalization _norm;

    internal GptNeo(GptNeoConfig config, WeightSource source)
        : base(config, new ModelParts())
    {
        var root = new WeightScope(source, Parts);
        var weights = root["transformer"];
        Embedding = new TokenEmbedding(weights["wte"], config.VocabularySize, config.Width, config.InitialSpread);
        _positions = weights["wpe"].Take("weight", [config.MaximumLength, config.Width], new Initialization.Normal(config.InitialSpread));
        _layers = [.. Enumerable.Range(0, config.LayerCount).Select(index => Layer(config, weights["h"][$"{index}"], index))];
        _norm = new LayerNormalization(weights["ln_f"], config.Width, config.NormEpsilon);
        Head = Projection.Head(root["lm_head"], Embedding, config.IsTied, initialSpread: config.InitialSpread);
    }

    internal static ModelFamily Family { get; } = ModelFamily.Of("gpt_neo", "GPTNeoForCausalLM", "transformer.wte.weight", GptNeoConfig.Read, (config, weights) => new GptNeo(config, weights)) with
    {
        OldBuffers = [".attn.attention.bias", ".attn.attention.masked_bias"],
    };

    /// <inheritdoc/>
    public override TokenEmbedding Embedding { get; }

    /// <inheritdoc/>
    public override Projection Head { get; }

    /// <inheritdoc/>
    public override IReadOnlyList<IDecoderLayer> Layers => _layers;

    /// <inheritdoc/>
    public override Tensor Embed(Tensor tokens, ForwardContext context) =>
        Embedding.Forward(tokens, context).Plus(TokenEmbedding.Rows(_positions, context.Positions));

    /// <inheritdoc/>
    public override Tensor FinalNorm(Tensor hidden) => _norm.Forward(hidden);

    private static PreNormLayer Layer(GptNeoConfig config, WeightScope weights, int index) => new(
        new LayerNormalization(weights["ln_1"], config.Width, config.NormEpsilon).Forward,
        new GptNeoAttention(config, weights["attn"]["attention"], index).Forward,
        new LayerNormalization(weights["ln_2"], config.Width, config.NormEpsilon).Forward,
        new PlainFeedForward(weights["mlp"]["c_fc"], weights["mlp"]["c_proj"], config.Width, config.InnerWidth, config.ActivationName, config.InitialSpread).Forward);
}
