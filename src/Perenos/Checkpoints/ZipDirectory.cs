using System.Buffers.Binary;
using System.Text;
using Perenos.Runs;

namespace Perenos.Checkpoints;

/// <summary>
/// The entries of a zip archive whose data lies in the file as it is (<see href="https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT"/>,
/// with zip64): archives of torch are never compressed, so that they can be mapped. Directory, headers and data must agree, and no
/// two entries may share a byte.
/// </summary>
internal sealed class ZipDirectory
{
    private const int LocalBytes = 30, CentralBytes = 46, EndBytes = 22, LocatorBytes = 20, End64Bytes = 56;
    private const uint LocalSignature = 0x04034B50, CentralSignature = 0x02014B50, EndSignature = 0x06054B50;
    private const uint LocatorSignature = 0x07064B50, End64Signature = 0x06064B50;
    private const int EncryptedFlag = 1;

    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private readonly MappedFile _file;
    private readonly Dictionary<string, ZipEntry> _entries = new(StringComparer.Ordinal);

    private ZipDirectory(MappedFile file) => _file = file;

    /// <summary>Entries by their name in the archive.</summary>
    public IReadOnlyDictionary<string, ZipEntry> Entries => _entries;

    /// <exception cref="PerenosException">The archive contradicts itself, is cut off, or has compressed or encrypted entries.</exception>
    public static ZipDirectory Read(MappedFile file)
    {
        var directory = new ZipDirectory(file);
        var (start, end, count) = directory.FindDirectory();
        directory.ReadEntries(start, end, count);
        directory.CheckLayout(start);
        return directory;
    }

    /// <summary>Where the central directory lies; its end record stands at the end of the file, behind it only a comment.</summary>
    private (long Start, long End, ulong Count) FindDirectory()
    {
        long at = _file.Length - EndBytes;
        for (; ; at--)
        {
            if (at < 0 || at < _file.Length - EndBytes - ushort.MaxValue)
                throw Malformed("the directory at the end of a zip archive is missing (cut off?)");
            if (UInt32(at) == EndSignature && at + EndBytes + UInt16(at + 20) == _file.Length)
                break;
        }

        ulong count = UInt16(at + 10), size = UInt32(at + 12), start = UInt32(at + 16);
        bool isOneFile = UInt16(at + 4) is 0 or ushort.MaxValue && UInt16(at + 6) is 0 or ushort.MaxValue && UInt16(at + 8) == count;
        if (at >= LocatorBytes && UInt32(at - LocatorBytes) == LocatorSignature)
        {
            ulong record = UInt64(at - LocatorBytes + 8);
            if (at < LocatorBytes + End64Bytes || record > (ulong)(at - LocatorBytes - End64Bytes) || UInt32((long)record) != End64Signature)
                throw Malformed("its zip64 record is not where the archive says");
            at = (long)record;
            (count, size, start) = (UInt64(at + 32), UInt64(at + 40), UInt64(at + 48));
            isOneFile = UInt32(at + 16) == 0 && UInt32(at + 20) == 0 && UInt64(at + 24) == count;
        }

        if (!isOneFile)
            throw Malformed("it is one of several parts of a zip archive");
        if (start > (ulong)at || size != (ulong)at - start || count > size / CentralBytes)
            throw Malformed("the directory of its zip archive does not lie where it says");
        return ((long)start, at, count);
    }

    private void ReadEntries(long at, long end, ulong count)
    {
        for (ulong entry = 0; entry < count; entry++)
        {
            if (end - at < CentralBytes || UInt32(at) != CentralSignature)
                throw Malformed("the directory of its zip archive is broken");
            int nameBytes = UInt16(at + 28), extraBytes = UInt16(at + 30), commentBytes = UInt16(at + 32);
            long next = at + CentralBytes + nameBytes + extraBytes + commentBytes;
            if (next > end)
                throw Malformed("the directory of its zip archive is broken");
            string name = Name(at + CentralBytes, nameBytes);
            if ((UInt16(at + 8) & EncryptedFlag) != 0)
                throw Malformed($"its entry {Refusal.Quote(name)} is encrypted");
            if (UInt16(at + 10) != 0)
                throw Malformed($"its entry {Refusal.Quote(name)} is compressed, which torch does not do");
            var sizes = Sizes(at, nameBytes, extraBytes, name);
            if (!_entries.TryAdd(name, Locate(name, at + CentralBytes, nameBytes, sizes.Header, sizes.Length)))
                throw Malformed($"its entry {Refusal.Quote(name)} is there twice");
            at = next;
        }

        if (at != end)
            throw Malformed("the directory of its zip archive is broken");
    }

    /// <summary>Length and place of an entry; what does not fit 32 bits stands in an extra field, in this order.</summary>
    private (ulong Length, ulong Header) Sizes(long at, int nameBytes, int extraBytes, string name)
    {
        ulong stored = UInt32(at + 20), length = UInt32(at + 24), header = UInt32(at + 42);
        long extra = at + CentralBytes + nameBytes, end = extra + extraBytes;
        while (end - extra >= 4)
        {
            int id = UInt16(extra);
            long field = extra + 4, fieldEnd = field + UInt16(extra + 2);
            if (fieldEnd > end)
                break;
            if (id == 1)
            {
                length = Wide(length);
                stored = Wide(stored);
                header = Wide(header);
            }

            extra = fieldEnd;

            ulong Wide(ulong narrow)
            {
                if (narrow != uint.MaxValue)
                    return narrow;
                if (fieldEnd - field < 8)
                    throw Malformed($"its entry {Refusal.Quote(name)} lacks its sizes");
                field += 8;
                return UInt64(field - 8);
            }
        }

        return stored == length ? (length, header) : throw Malformed($"its entry {Refusal.Quote(name)} has two different lengths");
    }

    /// <summary>The data of an entry lies behind a header of its own.</summary>
    private ZipEntry Locate(string name, long nameAt, int nameBytes, ulong header, ulong length)
    {
        if (header > (ulong)(_file.Length - LocalBytes) || UInt32((long)header) != LocalSignature)
            throw Malformed($"its entry {Refusal.Quote(name)} is not where the directory says");
        long start = (long)header, data = start + LocalBytes + UInt16(start + 26) + UInt16(start + 28);
        if (data > _file.Length || length > (ulong)(_file.Length - data))
            throw Malformed($"its entry {Refusal.Quote(name)} of {length:N0} bytes is beyond the end of the file (cut off?)");
        if (UInt16(start + 26) != nameBytes || UInt16(start + 8) != 0 || !_file.Slice(start + LocalBytes, nameBytes).SequenceEqual(_file.Slice(nameAt, nameBytes)))
            throw Malformed($"its entry {Refusal.Quote(name)} has another header than the directory says");
        return new ZipEntry(start, data, (long)length);
    }

    private void CheckLayout(long directoryStart)
    {
        long free = 0;
        foreach (var (name, entry) in _entries.OrderBy(pair => pair.Value.Header))
        {
            if (entry.Header < free || entry.Offset + entry.Length > directoryStart)
                throw Malformed($"its entry {Refusal.Quote(name)} overlaps another");
            free = entry.Offset + entry.Length;
        }
    }

    private string Name(long at, int bytes)
    {
        try
        {
            return StrictUtf8.GetString(_file.Slice(at, bytes));
        }
        catch (DecoderFallbackException e)
        {
            throw Refusal.Malformed(_file.Path, "the name of an entry is not valid UTF-8", e);
        }
    }

    private ushort UInt16(long at) => BinaryPrimitives.ReadUInt16LittleEndian(_file.Slice(at, 2));

    private uint UInt32(long at) => BinaryPrimitives.ReadUInt32LittleEndian(_file.Slice(at, 4));

    private ulong UInt64(long at) => BinaryPrimitives.ReadUInt64LittleEndian(_file.Slice(at, 8));

    private PerenosException Malformed(string reason) => Refusal.Malformed(_file.Path, reason);
}

/// <summary>An entry of a zip archive.</summary>
/// <param name="Header">Where its own header begins.</param>
/// <param name="Offset">Where its data begins.</param>
/// <param name="Length">Bytes of the data.</param>
internal readonly record struct ZipEntry(long Header, long Offset, long Length);
