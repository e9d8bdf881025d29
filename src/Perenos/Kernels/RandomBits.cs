using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using static TorchSharp.torch;

namespace Perenos.Kernels;

/// <summary>16 random bits for each place, for rounding: a function of seed and place, so that no state has to be saved.</summary>
internal static class RandomBits
{
    // One formula four times: the vectors of .NET share no public interface of operators.
    // A 32-bit mixer without bias worth the name: https://nullprogram.com/blog/2018/07/31/ ("lowbias32").
    private const uint First = 0x7FEB352D, Second = 0x846CA68B;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static uint Of(uint seed, uint index)
    {
        uint bits = index ^ seed;
        bits = (bits ^ bits >> 16) * First;
        bits = (bits ^ bits >> 15) * Second;
        return bits >> 16;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector128<uint> Of(Vector128<uint> seed, Vector128<uint> index)
    {
        var bits = index ^ seed;
        bits = (bits ^ bits >> 16) * First;
        bits = (bits ^ bits >> 15) * Second;
        return bits >> 16;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector256<uint> Of(Vector256<uint> seed, Vector256<uint> index)
    {
        var bits = index ^ seed;
        bits = (bits ^ bits >> 16) * First;
        bits = (bits ^ bits >> 15) * Second;
        return bits >> 16;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector512<uint> Of(Vector512<uint> seed, Vector512<uint> index)
    {
        var bits = index ^ seed;
        bits = (bits ^ bits >> 16) * First;
        bits = (bits ^ bits >> 15) * Second;
        return bits >> 16;
    }

    /// <summary>Rounds values to a bfloat16 tensor at random, in torch operations: any device and layout.</summary>
    internal static void StoreWithTorch(Tensor target, Tensor value, ulong seed)
    {
        using var scope = NewDisposeScope();
        using var generator = new Generator(seed, target.device);
        // Half a spacing up or down before rounding to the nearest: bfloat16 numbers lie 2^(exponent − 7) apart.
        var spacing = value.abs().log2().floor().Increase(-7.0).exp2();
        var shift = rand(value.shape, value.dtype, target.device, generator: generator).Increase(-0.5);
        // Where the value is 0 there is no exponent, and nothing to round.
        target.copy_(value.Plus(spacing.nan_to_num(0, 0, 0).mul(shift)));
    }
}
