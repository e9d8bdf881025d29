using System.Buffers.Binary;
using System.Text;

namespace Perenos.Tests.Checkpoints;

/// <summary>Builds GGUF files, valid or not, one field after the other.</summary>
internal sealed class GgufBytes
{
    private readonly List<byte> _bytes = [];
    private readonly List<byte> _description = [];
    private readonly List<byte> _data = [];
    private int _pairs;
    private int _tensors;

    public uint Version { get; init; } = 3;

    public ulong? ClaimedTensors { get; init; }

    public ulong? ClaimedPairs { get; init; }

    public static byte[] Text(string text) => [.. U64((ulong)Encoding.UTF8.GetByteCount(text)), .. Encoding.UTF8.GetBytes(text)];

    public static byte[] U32(uint value)
    {
        byte[] bytes = new byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
        return bytes;
    }

    public static byte[] U64(ulong value)
    {
        byte[] bytes = new byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        return bytes;
    }

    public GgufBytes Pair(string key, uint kind, params byte[] value)
    {
        _bytes.AddRange([.. Text(key), .. U32(kind), .. value]);
        _pairs++;
        return this;
    }

    public GgufBytes Pair(string key, string value) => Pair(key, 8, Text(value));

    public GgufBytes Pair(string key, uint value) => Pair(key, 4, U32(value));

    /// <summary>Sizes innermost first, as on disk; offsets that are not given follow from the data so far.</summary>
    public GgufBytes Tensor(string name, uint type, ulong[] sizes, byte[] data, ulong? offset = null)
    {
        while (_data.Count % 32 != 0)
            _data.Add(0);
        _description.AddRange([.. Text(name), .. U32((uint)sizes.Length), .. sizes.SelectMany(U64), .. U32(type), .. U64(offset ?? (ulong)_data.Count)]);
        _data.AddRange(data);
        _tensors++;
        return this;
    }

    public byte[] Build()
    {
        List<byte> file = [.. "GGUF"u8, .. U32(Version), .. U64(ClaimedTensors ?? (ulong)_tensors), .. U64(ClaimedPairs ?? (ulong)_pairs), .. _bytes, .. _description];
        if (_tensors > 0)
        {
            while (file.Count % 32 != 0)
                file.Add(0);
        }

        file.AddRange(_data);
        return [.. file];
    }
}
