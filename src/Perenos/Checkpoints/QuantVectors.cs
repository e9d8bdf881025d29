using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Perenos.Checkpoints;

/// <summary>
/// The last step of every dequantisation: 16 small integers become 16 floats. Multiplication and addition round
/// separately, as in the reference; a fused multiply-add would change the last bit.
/// </summary>
internal static class QuantVectors
{
    public const int Width = 16;

    public static Vector128<byte> Load(ReadOnlySpan<byte> bytes, int at) => Vector128.Create(bytes.Slice(at, Width));

    public static float Half(ReadOnlySpan<byte> bytes, int at) =>
        (float)BinaryPrimitives.ReadHalfLittleEndian(bytes[at..]);

    /// <summary>values = scale · quants</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Scale(Vector128<sbyte> quants, float scale, Span<float> values)
    {
        if (Avx512F.IsSupported)
        {
            (Vector512.ConvertToSingle(Avx512F.ConvertToVector512Int32(quants)) * scale).CopyTo(values);
            return;
        }

        var (low, high) = Vector128.Widen(quants);
        ScaleEight(low, scale, values);
        ScaleEight(high, scale, values[8..]);
    }

    /// <summary>values = scale · quants + offset</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void ScaleAdd(Vector128<sbyte> quants, float scale, float offset, Span<float> values)
    {
        if (Avx512F.IsSupported)
        {
            var product = Vector512.ConvertToSingle(Avx512F.ConvertToVector512Int32(quants)) * scale;
            (product + Vector512.Create(offset)).CopyTo(values);
            return;
        }

        Scale(quants, scale, values);
        for (int i = 0; i < Width; i += 4)
            (Vector128.Create(values.Slice(i, 4)) + Vector128.Create(offset)).CopyTo(values[i..]);
    }

    private static void ScaleEight(Vector128<short> quants, float scale, Span<float> values)
    {
        var (low, high) = Vector128.Widen(quants);
        (Vector128.ConvertToSingle(low) * scale).CopyTo(values);
        (Vector128.ConvertToSingle(high) * scale).CopyTo(values[4..]);
    }
}
