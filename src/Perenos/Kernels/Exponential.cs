using System.Runtime.CompilerServices;

namespace Perenos.Kernels;

/// <summary>
/// e to the power of x in float32, within 2 units of the last place: x = n·ln 2 + r, a polynomial in r, times 2ⁿ
/// (range reduction and coefficients as in Cephes' expf, https://netlib.org/cephes/). NaN stays NaN; results end at the normal range.
/// </summary>
internal static class Exponential
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static TFloats Of<TFloats>(TFloats x)
        where TFloats : struct, IFloats<TFloats>
    {
        x = TFloats.Minimum(TFloats.Broadcast(88.02f), TFloats.Maximum(TFloats.Broadcast(-87.33f), x));
        var exponent = TFloats.Round(x * TFloats.Broadcast(1.44269504f));
        // ln 2 in two parts, so that the remainder is exact.
        var rest = TFloats.MultiplyAdd(exponent, TFloats.Broadcast(-0.693359375f), x);
        rest = TFloats.MultiplyAdd(exponent, TFloats.Broadcast(2.12194440e-4f), rest);
        var series = TFloats.Broadcast(1.9875691500e-4f);
        series = TFloats.MultiplyAdd(series, rest, TFloats.Broadcast(1.3981999507e-3f));
        series = TFloats.MultiplyAdd(series, rest, TFloats.Broadcast(8.3334519073e-3f));
        series = TFloats.MultiplyAdd(series, rest, TFloats.Broadcast(4.1665795894e-2f));
        series = TFloats.MultiplyAdd(series, rest, TFloats.Broadcast(1.6666665459e-1f));
        series = TFloats.MultiplyAdd(series, rest, TFloats.Broadcast(5.0000001201e-1f));
        series = TFloats.MultiplyAdd(series, rest * rest, rest) + TFloats.Broadcast(1f);
        return series * TFloats.PowerOfTwo(exponent);
    }
}
