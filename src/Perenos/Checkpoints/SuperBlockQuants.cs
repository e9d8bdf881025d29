using System.Buffers.Binary;
using System.Runtime.Intrinsics;
using static Perenos.Checkpoints.QuantVectors;

namespace Perenos.Checkpoints;

/// <summary>
/// Quantisations in blocks of 256 values whose sub-blocks of 16 or 32 have small integer scales of their own ("K-quants",
/// and the ternary types). Layouts: <see href="https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h"/>, block_q2_K and following.
/// </summary>
internal static class SuperBlockQuants
{
    private static readonly Vector128<byte> One = Vector128.Create((byte)1);
    private static readonly Vector128<byte> Three = Vector128.Create((byte)3);
    private static readonly Vector128<byte> LowNibble = Vector128.Create((byte)15);

    /// <summary>16 scales and minima (a nibble each), 64 bytes of 2-bit values, d, dmin; d · s · q - dmin · m</summary>
    public static void Q2_K(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = Half(block, 80), dmin = Half(block, 82);
        for (int sub = 0; sub < 16; sub++)
        {
            // Four sub-block pairs share 32 bytes, two bits each.
            int shift = sub / 2 % 4 * 2;
            var quants = (Load(block, 16 + sub / 8 * 32 + sub % 2 * 16) >> shift) & Three;
            ScaleAdd(quants.AsSByte(), d * (block[sub] & 15), -(dmin * (block[sub] >> 4)), values[(sub * 16)..]);
        }
    }

    /// <summary>32 bytes of third bits (set = no offset), 64 bytes of 2-bit values, 16 scales of 6 bits in 12 bytes, d; d · (s - 32) · q</summary>
    public static void Q3_K(ReadOnlySpan<byte> block, Span<float> values)
    {
        var scales = block.Slice(96, 12);
        float d = Half(block, 108);
        var four = Vector128.Create((byte)4);
        for (int sub = 0; sub < 16; sub++)
        {
            int low = (scales[sub % 8] >> (sub / 8 * 4)) & 15, high = (scales[8 + sub % 4] >> (sub / 4 * 2)) & 3;
            int half = sub % 2 * 16;
            var quants = (Load(block, 32 + sub / 8 * 32 + half) >> (sub / 2 % 4 * 2)) & Three;
            var third = ((Load(block, half) >> (sub / 2)) & One) << 2;
            Scale((quants + third - four).AsSByte(), d * ((low | (high << 4)) - 32), values[(sub * 16)..]);
        }
    }

    /// <summary>d, dmin, 8 scales and minima of 6 bits in 12 bytes, 128 bytes of nibbles; d · s · q - dmin · m</summary>
    public static void Q4_K(ReadOnlySpan<byte> block, Span<float> values)
    {
        for (int sub = 0; sub < 8; sub++)
        {
            var (scale, offset) = ScaleAndOffset(block, sub);
            for (int half = 0; half < 32; half += 16)
            {
                var quants = (Load(block, 16 + sub / 2 * 32 + half) >> (sub % 2 * 4)) & LowNibble;
                ScaleAdd(quants.AsSByte(), scale, offset, values[(sub * 32 + half)..]);
            }
        }
    }

    /// <summary>As <see cref="Q4_K"/>, with 32 bytes of fifth bits before the nibbles: bit k of each belongs to sub-block k.</summary>
    public static void Q5_K(ReadOnlySpan<byte> block, Span<float> values)
    {
        for (int sub = 0; sub < 8; sub++)
        {
            var (scale, offset) = ScaleAndOffset(block, sub);
            for (int half = 0; half < 32; half += 16)
            {
                var nibbles = (Load(block, 48 + sub / 2 * 32 + half) >> (sub % 2 * 4)) & LowNibble;
                var fifth = ((Load(block, 16 + half) >> sub) & One) << 4;
                ScaleAdd((nibbles | fifth).AsSByte(), scale, offset, values[(sub * 32 + half)..]);
            }
        }
    }

    /// <summary>128 bytes of nibbles, 64 bytes of upper bit pairs, 16 signed scales, d; d · s · (q - 32)</summary>
    public static void Q6_K(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = Half(block, 208);
        var offset = Vector128.Create((byte)32);
        for (int sub = 0; sub < 16; sub++)
        {
            int part = sub / 8, row = sub / 2 % 4, half = sub % 2 * 16;
            var nibbles = (Load(block, part * 64 + row % 2 * 32 + half) >> (row / 2 * 4)) & LowNibble;
            var upper = ((Load(block, 128 + part * 32 + half) >> (row * 2)) & Three) << 4;
            Scale(((nibbles | upper) - offset).AsSByte(), d * (sbyte)block[192 + sub], values[(sub * 16)..]);
        }
    }

    /// <summary>d, 8 scales of 6 bits (upper pairs in 2 bytes, nibbles in 4), 128 bytes of nibbles; d · (s - 32) · level(q)</summary>
    public static void IQ4_XS(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = Half(block, 0);
        int upper = BinaryPrimitives.ReadUInt16LittleEndian(block[2..]);
        for (int sub = 0; sub < 8; sub++)
        {
            int scale = ((block[4 + sub / 2] >> (sub % 2 * 4)) & 15) | (((upper >> (sub * 2)) & 3) << 4);
            SmallBlockQuants.Levels(Load(block, 8 + sub * 16), SmallBlockQuants.NonLinearLevels, d * (scale - 32), values[(sub * 32)..]);
        }
    }

    /// <summary>Five ternary digits in each of 48 bytes, four in each of 4 more, d; d · (digit - 1)</summary>
    /// <remarks>A byte holds ceil(n · 256 / 243): multiplying by a power of three moves the wanted digit to the top, modulo 256.</remarks>
    public static void TQ1_0(ReadOnlySpan<byte> block, Span<float> values)
    {
        Span<byte> digits = stackalloc byte[256];
        int at = 0;
        foreach (var (start, count, places) in stackalloc[] { (0, 32, 5), (32, 16, 5), (48, 4, 4) })
        {
            byte power = 1;
            for (int place = 0; place < places; place++, power *= 3)
            {
                for (int i = 0; i < count; i++)
                    digits[at++] = (byte)((((byte)(block[start + i] * power) * 3) >> 8) - 1);
            }
        }

        float d = Half(block, 52);
        for (int i = 0; i < 256; i += Width)
            Scale(Load(digits, i).AsSByte(), d, values[i..]);
    }

    /// <summary>64 bytes of 2-bit values, d; d · (q - 1)</summary>
    public static void TQ2_0(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = Half(block, 64);
        for (int sub = 0; sub < 16; sub++)
        {
            var quants = (Load(block, sub / 8 * 32 + sub % 2 * 16) >> (sub / 2 % 4 * 2)) & Three;
            Scale((quants - One).AsSByte(), d, values[(sub * 16)..]);
        }
    }

    /// <summary>Scale and minimum of a sub-block: 6 bits each, the upper four of both in bytes of their own.</summary>
    private static (float Scale, float Offset) ScaleAndOffset(ReadOnlySpan<byte> block, int sub)
    {
        var packed = block.Slice(4, 12);
        int scale, minimum;
        if (sub < 4)
        {
            scale = packed[sub] & 63;
            minimum = packed[sub + 4] & 63;
        }
        else
        {
            scale = (packed[sub + 4] & 15) | (packed[sub - 4] >> 6 << 4);
            minimum = (packed[sub + 4] >> 4) | (packed[sub] >> 6 << 4);
        }

        return (Half(block, 0) * scale, -(Half(block, 2) * minimum));
    }
}
