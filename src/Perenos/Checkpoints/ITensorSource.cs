using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Checkpoints;

/// <summary>What a checkpoint says about one tensor, known without reading its data.</summary>
/// <param name="Name">Name in Hugging Face spelling.</param>
/// <param name="Type">The torch type on reading without conversion; null where torch has none for <paramref name="DType"/>.</param>
/// <param name="DType">The type as spelt on disk, for example <c>BF16</c> or <c>Q4_1</c>.</param>
/// <param name="Shape">Sizes, outermost first; empty for a scalar.</param>
/// <param name="Offset">Where the data begins, in bytes from the start of <paramref name="File"/>.</param>
/// <param name="Length">Bytes on disk.</param>
/// <param name="File">The file that holds the data.</param>
public sealed record TensorInfo(
    string Name, torch.ScalarType? Type, string DType, long[] Shape, long Offset, long Length, string File);

/// <summary>
/// Named tensors on disk, read one at a time. Opening checks the whole description of the file and reads no weights.
/// Not for concurrent use.
/// </summary>
public interface ITensorSource : IDisposable
{
    /// <summary>The file or folder that was opened.</summary>
    string Location { get; }

    /// <summary>All tensors by their Hugging Face name.</summary>
    IReadOnlyDictionary<string, TensorInfo> Tensors { get; }

    /// <summary>
    /// A new CPU tensor that the caller owns: outside any dispose scope, without gradient, converted to
    /// <paramref name="type"/> where one is asked for. Its memory may be the file's, until it is written to: a file in use may be
    /// replaced or deleted, but not written over.
    /// </summary>
    /// <exception cref="Runs.PerenosException">There is no tensor of that name.</exception>
    Tensor Read(string name, torch.ScalarType? type = null);
}
