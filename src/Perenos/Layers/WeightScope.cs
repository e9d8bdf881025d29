using static TorchSharp.torch;

namespace Perenos.Layers;

/// <summary>How a weight starts when a model is built without a checkpoint.</summary>
public abstract record Initialization
{
    private Initialization()
    {
    }

    /// <summary>All zeros: biases.</summary>
    public sealed record Zeros : Initialization;

    /// <summary>All ones: norm weights.</summary>
    public sealed record Ones : Initialization;

    /// <summary>Normal with mean 0: matrices and embeddings.</summary>
    /// <param name="StandardDeviation">Spread; GPT-2 and Llama use 0.02.</param>
    public sealed record Normal(double StandardDeviation) : Initialization;
}

/// <summary>Where the weights of a model come from while it is built: a checkpoint, or a seed.</summary>
public abstract class WeightSource
{
    /// <summary>Whether a weight of this name can be taken.</summary>
    public abstract bool Has(string name);

    /// <summary>A new tensor of the given name and shape, owned by the caller.</summary>
    /// <exception cref="Runs.PerenosException">The name is missing or has another shape.</exception>
    public abstract Tensor Create(string name, long[] shape, Initialization initialization);
}

/// <summary>Keys and values of one layer.</summary>
/// <param name="Heads">Heads, shared by groups of query heads.</param>
/// <param name="Size">Size of a head.</param>
public readonly record struct KeyValueShape(long Heads, long Size);

/// <summary>What a finished model consists of: its weights as named and shaped on disk, and the places where adapters attach.</summary>
public sealed class ModelParts
{
    private readonly OrderedDictionary<string, Tensor> _weights = [];
    private readonly List<Projection> _projections = [];
    private readonly List<TokenEmbedding> _embeddings = [];
    private IReadOnlyList<KeyValueShape>? _keyValueShapes;

    /// <summary>Weights by their name on disk, each tied weight once, in the order in which the model was built.</summary>
    public IReadOnlyDictionary<string, Tensor> Weights => _weights;

    /// <summary>Every linear layer, in the order in which the model was built; the output head comes last.</summary>
    public IReadOnlyList<Projection> Projections => _projections;

    /// <summary>The tables of vectors, the tokens' first.</summary>
    public IReadOnlyList<TokenEmbedding> Embeddings => _embeddings;

    /// <summary>Virtual tokens before the embedded text; none at first.</summary>
    public IPromptVectors? Prompt { get; set; }

    /// <summary>Keys and values before those of the text; none at first.</summary>
    public IKeyValuePrefix? Prefix { get; set; }

    /// <summary>Virtual tokens that stand before a text: its own positions start behind them.</summary>
    public long VirtualTokens => (Prompt?.Count ?? 0) + (Prefix?.Count ?? 0);

    /// <summary>Heads of the keys and values, layer by layer; found by one call of the model.</summary>
    public IReadOnlyList<KeyValueShape> KeyValueShapes => _keyValueShapes ??= FindKeyValueShapes?.Invoke() ?? [];

    /// <summary>The norm weights and biases: everything that weight decay leaves alone beside the biases of projections.</summary>
    public ISet<string> NormWeights { get; } = new HashSet<string>();

    internal void Add(string name, Tensor weight) => _weights.Add(name, weight);

    internal void Add(Projection projection) => _projections.Add(projection);

    internal void Add(TokenEmbedding embedding) => _embeddings.Add(embedding);

    internal Func<IReadOnlyList<KeyValueShape>>? FindKeyValueShapes { get; set; }
}

/// <summary>A place in the tree of weights, such as <c>model.layers.0.self_attn</c>; part names are the checkpoint's.</summary>
public readonly record struct WeightScope(WeightSource Source, ModelParts Parts, string Path = "")
{
    /// <summary>The place below this one.</summary>
    public WeightScope this[string part] => this with { Path = NameOf(part) };

    /// <summary>Whether the source has a weight of this name here.</summary>
    public bool Has(string leaf) => Source.Has(NameOf(leaf));

    /// <summary>Takes the weight <paramref name="leaf"/> from the source and lists it among the model's parts.</summary>
    public Tensor Take(string leaf, long[] shape, Initialization initialization)
    {
        string name = NameOf(leaf);
        var weight = Source.Create(name, shape, initialization).DetachFromDisposeScope();
        Parts.Add(name, weight);
        return weight;
    }

    private string NameOf(string part) => Path.Length == 0 ? part : $"{Path}.{part}";
}
