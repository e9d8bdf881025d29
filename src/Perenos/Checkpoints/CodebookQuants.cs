using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.Intrinsics;
using static Perenos.Checkpoints.QuantVectors;

namespace Perenos.Checkpoints;

/// <summary>
/// Quantisations in blocks of 256 values that name points of a codebook, 8 values at a time, beside signs and scales ("IQ").
/// Layouts: <see href="https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h"/>, block_iq2_xxs and following.
/// </summary>
internal static class CodebookQuants
{
    private static readonly Vector128<byte> Bits = Vector128.Create(0x8040201008040201ul).AsByte();

    /// <summary>d, then per 32 values: 4 indices, and a word of 4 × 7 sign bits and a 4-bit scale; d · (s + 1/2) / 4</summary>
    public static void IQ2_XXS(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = Half(block, 0);
        for (int sub = 0; sub < 8; sub++)
        {
            var indices = block.Slice(2 + sub * 8, 4);
            uint signs = BinaryPrimitives.ReadUInt32LittleEndian(block[(6 + sub * 8)..]);
            float scale = d * (0.5f + (signs >> 28)) * 0.25f;
            for (int k = 0; k < 4; k += 2)
            {
                Signed(
                    LatticeCodebooks.IQ2_XXS[indices[k]], EvenSigns(signs >> (7 * k)),
                    LatticeCodebooks.IQ2_XXS[indices[k + 1]], EvenSigns(signs >> (7 * k + 7)), scale, values[(sub * 32 + k * 8)..]);
            }
        }
    }

    /// <summary>d, 32 words of 9 index and 7 sign bits, 16 scales of 4 bits; d · (s + 1/2) / 4</summary>
    public static void IQ2_XS(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = Half(block, 0);
        for (int sub = 0; sub < 16; sub++)
        {
            int scale = (block[66 + sub / 2] >> (sub % 2 * 4)) & 15;
            int first = BinaryPrimitives.ReadUInt16LittleEndian(block[(2 + sub * 4)..]);
            int second = BinaryPrimitives.ReadUInt16LittleEndian(block[(4 + sub * 4)..]);
            Signed(
                LatticeCodebooks.IQ2_XS[first & 511], EvenSigns((uint)first >> 9),
                LatticeCodebooks.IQ2_XS[second & 511], EvenSigns((uint)second >> 9), d * (0.5f + scale) * 0.25f, values[(sub * 16)..]);
        }
    }

    /// <summary>d, 32 low index bytes, 32 sign bytes, 32 upper index pairs, 16 scales of 4 bits; d · (s + 1/2) / 4</summary>
    public static void IQ2_S(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = Half(block, 0);
        for (int sub = 0; sub < 16; sub++)
        {
            int scale = (block[74 + sub / 2] >> (sub % 2 * 4)) & 15, upper = block[66 + sub / 2] >> (sub % 2 * 4);
            int at = sub * 2;
            Signed(
                LatticeCodebooks.IQ2_S[block[2 + at] | ((upper & 3) << 8)], block[34 + at],
                LatticeCodebooks.IQ2_S[block[3 + at] | ((upper >> 2 & 3) << 8)], block[35 + at],
                d * (0.5f + scale) * 0.25f, values[(sub * 16)..]);
        }
    }

    /// <summary>d, 64 indices of 4 values, 8 words of 4 × 7 sign bits and a 4-bit scale; d · (s + 1/2) / 2</summary>
    public static void IQ3_XXS(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = Half(block, 0);
        for (int sub = 0; sub < 8; sub++)
        {
            uint signs = BinaryPrimitives.ReadUInt32LittleEndian(block[(66 + sub * 4)..]);
            float scale = d * (0.5f + (signs >> 28)) * 0.5f;
            for (int k = 0; k < 4; k += 2)
            {
                var indices = block.Slice(2 + sub * 8 + k * 2, 4);
                Signed(
                    Joined(LatticeCodebooks.IQ3_XXS, indices[0], indices[1]), EvenSigns(signs >> (7 * k)),
                    Joined(LatticeCodebooks.IQ3_XXS, indices[2], indices[3]), EvenSigns(signs >> (7 * k + 7)), scale, values[(sub * 32 + k * 8)..]);
            }
        }
    }

    /// <summary>d, 64 low index bytes, 64 ninth bits, 32 sign bytes, 8 scales of 4 bits; d · (2 s + 1)</summary>
    public static void IQ3_S(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = Half(block, 0);
        for (int sub = 0; sub < 8; sub++)
        {
            int scale = (block[106 + sub / 2] >> (sub % 2 * 4)) & 15, ninth = block[66 + sub];
            for (int k = 0; k < 4; k += 2)
            {
                var low = block.Slice(2 + sub * 8 + k * 2, 4);
                int upper = ninth >> (k * 2);
                Signed(
                    Joined(LatticeCodebooks.IQ3_S, low[0] | (upper & 1) << 8, low[1] | (upper >> 1 & 1) << 8), block[74 + sub * 4 + k],
                    Joined(LatticeCodebooks.IQ3_S, low[2] | (upper >> 2 & 1) << 8, low[3] | (upper >> 3 & 1) << 8), block[75 + sub * 4 + k],
                    d * (1 + 2 * scale), values[(sub * 32 + k * 8)..]);
            }
        }
    }

    /// <summary>d, 32 low index bytes, 8 words of 4 × 3 index bits, a 3-bit scale and the sign of the shift; d · (2 s + 1) · (point ± 1/8)</summary>
    public static void IQ1_S(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = Half(block, 0);
        for (int sub = 0; sub < 8; sub++)
        {
            int word = BinaryPrimitives.ReadUInt16LittleEndian(block[(34 + sub * 2)..]);
            float scale = d * (2 * (word >> 12 & 7) + 1);
            bool negative = word >= 0x8000;
            for (int k = 0; k < 4; k += 2)
            {
                var low = block.Slice(2 + sub * 4 + k, 2);
                Shifted(
                    low[0] | (word >> (3 * k) & 7) << 8, negative,
                    low[1] | (word >> (3 * k + 3) & 7) << 8, negative, scale, values[(sub * 32 + k * 8)..]);
            }
        }
    }

    /// <summary>32 low index bytes, 32 nibbles of 3 index bits and the sign of the shift, 4 words of 4 × 3 scale bits whose upper nibbles make up d.</summary>
    public static void IQ1_M(ReadOnlySpan<byte> block, Span<float> values)
    {
        Span<int> words = stackalloc int[4];
        int half = 0;
        for (int i = 0; i < 4; i++)
        {
            words[i] = BinaryPrimitives.ReadUInt16LittleEndian(block[(48 + i * 2)..]);
            half |= words[i] >> 12 << (4 * i);
        }

        float d = (float)BitConverter.UInt16BitsToHalf((ushort)half);
        for (int sub = 0; sub < 16; sub++)
        {
            int scale = words[sub / 4] >> (sub % 4 * 3) & 7, upper = block[32 + sub];
            Shifted(
                block[sub * 2] | (upper & 7) << 8, (upper & 8) != 0,
                block[sub * 2 + 1] | (upper >> 4 & 7) << 8, (upper & 128) != 0, d * (2 * scale + 1), values[(sub * 16)..]);
        }
    }

    /// <summary>Seven signs are stored; the eighth makes the number of minus signs even.</summary>
    private static byte EvenSigns(uint signs)
    {
        uint seven = signs & 127;
        return (byte)(seven | (uint)(BitOperations.PopCount(seven) & 1) << 7);
    }

    private static ulong Joined(ulong[] codebook, int first, int second) => codebook[first] | codebook[second] << 32;

    /// <summary>Two points, each coordinate negated where its sign bit is set.</summary>
    private static void Signed(ulong first, byte firstSigns, ulong second, byte secondSigns, float scale, Span<float> values)
    {
        const ulong EveryByte = 0x0101010101010101;
        var minus = Vector128.Equals(Vector128.Create(firstSigns * EveryByte, secondSigns * EveryByte).AsByte() & Bits, Bits).AsSByte();
        Scale((Vector128.Create(first, second).AsSByte() ^ minus) - minus, scale, values);
    }

    /// <summary>Two points of {-1, 0, 1}^8 moved by ± 1/8. In eighths all are integers, and an eighth of the scale is exact.</summary>
    private static void Shifted(int first, bool firstNegative, int second, bool secondNegative, float scale, Span<float> values)
    {
        const ulong One = 0x0101010101010101, MinusOne = ulong.MaxValue;
        var shift = Vector128.Create(firstNegative ? MinusOne : One, secondNegative ? MinusOne : One).AsSByte();
        Scale(Vector128.Create(LatticeCodebooks.IQ1[first], LatticeCodebooks.IQ1[second]).AsSByte() + shift, scale * 0.125f, values);
    }
}
