using System.Buffers.Binary;
using System.Text;

namespace Perenos.Tests.Checkpoints;

/// <summary>Builds pickles and the containers of torch.save, valid or not, one field after the other.</summary>
internal static class TorchBytes
{
    public static readonly byte[] Magic = [0x80, 2, 0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, (byte)'.'];

    /// <summary>Concatenates texts (as ASCII), bytes and further pieces.</summary>
    public static byte[] Join(params object[] parts) => [.. parts.SelectMany(part => part switch
    {
        string text => Encoding.Latin1.GetBytes(text),
        byte one => [one],
        byte[] bytes => bytes,
        _ => throw new ArgumentException($"a piece of type {part.GetType()}"),
    })];

    public static byte[] Unicode(string text) => Join("X", U32((uint)Encoding.UTF8.GetByteCount(text)), Encoding.UTF8.GetBytes(text));

    public static byte[] Number(long value) => Join((byte)0x8A, (byte)8, U64((ulong)value));

    public static byte[] Numbers(params long[] values) => Join("(", Join([.. values.Select(value => (object)Number(value))]), "t");

    public static byte[] Dictionary(params object[] entries) => Join("}(", Join(entries), "u");

    /// <summary>The persistent id of a storage, and the storage in its place.</summary>
    public static byte[] Storage(string key, long count, string type = "torch\nFloatStorage", byte[]? window = null) =>
        Join("(", Unicode("storage"), $"c{type}\n", Unicode(key), Unicode("cpu"), Number(count), window ?? [], "tQ");

    /// <summary>A call of _rebuild_tensor_v2.</summary>
    public static byte[] Tensor(byte[] storage, long first, long[] shape, long[] strides, byte[]? metadata = null) =>
        Join("ctorch._utils\n_rebuild_tensor_v2\n(", storage, Number(first), Numbers(shape), Numbers(strides), (byte)0x89, "ccollections\nOrderedDict\n)R", metadata ?? [], "tR");

    /// <summary>A pickle of protocol 2.</summary>
    public static byte[] Pickle(params object[] parts) => Join((byte)0x80, (byte)2, Join(parts), ".");

    /// <summary>An archive as torch.save writes it, with a storage "0" of four floats unless <paramref name="storages"/> are given.</summary>
    public static byte[] Archive(byte[] pickle, params (string Key, byte[] Data)[] storages) => Zip(
    [
        ("archive/data.pkl", pickle), ("archive/byteorder", "little"u8.ToArray()),
        .. (storages.Length > 0 ? storages : [("0", FourFloats)]).Select(storage => ($"archive/data/{storage.Key}", storage.Data)), ("archive/version", "3\n"u8.ToArray()),
    ]);

    public static byte[] FourFloats { get; } = [0, 0, 0x80, 0x3F, 0, 0, 0, 0x40, 0, 0, 0x40, 0x40, 0, 0, 0x80, 0x40]; // 1, 2, 3, 4

    /// <summary>A stored archive; <paramref name="zip64"/> writes every size and place in its wide form.</summary>
    public static byte[] Zip(IEnumerable<(string Name, byte[] Data)> entries, bool zip64 = false)
    {
        List<byte> file = [], directory = [];
        int count = 0;
        foreach (var (name, data) in entries)
        {
            directory.AddRange(ZipDirectoryEntry(name, data.Length, file.Count, zip64));
            file.AddRange(ZipEntryHeader(name, data));
            count++;
        }

        return [.. file, .. directory, .. ZipEnd(count, directory.Count, file.Count, zip64)];
    }

    /// <summary>An entry with its data. Lengths are left open in its header, as torch does; those of the directory count.</summary>
    public static byte[] ZipEntryHeader(string name, byte[] data) => Join(
        "PK\u0003\u0004", U16(45), U16(0x808), U16(0), U32(0), U32(0), U32(0), U32(0), U16((ushort)Encoding.UTF8.GetByteCount(name)), U16(3), Encoding.UTF8.GetBytes(name), "FB\0", data);

    public static byte[] ZipDirectoryEntry(string name, long length, long header, bool zip64 = true)
    {
        byte[] text = Encoding.UTF8.GetBytes(name);
        byte[] extra = zip64 ? Join(U16(1), U16(24), U64((ulong)length), U64((ulong)length), U64((ulong)header)) : [];
        uint narrow = zip64 ? uint.MaxValue : (uint)length;
        return Join("PK\u0001\u0002", U16(45), U16(45), U16(0x800), U16(0), U32(0), U32(0), U32(narrow), U32(narrow), U16((ushort)text.Length), U16((ushort)extra.Length),
            U16(0), U16(0), U16(0), U32(0), U32(zip64 ? uint.MaxValue : (uint)header), text, extra);
    }

    public static byte[] ZipEnd(int count, long directoryBytes, long directoryAt, bool zip64 = true)
    {
        byte[] wide = zip64
            ? Join("PK\u0006\u0006", U64(44), U16(45), U16(45), U32(0), U32(0), U64((ulong)count), U64((ulong)count), U64((ulong)directoryBytes), U64((ulong)directoryAt),
                "PK\u0006\u0007", U32(0), U64((ulong)(directoryAt + directoryBytes)), U32(1))
            : [];
        return Join(wide, "PK\u0005\u0006", U16(0), U16(0), U16((ushort)count), U16((ushort)count), U32((uint)directoryBytes), U32(zip64 ? uint.MaxValue : (uint)directoryAt), U16(0));
    }

    /// <summary>The container before version 1.6.</summary>
    public static byte[] Legacy(byte[] pickle, params (string Key, long Count, byte[] Data)[] storages) => Join(
        Magic, Pickle("M", U16(1001)), Pickle(Dictionary(Unicode("protocol_version"), Number(1001), Unicode("little_endian"), (byte)0x88)), pickle,
        Pickle("](", Join([.. storages.Select(storage => (object)Unicode(storage.Key))]), "e"),
        Join([.. storages.Select(storage => (object)Join(U64((ulong)storage.Count), storage.Data))]));

    public static byte[] U16(ushort value)
    {
        byte[] bytes = new byte[2];
        BinaryPrimitives.WriteUInt16LittleEndian(bytes, value);
        return bytes;
    }

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
}
