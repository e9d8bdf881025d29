using TorchSharp;

namespace Perenos.Checkpoints;

/// <summary>How GGUF stores the elements of a tensor.</summary>
/// <param name="Id">The number in the file.</param>
/// <param name="Name">The name in the field, for example <c>Q4_K</c>.</param>
/// <param name="BlockSize">Values in a block; rows are whole blocks.</param>
/// <param name="BlockBytes">Bytes of a block.</param>
/// <param name="Torch">The same type in torch; null for a quantisation.</param>
/// <param name="DecodeBlock">Turns one block of a quantisation into floats; null for a torch type.</param>
/// <param name="EncodeBlock">Turns floats into one block; null where this is not implemented.</param>
internal sealed record GgmlType(
    uint Id,
    string Name,
    int BlockSize,
    int BlockBytes,
    torch.ScalarType? Torch,
    GgmlType.BlockDecoder? DecodeBlock,
    GgmlType.BlockEncoder? EncodeBlock = null)
{
    public delegate void BlockDecoder(ReadOnlySpan<byte> block, Span<float> values);

    public delegate void BlockEncoder(ReadOnlySpan<float> values, Span<byte> block);

    /// <summary>Every type whose values can be read. Numbers: <see href="https://github.com/ggml-org/ggml/blob/master/docs/gguf.md"/>.</summary>
    public static IReadOnlyList<GgmlType> All { get; } =
    [
        Native(0, "F32", 4, torch.ScalarType.Float32),
        Native(1, "F16", 2, torch.ScalarType.Float16),
        new(2, "Q4_0", 32, 18, null, SmallBlockQuants.Q4_0, SmallBlockEncoders.Q4_0),
        new(3, "Q4_1", 32, 20, null, SmallBlockQuants.Q4_1, SmallBlockEncoders.Q4_1),
        new(6, "Q5_0", 32, 22, null, SmallBlockQuants.Q5_0, SmallBlockEncoders.Q5_0),
        new(7, "Q5_1", 32, 24, null, SmallBlockQuants.Q5_1),
        new(8, "Q8_0", 32, 34, null, SmallBlockQuants.Q8_0, SmallBlockEncoders.Q8_0),
        new(10, "Q2_K", 256, 84, null, SuperBlockQuants.Q2_K),
        new(11, "Q3_K", 256, 110, null, SuperBlockQuants.Q3_K),
        new(12, "Q4_K", 256, 144, null, SuperBlockQuants.Q4_K, SuperBlockEncoders.Q4_K),
        new(13, "Q5_K", 256, 176, null, SuperBlockQuants.Q5_K),
        new(14, "Q6_K", 256, 210, null, SuperBlockQuants.Q6_K, SuperBlockEncoders.Q6_K),
        new(16, "IQ2_XXS", 256, 66, null, CodebookQuants.IQ2_XXS),
        new(17, "IQ2_XS", 256, 74, null, CodebookQuants.IQ2_XS),
        new(18, "IQ3_XXS", 256, 98, null, CodebookQuants.IQ3_XXS),
        new(19, "IQ1_S", 256, 50, null, CodebookQuants.IQ1_S),
        new(20, "IQ4_NL", 32, 18, null, SmallBlockQuants.IQ4_NL),
        new(21, "IQ3_S", 256, 110, null, CodebookQuants.IQ3_S),
        new(22, "IQ2_S", 256, 82, null, CodebookQuants.IQ2_S),
        new(23, "IQ4_XS", 256, 136, null, SuperBlockQuants.IQ4_XS),
        Native(24, "I8", 1, torch.ScalarType.Int8),
        Native(25, "I16", 2, torch.ScalarType.Int16),
        Native(26, "I32", 4, torch.ScalarType.Int32),
        Native(27, "I64", 8, torch.ScalarType.Int64),
        Native(28, "F64", 8, torch.ScalarType.Float64),
        new(29, "IQ1_M", 256, 56, null, CodebookQuants.IQ1_M),
        Native(30, "BF16", 2, torch.ScalarType.BFloat16),
        new(34, "TQ1_0", 256, 54, null, SuperBlockQuants.TQ1_0),
        new(35, "TQ2_0", 256, 66, null, SuperBlockQuants.TQ2_0),
        new(39, "MXFP4", 32, 17, null, SmallBlockQuants.MXFP4),
    ];

    public static GgmlType? Find(uint id) => All.FirstOrDefault(t => t.Id == id);

    public static GgmlType Named(string name) => All.First(t => t.Name == name);

    /// <summary>Turns whole blocks of a quantisation into floats.</summary>
    public void Decode(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (int block = 0; block < values.Length / BlockSize; block++)
            DecodeBlock!(blocks.Slice(block * BlockBytes, BlockBytes), values.Slice(block * BlockSize, BlockSize));
    }

    /// <summary>Turns floats into whole blocks, on all cores; a block never depends on its neighbours.</summary>
    public unsafe void Encode(ReadOnlySpan<float> values, Span<byte> blocks)
    {
        const int PieceValues = 1 << 16;
        int pieces = (values.Length + PieceValues - 1) / PieceValues, length = values.Length;
        fixed (float* values0 = values)
        fixed (byte* blocks0 = blocks)
        {
            var (source, target) = ((nint)values0, (nint)blocks0);
            Parallel.For(0, pieces, piece =>
            {
                int end = Math.Min(length, (piece + 1) * PieceValues);
                for (int at = piece * PieceValues; at < end; at += BlockSize)
                    EncodeBlock!(new ReadOnlySpan<float>((float*)source + at, BlockSize), new Span<byte>((byte*)target + at / BlockSize * BlockBytes, BlockBytes));
            });
        }
    }

    private static GgmlType Native(uint id, string name, int bytes, torch.ScalarType type) => new(id, name, 1, bytes, type, null);
}
