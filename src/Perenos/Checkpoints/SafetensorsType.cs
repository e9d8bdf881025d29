using System.Buffers.Binary;
using System.Runtime.InteropServices;
using TorchSharp;

namespace Perenos.Checkpoints;

/// <summary>
/// One element type of the safetensors format. The order of <see cref="All"/> is the order in which the reference
/// implementation ranks them when it lays out a file: <see href="https://github.com/huggingface/safetensors"/>, enum Dtype.
/// </summary>
/// <param name="Name">As spelt on disk.</param>
/// <param name="Bytes">Bytes of one element.</param>
/// <param name="Torch">The same type in torch, or null.</param>
/// <param name="ReadAs">The torch type that holds each value exactly.</param>
internal sealed record SafetensorsType(string Name, int Bytes, torch.ScalarType? Torch, torch.ScalarType ReadAs)
{
    private static readonly float[] Float8E4M3 = [.. Enumerable.Range(0, 256).Select(b => DecodeE4M3((byte)b))];

    public static IReadOnlyList<SafetensorsType> All { get; } =
    [
        Native("BOOL", 1, torch.ScalarType.Bool),
        Native("U8", 1, torch.ScalarType.Byte),
        Native("I8", 1, torch.ScalarType.Int8),
        new("F8_E5M2", 1, null, torch.ScalarType.Float32),
        new("F8_E4M3", 1, null, torch.ScalarType.Float32),
        Native("I16", 2, torch.ScalarType.Int16),
        new("U16", 2, null, torch.ScalarType.Int64),
        Native("F16", 2, torch.ScalarType.Float16),
        Native("BF16", 2, torch.ScalarType.BFloat16),
        Native("I32", 4, torch.ScalarType.Int32),
        new("U32", 4, null, torch.ScalarType.Int64),
        Native("F32", 4, torch.ScalarType.Float32),
        Native("F64", 8, torch.ScalarType.Float64),
        Native("I64", 8, torch.ScalarType.Int64),
        new("U64", 8, null, torch.ScalarType.Int64),
    ];

    /// <summary>Rank in the layout of a file: larger comes first.</summary>
    public int Rank { get; private set; }

    public static SafetensorsType? Find(string name) => All.FirstOrDefault(t => t.Name == name);

    public static SafetensorsType? Find(torch.ScalarType type) => All.FirstOrDefault(t => t.Torch == type);

    static SafetensorsType()
    {
        for (int i = 0; i < All.Count; i++)
            All[i].Rank = i;
    }

    private static SafetensorsType Native(string name, int bytes, torch.ScalarType type) => new(name, bytes, type, type);

    /// <summary>Decodes elements that torch has no type for into <see cref="ReadAs"/>.</summary>
    /// <exception cref="OverflowException">A U64 value above 2^63 - 1, which no integer of torch holds.</exception>
    public void Decode(ReadOnlySpan<byte> source, Span<byte> target)
    {
        var floats = MemoryMarshal.Cast<byte, float>(target);
        var integers = MemoryMarshal.Cast<byte, long>(target);
        for (int i = 0; i < source.Length / Bytes; i++)
        {
            var element = source.Slice(i * Bytes, Bytes);
            switch (Name)
            {
                case "F8_E4M3":
                    floats[i] = Float8E4M3[element[0]];
                    break;
                case "F8_E5M2": // the upper half of an IEEE half
                    floats[i] = (float)BitConverter.UInt16BitsToHalf((ushort)(element[0] << 8));
                    break;
                case "U16":
                    integers[i] = BinaryPrimitives.ReadUInt16LittleEndian(element);
                    break;
                case "U32":
                    integers[i] = BinaryPrimitives.ReadUInt32LittleEndian(element);
                    break;
                default:
                    integers[i] = checked((long)BinaryPrimitives.ReadUInt64LittleEndian(element));
                    break;
            }
        }
    }

    /// <summary>1 sign, 4 exponent (bias 7), 3 mantissa bits; no infinity; all ones is NaN (Micikevicius et al. 2022, https://arxiv.org/abs/2209.05433).</summary>
    private static float DecodeE4M3(byte bits)
    {
        int exponent = (bits >> 3) & 15, mantissa = bits & 7;
        float value = (exponent, mantissa) switch
        {
            (15, 7) => float.NaN,
            (0, _) => mantissa * MathF.Pow(2, -9),
            _ => (8 + mantissa) * MathF.Pow(2, exponent - 10),
        };
        return bits >= 128 ? -value : value;
    }
}
