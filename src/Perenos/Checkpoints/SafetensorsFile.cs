using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Checkpoints;

/// <summary>One safetensors file, mapped into memory and read tensor by tensor.</summary>
public sealed class SafetensorsFile : ITensorSource
{
    private readonly MappedFile _file;
    private readonly SafetensorsHeader _header;

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
    /// 8-bit floats are read as float32, unsigned integers of 16 to 64 bits as int64: torch has no such types here, and these hold
    /// every value.
    /// </remarks>
    public Tensor Read(string name, torch.ScalarType? type = null)
    {
        if (!Tensors.TryGetValue(name, out var info))
            throw Refusal.NoSuchTensor(this, name);
        var onDisk = SafetensorsType.Find(info.DType)!;
        var result = TensorBytes.Create(info.Shape, type ?? onDisk.ReadAs);
        try
        {
            if (result.dtype == onDisk.Torch)
                TensorBytes.ForEachPiece(result, (piece, first) => Bytes(first, piece.Length / onDisk.Bytes).CopyTo(piece));
            else
                ReadConverted(result, onDisk, Bytes);
            return result;
        }
        catch (OverflowException e)
        {
            result.Dispose();
            throw Refusal.Malformed(Location, $"tensor {Refusal.Quote(name)} has values above 2^63 - 1, which torch cannot hold", e);
        }

        ReadOnlySpan<byte> Bytes(long first, int count) =>
            _file.Slice(info.Offset + first * onDisk.Bytes, count * onDisk.Bytes);
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private delegate ReadOnlySpan<byte> Elements(long first, int count);

    /// <summary>Converts in small pieces, so that the tensor never exists in both types.</summary>
    private static void ReadConverted(Tensor result, SafetensorsType onDisk, Elements elements)
    {
        const int PieceElements = 1 << 20;
        using var scope = NewDisposeScope();
        long total = result.numel();
        var flat = result.view(-1);
        var buffer = empty([Math.Min(PieceElements, total)], dtype: onDisk.ReadAs);
        for (long first = 0; first < total; first += PieceElements)
        {
            int count = (int)Math.Min(PieceElements, total - first);
            using var part = buffer.narrow(0, 0, count);
            if (onDisk.Torch is null)
                onDisk.Decode(elements(first, count), part.bytes);
            else
                elements(first, count).CopyTo(part.bytes);
            using var target = flat.narrow(0, first, count);
            target.copy_(part);
        }
    }
}
