using static TorchSharp.torch;

namespace Perenos.Layers;

/// <summary>What may be put on a <see cref="TokenEmbedding"/>: it sees the tokens and gives their vectors.</summary>
public interface IEmbeddingAdapter
{
    /// <summary>Vectors (B, T, width) of tokens (B, T).</summary>
    /// <param name="tokens">What the embedding is given.</param>
    /// <param name="inner">The embedding without this adapter: plain, or with the adapters that were attached before.</param>
    Tensor Apply(Tensor tokens, Func<Tensor, Tensor> inner);
}

/// <summary>The table that turns tokens into vectors, with a slot for adapters.</summary>
public sealed class TokenEmbedding
{
    private readonly List<IEmbeddingAdapter> _adapters = [];
    private readonly double _scale;

    /// <summary>Takes <c>weight</c> [vocabulary, width].</summary>
    /// <param name="weights">The place of the table in the tree of weights.</param>
    /// <param name="vocabulary">Number of tokens.</param>
    /// <param name="width">Width of a vector.</param>
    /// <param name="initialSpread">Standard deviation of the weight without a checkpoint.</param>
    /// <param name="scale">Multiplies the vectors of tokens, but not those of virtual tokens.</param>
    public TokenEmbedding(WeightScope weights, long vocabulary, long width, double initialSpread = 0.02, double scale = 1)
    {
        Path = weights.Path;
        Weight = weights.Take("weight", [vocabulary, width], new Initialization.Normal(initialSpread));
        weights.Parts.Add(this);
        // Of the weight's type: in bfloat16, Gemma was trained with a rounded factor (https://github.com/huggingface/transformers/pull/29402).
        using var rounded = Arithmetic.Filled([1], scale, Weight.dtype);
        using var wide = rounded.to(ScalarType.Float64);
        _scale = wide.item<double>();
    }

    /// <summary>The layer's name, such as <c>model.embed_tokens</c>.</summary>
    public string Path { get; }

    /// <summary>[vocabulary, width].</summary>
    public Tensor Weight { get; }

    /// <summary>Number of tokens.</summary>
    public long Vocabulary => Weight.shape[0];

    /// <summary>Width of a vector.</summary>
    public long Width => Weight.shape[1];

    /// <summary>Whether anything is attached here.</summary>
    public bool IsAdapted => _adapters.Count > 0;

    /// <summary>Puts an adapter on top of what is attached already.</summary>
    public void Attach(IEmbeddingAdapter adapter) => _adapters.Add(adapter);

    /// <summary>Takes an adapter off; the others stay.</summary>
    public void Detach(IEmbeddingAdapter adapter) => _adapters.Remove(adapter);

    /// <summary>(B, T) int64 -> (B, T, width), or (B, N + T, width) where the call begins with N virtual tokens.</summary>
    public Tensor Forward(Tensor tokens, ForwardContext context)
    {
        using var scope = NewDisposeScope();
        var vectors = Through(_adapters.Count - 1, tokens);
        if (_scale != 1)
            vectors = vectors.Times(_scale);
        if (context.Prompt is { } prompt)
            vectors = cat([prompt.to(vectors.dtype).expand(tokens.shape[0], prompt.shape[1], prompt.shape[2]), vectors], 1);
        return vectors.MoveToOuterDisposeScope();
    }

    /// <summary>Rows of a table [N, C] for indices (B, T), counted from row <paramref name="first"/> -> (B, T, C).</summary>
    public static Tensor Rows(Tensor table, Tensor indices, long first = 0)
    {
        using var scope = NewDisposeScope();
        var places = indices.flatten();
        if (first != 0)
            places = places.Plus(Arithmetic.Filled([1], first, ScalarType.Int64, places.device));
        return table.index_select(0, places).view(indices.shape[0], indices.shape[1], table.shape[1]).MoveToOuterDisposeScope();
    }

    private Tensor Through(int top, Tensor tokens) =>
        top < 0 ? Rows(Weight, tokens) : _adapters[top].Apply(tokens, below => Through(top - 1, below));
}
