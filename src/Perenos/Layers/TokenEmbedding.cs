using static TorchSharp.torch;

namespace Perenos.Layers;

/// <summary>The table that turns tokens into vectors.</summary>
public sealed class TokenEmbedding
{
    private readonly double _scale;

    /// <summary>Takes <c>weight</c> [vocabulary, width]; the vectors are its rows times <paramref name="scale"/>.</summary>
    public TokenEmbedding(WeightScope weights, long vocabulary, long width, double initialSpread = 0.02, double scale = 1)
    {
        Path = weights.Path;
        Weight = weights.Take("weight", [vocabulary, width], new Initialization.Normal(initialSpread));
        // Of the weight's type: in bfloat16, Gemma was trained with a rounded factor (https://github.com/huggingface/transformers/pull/29402).
        using var rounded = Arithmetic.Filled([1], scale, Weight.dtype);
        using var wide = rounded.to(ScalarType.Float64);
        _scale = wide.item<double>();
    }

    /// <summary>The layer's name, such as <c>model.embed_tokens</c>.</summary>
    public string Path { get; }

    /// <summary>[vocabulary, width].</summary>
    public Tensor Weight { get; }

    /// <summary>(B, T) int64 -> (B, T, width).</summary>
    public Tensor Forward(Tensor tokens)
    {
        using var scope = NewDisposeScope();
        var rows = Rows(Weight, tokens);
        return (_scale == 1 ? rows : rows.Times(_scale)).MoveToOuterDisposeScope();
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
}
