using System.Buffers.Binary;
using System.Globalization;

namespace Perenos.Text.Data;

/// <summary>Writes examples one by one into the two files that <see cref="StoredExamples"/> reads.</summary>
public sealed class ExampleWriter : IDisposable
{
    private const int BufferBytes = 1 << 20;

    private readonly FileStream _tokens;
    private readonly FileStream _entries;
    private readonly Dictionary<string, int> _files = new(StringComparer.Ordinal);
    private long _offset;

    /// <summary>Begins both files in a folder that is there.</summary>
    public ExampleWriter(string folder)
    {
        static FileStream Create(string path) => new(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, BufferBytes);
        _tokens = Create(Path.Combine(folder, StoredExamples.TokensName));
        _entries = Create(Path.Combine(folder, StoredExamples.ExamplesName));
    }

    /// <summary>Names of the files that the records came from, in the order of their first record.</summary>
    public IReadOnlyList<string> Files => [.. _files.OrderBy(file => file.Value).Select(file => file.Key)];

    /// <summary>Writes one more.</summary>
    public void Add(Example example)
    {
        ArgumentNullException.ThrowIfNull(example);
        var (file, line) = Place(example.Source);
        Span<byte> bytes = stackalloc byte[StoredExamples.EntryBytes];
        new StoredExamples.Entry(_offset, example.Ids.Length, example.Rejected?.Ids.Length ?? 0, example.Rows.Sum(row => row.LearntTokens), file,
            example.IsText, example.HasStart, example.IsTruncated, line).Write(bytes);
        _entries.Write(bytes);
        Span<byte> token = stackalloc byte[sizeof(int)];
        foreach (var row in example.Rows)
        {
            for (int place = 0; place < row.Ids.Length; place++)
            {
                BinaryPrimitives.WriteInt32LittleEndian(token, row.Ids[place] | (row.IsLearnt[place] ? StoredExamples.LearntBit : 0));
                _tokens.Write(token);
            }

            _offset += row.Ids.Length;
        }
    }

    /// <summary>Closes both files.</summary>
    public void Dispose()
    {
        _tokens.Dispose();
        _entries.Dispose();
    }

    // "file.jsonl:17"
    private (int File, long Line) Place(string source)
    {
        int colon = source.LastIndexOf(':');
        string file = source[..Math.Max(0, colon)];
        if (!_files.TryGetValue(file, out int number))
            _files[file] = number = _files.Count;
        return (number, long.Parse(source.AsSpan(colon + 1), CultureInfo.InvariantCulture));
    }
}
