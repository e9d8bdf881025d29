using static TorchSharp.torch;

namespace Perenos.Layers;

/// <summary>The table that turns tokens into vectors.</summary>
public sealed class TokenEmbedding
{
    /// <summary>Takes <c>weight</c> [vocabulary, width].</summary>
    public TokenEmbedding(WeightScope weights, long vocabulary, long width, double initialSpread = 0.02)
    {
        Path = weights.Path;
        Weight = weights.Take("weight", [vocabulary, width], new Initialization.Normal(initialSpread));
    }

    /// <summary>The layer's name, such as <c>model.embed_tokens</c>.</summary>
    public string Path { get; }

    /// <summary>[vocabulary, width].</summary>
    public Tensor Weight { get; }

    /// <summary>(B, T) int64 -> (B, T, width).</summary>
    public Tensor Forward(Tensor tokens) => Rows(Weight, tokens);

    /// <summary>Rows of a table [N, C] for indices (B, T) -> (B, T, C).</summary>
    public static Tensor Rows(Tensor table, Tensor indices)
    {
        using var scope = NewDisposeScope();
        return table.index_select(0, indices.flatten()).view(indices.shape[0], indices.shape[1], table.shape[1]).MoveToOuterDisposeScope();
    }
}
