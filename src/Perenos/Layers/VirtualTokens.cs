using static TorchSharp.torch;

namespace Perenos.Layers;

/// <summary>Vectors that stand before the embedded text as if they were tokens of it.</summary>
public interface IPromptVectors
{
    /// <summary>Number of virtual tokens, N.</summary>
    long Count { get; }

    /// <summary>(1, N, C), the same for every row, or (B, N, C).</summary>
    Tensor Vectors();

    /// <summary>(B) int64: how many of the first vectors are padding in each row; none where no row has fewer than N.</summary>
    Tensor? Missing => null;
}

/// <summary>Keys and values that every layer sees before those of the text.</summary>
public interface IKeyValuePrefix
{
    /// <summary>Number of virtual tokens, N.</summary>
    long Count { get; }

    /// <summary>(2 · layers, 1 or B, heads of keys, N, D): the keys of layer l at 2 l, its values at 2 l + 1.</summary>
    Tensor KeysAndValues();

    /// <summary>(B) int64: how many of the first ones are padding in each row; none where no row has fewer than N.</summary>
    Tensor? Missing => null;
}
