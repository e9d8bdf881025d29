using System.Buffers.Binary;
using System.Runtime.Intrinsics;
using static Perenos.Checkpoints.QuantVectors;

namespace Perenos.Checkpoints;

/// <summary>
/// Quantisations in blocks of 32 values. Nibbles lie in two halves: value i in the low, value i + 16 in the high nibble of byte i.
/// Layouts: <see href="https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h"/>, block_q4_0 and following.
/// </summary>
internal static class SmallBlockQuants
{
    private static readonly Vector128<byte> LowNibble = Vector128.Create((byte)15);
    private static readonly Vector128<byte> Bits = Vector128.Create(0x8040201008040201ul).AsByte();
    private static readonly Vector128<byte> SpreadTwoBytes = Vector128.Create(0ul, 0x0101010101010101ul).AsByte();

    /// <summary>The 16 levels of the non-linear 4-bit types IQ4_NL and IQ4_XS.</summary>
    public static readonly Vector128<sbyte> NonLinearLevels =
        Vector128.Create(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);

    /// <summary>Twice the values of the 4-bit float E2M1 (OCP Microscaling Formats 1.0).</summary>
    private static readonly Vector128<sbyte> Float4Levels =
        Vector128.Create(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);

    /// <summary>d, 16 bytes of nibbles; d · (q - 8)</summary>
    public static void Q4_0(ReadOnlySpan<byte> block, Span<float> values)
    {
        var nibbles = Load(block, 2);
        var eight = Vector128.Create((sbyte)8);
        float scale = Half(block, 0);
        Scale((nibbles & LowNibble).AsSByte() - eight, scale, values);
        Scale((nibbles >> 4).AsSByte() - eight, scale, values[16..]);
    }

    /// <summary>d, m, 16 bytes of nibbles; d · q + m</summary>
    public static void Q4_1(ReadOnlySpan<byte> block, Span<float> values)
    {
        var nibbles = Load(block, 4);
        float scale = Half(block, 0), offset = Half(block, 2);
        ScaleAdd((nibbles & LowNibble).AsSByte(), scale, offset, values);
        ScaleAdd((nibbles >> 4).AsSByte(), scale, offset, values[16..]);
    }

    /// <summary>d, 32 fifth bits, 16 bytes of nibbles; d · (q - 16)</summary>
    public static void Q5_0(ReadOnlySpan<byte> block, Span<float> values)
    {
        var (low, high) = FiveBits(Load(block, 6), block[2..]);
        var sixteen = Vector128.Create((sbyte)16);
        float scale = Half(block, 0);
        Scale(low - sixteen, scale, values);
        Scale(high - sixteen, scale, values[16..]);
    }

    /// <summary>d, m, 32 fifth bits, 16 bytes of nibbles; d · q + m</summary>
    public static void Q5_1(ReadOnlySpan<byte> block, Span<float> values)
    {
        var (low, high) = FiveBits(Load(block, 8), block[4..]);
        float scale = Half(block, 0), offset = Half(block, 2);
        ScaleAdd(low, scale, offset, values);
        ScaleAdd(high, scale, offset, values[16..]);
    }

    /// <summary>d, 32 signed bytes; d · q</summary>
    public static void Q8_0(ReadOnlySpan<byte> block, Span<float> values)
    {
        float scale = Half(block, 0);
        Scale(Load(block, 2).AsSByte(), scale, values);
        Scale(Load(block, 18).AsSByte(), scale, values[16..]);
    }

    /// <summary>d, 16 bytes of nibbles; d · level(q)</summary>
    public static void IQ4_NL(ReadOnlySpan<byte> block, Span<float> values) =>
        Levels(Load(block, 2), NonLinearLevels, Half(block, 0), values);

    /// <summary>A power of two in one byte, 16 bytes of nibbles; 2^(e - 128) · level(q), since the levels are doubled.</summary>
    public static void MXFP4(ReadOnlySpan<byte> block, Span<float> values)
    {
        // The two smallest exponents give subnormal floats.
        uint bits = block[0] < 2 ? 0x0020_0000u << block[0] : (uint)(block[0] - 1) << 23;
        Levels(Load(block, 1), Float4Levels, BitConverter.UInt32BitsToSingle(bits), values);
    }

    /// <summary>16 bytes of nibbles choose among 16 levels.</summary>
    public static void Levels(Vector128<byte> nibbles, Vector128<sbyte> levels, float scale, Span<float> values)
    {
        Scale(Vector128.Shuffle(levels, (nibbles & LowNibble).AsSByte()), scale, values);
        Scale(Vector128.Shuffle(levels, (nibbles >> 4).AsSByte()), scale, values[16..]);
    }

    private static (Vector128<sbyte> Low, Vector128<sbyte> High) FiveBits(Vector128<byte> nibbles, ReadOnlySpan<byte> fifthBits)
    {
        uint bits = BinaryPrimitives.ReadUInt32LittleEndian(fifthBits);
        return (((nibbles & LowNibble) | Sixteens((ushort)bits)).AsSByte(), ((nibbles >> 4) | Sixteens((ushort)(bits >> 16))).AsSByte());
    }

    /// <summary>16 bits become 16 bytes of 16 or 0.</summary>
    private static Vector128<byte> Sixteens(ushort bits)
    {
        var spread = Vector128.Shuffle(Vector128.Create(bits).AsByte(), SpreadTwoBytes);
        return Vector128.Equals(spread & Bits, Bits) & Vector128.Create((byte)16);
    }
}
