using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Checkpoints;

/// <summary>Makes a tensor of elements that lie in a file.</summary>
internal static class StoredElements
{
    private const int PieceElements = 1 << 20;

    /// <summary>Copies elements from <paramref name="first"/> on, as they lie on disk, until <paramref name="target"/> is full.</summary>
    public delegate void Copy(long first, Span<byte> target);

    /// <summary>A new CPU tensor that the caller owns, in <paramref name="type"/> or else in the type on disk.</summary>
    /// <exception cref="OverflowException">A value has no place in any torch type.</exception>
    public static Tensor Read(long[] shape, SafetensorsType onDisk, torch.ScalarType? type, Copy copy)
    {
        var result = TensorBytes.Create(shape, type ?? onDisk.ReadAs);
        try
        {
            if (result.dtype == onDisk.Torch)
                TensorBytes.ForEachPart(result, (part, first) => copy(first, part));
            else
                ReadConverted(result, onDisk, copy);
            return result;
        }
        catch
        {
            result.Dispose();
            throw;
        }
    }

    /// <summary>Converts in small pieces, so that the tensor never exists in both types.</summary>
    private static void ReadConverted(Tensor result, SafetensorsType onDisk, Copy copy)
    {
        using var scope = NewDisposeScope();
        long total = result.numel();
        int most = (int)Math.Min(PieceElements, total);
        byte[]? undecoded = onDisk.Torch is null ? new byte[most * onDisk.Bytes] : null;
        var flat = result.view(-1);
        var buffer = empty([most], dtype: onDisk.ReadAs);
        for (long first = 0; first < total; first += PieceElements)
        {
            int count = (int)Math.Min(PieceElements, total - first);
            using var part = buffer.narrow(0, 0, count);
            if (undecoded is null)
            {
                copy(first, part.bytes);
            }
            else
            {
                var bytes = undecoded.AsSpan(0, count * onDisk.Bytes);
                copy(first, bytes);
                onDisk.Decode(bytes, part.bytes);
            }

            using var target = flat.narrow(0, first, count);
            target.copy_(part);
        }
    }
}
