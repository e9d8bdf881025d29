using System.Buffers.Binary;
using System.Runtime.Intrinsics;

namespace Perenos.Checkpoints;

/// <summary>
/// The way into blocks of 32 values; <see cref="SmallBlockQuants"/> is the way back and gives the layouts. Each step rounds as
/// ggml's reference does, so the bytes are the same: <see href="https://github.com/ggml-org/ggml/blob/master/src/ggml-quants.c"/>,
/// quantize_row_q4_0_ref and following.
/// </summary>
internal static class SmallBlockEncoders
{
    /// <summary>16 levels around 0; the value of largest magnitude becomes exactly -8 steps.</summary>
    public static void Q4_0(ReadOnlySpan<float> values, Span<byte> block)
    {
        float scale = Extreme(values) / -8;
        WriteHalf(block, scale);
        Nibbles(Levels(values, 0, Inverse(scale), 8.5f, 15), Levels(values[16..], 0, Inverse(scale), 8.5f, 15)).CopyTo(block[2..]);
    }

    /// <summary>16 levels from the smallest to the largest value.</summary>
    public static void Q4_1(ReadOnlySpan<float> values, Span<byte> block)
    {
        var (smallest, largest) = Bounds(values);
        float scale = (largest - smallest) / 15;
        WriteHalf(block, scale);
        WriteHalf(block[2..], smallest);
        Nibbles(Levels(values, smallest, Inverse(scale), 0.5f, 15), Levels(values[16..], smallest, Inverse(scale), 0.5f, 15)).CopyTo(block[4..]);
    }

    /// <summary>32 levels around 0; the value of largest magnitude becomes exactly -16 steps.</summary>
    public static void Q5_0(ReadOnlySpan<float> values, Span<byte> block)
    {
        float scale = Extreme(values) / -16;
        WriteHalf(block, scale);
        var (low, high) = (Levels(values, 0, Inverse(scale), 16.5f, 31), Levels(values[16..], 0, Inverse(scale), 16.5f, 31));
        // The fifth bit of each level, moved to the top of its byte.
        uint fifthBits = (low << 3).ExtractMostSignificantBits() | (high << 3).ExtractMostSignificantBits() << 16;
        BinaryPrimitives.WriteUInt32LittleEndian(block[2..], fifthBits);
        var nibble = Vector128.Create((byte)15);
        Nibbles(low & nibble, high & nibble).CopyTo(block[6..]);
    }

    /// <summary>255 levels around 0; halves round away from it.</summary>
    public static void Q8_0(ReadOnlySpan<float> values, Span<byte> block)
    {
        float scale = MathF.Abs(Extreme(values)) / 127;
        WriteHalf(block, scale);
        for (int i = 0; i < 32; i += 16)
            Bytes(RoundAway(values[i..], Inverse(scale)), RoundAway(values[(i + 8)..], Inverse(scale))).AsByte().CopyTo(block[(2 + i)..]);
    }

    public static void WriteHalf(Span<byte> target, float value) => BinaryPrimitives.WriteHalfLittleEndian(target, (Half)value);

    /// <summary>The first of the values of largest magnitude, with its sign.</summary>
    private static float Extreme(ReadOnlySpan<float> values)
    {
        float magnitude = 0;
        var all = Vector256<float>.Zero;
        for (int i = 0; i < 32; i += 8)
            all = Vector256.Max(all, Vector256.Abs(Vector256.Create(values.Slice(i, 8))));
        for (int i = 0; i < 8; i++)
            magnitude = MathF.Max(magnitude, all[i]);
        int first = 0;
        while (MathF.Abs(values[first]) != magnitude)
            first++;
        return magnitude == 0 ? 0 : values[first];
    }

    private static (float Smallest, float Largest) Bounds(ReadOnlySpan<float> values)
    {
        var (low, high) = (Vector256.Create(values[..8]), Vector256.Create(values[..8]));
        for (int i = 8; i < 32; i += 8)
        {
            var next = Vector256.Create(values.Slice(i, 8));
            (low, high) = (Vector256.Min(low, next), Vector256.Max(high, next));
        }

        float smallest = low[0], largest = high[0];
        for (int i = 1; i < 8; i++)
            (smallest, largest) = (MathF.Min(smallest, low[i]), MathF.Max(largest, high[i]));
        return (smallest, largest);
    }

    private static float Inverse(float scale) => scale == 0 ? 0 : 1 / scale;

    /// <summary>min(most, ⌊(x - minimum) · inverse + half⌋) of 16 values; the sum is never negative.</summary>
    private static Vector128<byte> Levels(ReadOnlySpan<float> values, float minimum, float inverse, float half, int most)
    {
        return Bytes(Eight(values), Eight(values[8..])).AsByte();

        Vector256<int> Eight(ReadOnlySpan<float> eight) => Vector256.Min(
            Vector256.ConvertToInt32((Vector256.Create(eight[..8]) - Vector256.Create(minimum)) * inverse + Vector256.Create(half)), Vector256.Create(most));
    }

    private static Vector256<int> RoundAway(ReadOnlySpan<float> values, float inverse)
    {
        var scaled = Vector256.Create(values[..8]) * inverse;
        var whole = Vector256.Truncate(scaled);
        // The fraction is exact, unlike scaled + 0.5.
        var isHalf = Vector256.GreaterThanOrEqual(Vector256.Abs(scaled - whole), Vector256.Create(0.5f));
        return Vector256.ConvertToInt32(whole + (isHalf & Vector256.CopySign(Vector256<float>.One, scaled)));
    }

    private static Vector128<sbyte> Bytes(Vector256<int> first, Vector256<int> second)
    {
        var shorts = Vector256.Narrow(first, second);
        return Vector128.Narrow(shorts.GetLower(), shorts.GetUpper());
    }

    private static Vector128<byte> Nibbles(Vector128<byte> low, Vector128<byte> high) => low | high << 4;
}
