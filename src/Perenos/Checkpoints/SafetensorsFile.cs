using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Checkpoints;

/// <summary>One safetensors file, mapped into memory and read tensor by tensor.</summary>
public sealed class SafetensorsFile : ITensorSource
{
    private readonly MappedFile _file;
    private readonly SafetensorsHeader _header;
    private readonly HashSet<string> _shared = new(StringComparer.Ordinal);

    private SafetensorsFile(MappedFile file, SafetensorsHeader header) => (_file, _header) = (file, header);

    /// <inheritdoc/>
    public string Location => _file.Path;

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, TensorInfo> Tensors => _header.Tensors;

    /// <summary>The strings under <c>__metadata__</c>; <c>format: pt</c> in files written for PyTorch.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _header.Metadata;

    /// <summary>Opens a file and checks its whole description; no weights are read.</summary>
    /// <exception cref="Runs.PerenosException">The file cannot be read or is malformed; the message says how.</exception>
    public static SafetensorsFile Open(string path)
    {
        var file = MappedFile.Open(path);
        try
        {
            Placeholder.Refuse(file);
            return new SafetensorsFile(file, SafetensorsHeader.Read(file));
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    /// <remarks>
    /// A large tensor that needs no conversion is the file's own pages, copied only where they are written to: see <see cref="ITensorSource.Read"/>.
    /// 8-bit floats are read as float32, unsigned integers of 16 to 64 bits as int64: torch has no such types here, and these hold
    /// every value.
    /// </remarks>
    public Tensor Read(string name, torch.ScalarType? type = null)
    {
        if (!Tensors.TryGetValue(name, out var info))
            throw Refusal.NoSuchTensor(this, name);
        var onDisk = SafetensorsType.Find(info.DType)!;
        // Once: a second tensor over the same memory would change with the first.
        if ((type ?? onDisk.Torch) == onDisk.Torch && !_shared.Contains(name) && _file.Share(info.Offset, info.Shape, onDisk) is { } shared)
        {
            _shared.Add(name);
            return shared;
        }

        try
        {
            return StoredElements.Read(info.Shape, onDisk, type, (first, target) => _file.Slice(info.Offset + first * onDisk.Bytes, target.Length).CopyTo(target));
        }
        catch (OverflowException e)
        {
            throw Refusal.TooLargeForTorch(Location, name, e);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();
}
