using Perenos.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>How far the opening of a model has come.</summary>
/// <param name="Read">Bytes of weights that were read.</param>
/// <param name="Total">Bytes of all weights on disk.</param>
public readonly record struct OpenProgress(long Read, long Total);

/// <summary>A checkpoint that tells after each tensor how much of it was read.</summary>
internal sealed class WatchedTensors(ITensorSource source, IProgress<OpenProgress> progress) : ITensorSource
{
    private readonly long _total = source.Tensors.Values.Sum(tensor => tensor.Length);
    private long _read;

    public string Location => source.Location;

    public IReadOnlyDictionary<string, TensorInfo> Tensors => source.Tensors;

    public Tensor Read(string name, torch.ScalarType? type = null)
    {
        var tensor = source.Read(name, type);
        _read = Math.Min(_total, _read + source.Tensors[name].Length); // a tensor may be read twice
        progress.Report(new OpenProgress(_read, _total));
        return tensor;
    }

    /// <summary>Nothing: the source belongs to whoever opened it.</summary>
    public void Dispose()
    {
    }
}
