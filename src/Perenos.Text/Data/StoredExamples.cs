using System.Buffers.Binary;
using System.Collections;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Perenos.Runs;

namespace Perenos.Text.Data;

/// <summary>
/// Examples in two files, read one by one when they are asked for. <c>tokens</c> holds 4 bytes a token, the highest bit saying whether it
/// is learnt; <c>examples</c> an entry of fixed size for each. Read, not mapped: the pages of a mapping would count as memory of the process.
/// </summary>
public sealed class StoredExamples : IReadOnlyList<Example>, IDisposable
{
    internal const string TokensName = "tokens", ExamplesName = "examples";
    internal const int EntryBytes = 32;
    internal const int LearntBit = 1 << 31;
    private const int EntriesAtOnce = 4096;

    private readonly SafeFileHandle _tokens;
    private readonly SafeFileHandle _entries;
    private readonly IReadOnlyList<string> _files;

    private StoredExamples(SafeFileHandle tokens, SafeFileHandle entries, int count, IReadOnlyList<string> files) => (_tokens, _entries, Count, _files) = (tokens, entries, count, files);

    /// <inheritdoc/>
    public int Count { get; }

    /// <inheritdoc/>
    public Example this[int index]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfNegative(index);
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, Count);
            Span<byte> bytes = stackalloc byte[EntryBytes];
            Fill(_entries, bytes, (long)index * EntryBytes);
            var entry = Entry.Read(bytes);
            var example = Row(entry, entry.Offset, entry.Length);
            return entry.Rejected == 0 ? example : example with { Rejected = Row(entry, entry.Offset + entry.Length, entry.Rejected) };
        }
    }

    /// <summary>Opens what <see cref="ExampleWriter"/> wrote.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="files">Names of the files that the records came from, as the writer had them.</param>
    /// <exception cref="PerenosException">The files are not there, or not whole.</exception>
    public static StoredExamples Open(string folder, IReadOnlyList<string> files)
    {
        static SafeFileHandle Handle(string path) => File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, FileOptions.RandomAccess);
        SafeFileHandle? tokens = null;
        try
        {
            tokens = Handle(Path.Combine(folder, TokensName));
            var entries = Handle(Path.Combine(folder, ExamplesName));
            long length = RandomAccess.GetLength(entries);
            if (length % EntryBytes != 0 || length / EntryBytes > int.MaxValue)
                throw new InvalidDataException($"{length} bytes are no whole number of entries.");
            return new StoredExamples(tokens, entries, (int)(length / EntryBytes), files);
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            tokens?.Dispose();
            throw new PerenosException($"The tokens in {folder} cannot be read: {problem.Message}", "Delete that folder; the next run makes it again.", problem);
        }
    }

    /// <summary>Of each example its length, without reading tokens where they are stored.</summary>
    public static int[] LengthsOf(IReadOnlyList<Example> examples) => examples is StoredExamples stored
        ? stored.Column(entry => Math.Max(entry.Length, entry.Rejected))
        : [.. examples.Select(example => example.Length)];

    /// <summary>Of each example the tokens that are learnt in all its rows, without reading them where they are stored.</summary>
    public static int[] LearntOf(IReadOnlyList<Example> examples) => examples is StoredExamples stored
        ? stored.Column(entry => entry.Learnt)
        : [.. examples.Select(example => example.Rows.Sum(row => row.LearntTokens))];

    /// <inheritdoc/>
    public IEnumerator<Example> GetEnumerator()
    {
        for (int index = 0; index < Count; index++)
            yield return this[index];
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>Closes the files.</summary>
    public void Dispose()
    {
        _tokens.Dispose();
        _entries.Dispose();
    }

    private int[] Column(Func<Entry, int> value)
    {
        var values = new int[Count];
        var buffer = new byte[EntriesAtOnce * EntryBytes];
        for (int first = 0; first < Count; first += EntriesAtOnce)
        {
            int count = Math.Min(EntriesAtOnce, Count - first);
            Fill(_entries, buffer.AsSpan(0, count * EntryBytes), (long)first * EntryBytes);
            for (int index = 0; index < count; index++)
                values[first + index] = value(Entry.Read(buffer.AsSpan(index * EntryBytes, EntryBytes)));
        }

        return values;
    }

    private Example Row(Entry entry, long offset, int length)
    {
        var ids = new int[length];
        Fill(_tokens, MemoryMarshal.AsBytes(ids.AsSpan()), offset * sizeof(int));
        if (!BitConverter.IsLittleEndian)
            BinaryPrimitives.ReverseEndianness(ids, ids);
        var isLearnt = new bool[length];
        for (int place = 0; place < length; place++)
            (ids[place], isLearnt[place]) = (ids[place] & ~LearntBit, ids[place] < 0);
        return new Example(ids, isLearnt, $"{_files[entry.File]}:{entry.Line}") { IsText = entry.IsText, HasStart = entry.HasStart, IsTruncated = entry.IsTruncated };
    }

    private static void Fill(SafeFileHandle file, Span<byte> bytes, long offset)
    {
        while (bytes.Length > 0)
        {
            int count = RandomAccess.Read(file, bytes, offset);
            if (count == 0)
                throw new PerenosException("The stored tokens are shorter than their index says.", "Delete the folder of the data in the cache; the next run makes it again.");
            bytes = bytes[count..];
            offset += count;
        }
    }

    /// <summary>An entry: 8 bytes offset in tokens, 4 length, 4 length of the rejected answer, 4 learnt, 4 file and flags, 8 line.</summary>
    internal readonly record struct Entry(long Offset, int Length, int Rejected, int Learnt, int File, bool IsText, bool HasStart, bool IsTruncated, long Line)
    {
        public static Entry Read(ReadOnlySpan<byte> bytes)
        {
            int flags = BinaryPrimitives.ReadInt32LittleEndian(bytes[20..]);
            return new Entry(BinaryPrimitives.ReadInt64LittleEndian(bytes), BinaryPrimitives.ReadInt32LittleEndian(bytes[8..]), BinaryPrimitives.ReadInt32LittleEndian(bytes[12..]),
                BinaryPrimitives.ReadInt32LittleEndian(bytes[16..]), flags >> 3, (flags & 1) != 0, (flags & 2) != 0, (flags & 4) != 0, BinaryPrimitives.ReadInt64LittleEndian(bytes[24..]));
        }

        public void Write(Span<byte> bytes)
        {
            BinaryPrimitives.WriteInt64LittleEndian(bytes, Offset);
            BinaryPrimitives.WriteInt32LittleEndian(bytes[8..], Length);
            BinaryPrimitives.WriteInt32LittleEndian(bytes[12..], Rejected);
            BinaryPrimitives.WriteInt32LittleEndian(bytes[16..], Learnt);
            BinaryPrimitives.WriteInt32LittleEndian(bytes[20..], File << 3 | (IsText ? 1 : 0) | (HasStart ? 2 : 0) | (IsTruncated ? 4 : 0));
            BinaryPrimitives.WriteInt64LittleEndian(bytes[24..], Line);
        }
    }
}
