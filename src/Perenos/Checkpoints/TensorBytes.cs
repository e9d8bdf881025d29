using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Checkpoints;

/// <summary>The raw memory of contiguous CPU tensors, in pieces that fit a span: a tensor may be larger than 2 GB.</summary>
internal static class TensorBytes
{
    public const long PieceBytes = 64 << 20;

    // Small enough for a core's own cache, so that what is copied and then looked at is still there.
    private const long PartBytes = 256 << 10;

    /// <summary>Sees one piece; <paramref name="firstElement"/> counts from the start of the tensor.</summary>
    public delegate void Visitor(Span<byte> piece, long firstElement);

    /// <summary>A tensor with undefined content, outside any dispose scope: the caller owns it.</summary>
    public static Tensor Create(ReadOnlySpan<long> shape, torch.ScalarType type) =>
        empty(shape, dtype: type, device: CPU).DetachFromDisposeScope();

    /// <summary>
    /// Visits the tensor's bytes from first to last, at most <paramref name="pieceBytes"/> at a time and always a multiple of
    /// <paramref name="granularity"/> elements (except at the end).
    /// </summary>
    public static void ForEachPiece(Tensor tensor, Visitor visit, long pieceBytes = PieceBytes, long granularity = 1)
    {
        using var scope = NewDisposeScope();
        long total = tensor.numel();
        long step = Math.Max(1, pieceBytes / tensor.ElementSize / granularity) * granularity;
        var flat = tensor.view(-1);
        for (long first = 0; first < total; first += step)
        {
            using var piece = flat.narrow(0, first, Math.Min(step, total - first));
            visit(piece.bytes, first);
        }
    }

    /// <summary>Visits the tensor's bytes in small pieces on all cores, in any order.</summary>
    public static unsafe void ForEachPart(Tensor tensor, Visitor visit)
    {
        long bytes = tensor.numel() * tensor.ElementSize;
        if (bytes == 0)
            return;
        byte* start;
        using (NewDisposeScope())
        {
            fixed (byte* first = tensor.view(-1).narrow(0, 0, 1).bytes)
                start = first; // memory of torch, which does not move
        }

        long parts = (bytes + PartBytes - 1) / PartBytes;
        if (parts == 1)
            Visit(0);
        else
            Parallel.For(0, parts, Visit);
        GC.KeepAlive(tensor);

        void Visit(long part)
        {
            long at = part * PartBytes;
            visit(new Span<byte>(start + at, (int)Math.Min(PartBytes, bytes - at)), at / tensor.ElementSize);
        }
    }
}
