using System.Numerics;
using System.Runtime.InteropServices;
using Perenos.Runs;
using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Checkpoints;

/// <summary>Finds weights that are not numbers when they are loaded, not after an hour of training.</summary>
public static class WeightCheck
{
    /// <summary>Refuses a tensor with NaN or infinity in it; integers and booleans pass. Reads at the speed of memory.</summary>
    /// <exception cref="PerenosException">A value is not finite; the message gives the first one's place.</exception>
    public static void RefuseNotFinite(string name, Tensor tensor)
    {
        if (!tensor.is_floating_point())
            return;
        using var scope = NewDisposeScope();
        var memory = tensor.detach().cpu().contiguous();
        var type = memory.dtype;
        long found = long.MaxValue;
        var gate = new Lock();
        TensorBytes.ForEachPart(memory, (part, first) =>
        {
            int at = type switch
            {
                torch.ScalarType.Float32 => FirstNotFinite(MemoryMarshal.Cast<byte, uint>(part), 0x7F80_0000u),
                torch.ScalarType.Float64 => FirstNotFinite(MemoryMarshal.Cast<byte, ulong>(part), 0x7FF0_0000_0000_0000ul),
                torch.ScalarType.BFloat16 => FirstNotFinite(MemoryMarshal.Cast<byte, ushort>(part), (ushort)0x7F80),
                torch.ScalarType.Float16 => FirstNotFinite(MemoryMarshal.Cast<byte, ushort>(part), (ushort)0x7C00),
                _ => throw new NotSupportedException($"no check for {type}"),
            };
            if (at >= 0)
            {
                lock (gate)
                    found = Math.Min(found, first + at);
            }
        });
        if (found < long.MaxValue)
        {
            throw new PerenosException(
                $"the weights {Refusal.Quote(name)} hold NaN or infinity (element {found:N0} of {tensor.numel():N0}).",
                "the training run that made this checkpoint diverged, or the file is damaged: take an earlier one.");
        }
    }

    /// <summary>Not finite = every bit of the exponent is set.</summary>
    private static int FirstNotFinite<T>(ReadOnlySpan<T> bits, T exponent)
        where T : unmanaged, IBinaryInteger<T>
    {
        var mask = new Vector<T>(exponent);
        int at = 0;
        for (; at <= bits.Length - Vector<T>.Count; at += Vector<T>.Count)
        {
            if (Vector.EqualsAny(new Vector<T>(bits[at..]) & mask, mask))
                break;
        }

        for (; at < bits.Length; at++)
        {
            if ((bits[at] & exponent) == exponent)
                return at;
        }

        return -1;
    }
}
