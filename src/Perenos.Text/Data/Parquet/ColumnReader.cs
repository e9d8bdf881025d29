using System.Numerics;
using Microsoft.Win32.SafeHandles;

namespace Perenos.Text.Data.Parquet;

/// <summary>A column of a row group, value by value, one page in memory at a time.</summary>
internal sealed class ColumnReader
{
    private const int LeastHeader = 256, LargestHeader = 1 << 20;

    private readonly SafeFileHandle _file;
    private readonly ColumnChunk _chunk;
    private readonly ParquetNode _leaf;
    private readonly long _end;
    private long _position;
    private long _left;
    private long _inPage;
    private ParquetValue[]? _dictionary;
    private HybridReader _definitions;
    private HybridReader _repetitions;
    private PageValues? _values;

    public ColumnReader(SafeFileHandle file, long dataEnd, ColumnChunk chunk, ParquetNode leaf)
    {
        (_file, _chunk, _leaf, _position, _left) = (file, chunk, leaf, chunk.Start, chunk.Values);
        if (chunk.Type != leaf.Line.Type)
            throw new InvalidDataException($"the type of \"{leaf.Name}\" changes");
        if (chunk.Start < 4 || chunk.Bytes < 0 || chunk.Values < 0 || chunk.Start > dataEnd || chunk.Bytes > dataEnd - chunk.Start)
            throw new InvalidDataException($"the data of \"{leaf.Name}\" reach beyond the file");
        _end = chunk.Start + chunk.Bytes;
        Advance();
    }

    /// <summary>Whether the last value has been taken.</summary>
    public bool IsAtEnd { get; private set; }

    /// <summary>How far down the next value is there.</summary>
    public int Definition { get; private set; }

    /// <summary>At which list the next value goes on; 0 begins a record.</summary>
    public int Repetition { get; private set; }

    /// <summary>Takes the next value; null where there is none.</summary>
    public ParquetValue? Take()
    {
        if (IsAtEnd)
            throw new InvalidDataException($"the values of \"{_leaf.Name}\" end early");
        ParquetValue? value = Definition == _leaf.LevelsOf.Definition ? _values!.Next() : null;
        Advance();
        return value;
    }

    private void Advance()
    {
        if (_left == 0)
        {
            (IsAtEnd, Definition, Repetition) = (true, -1, 0);
            return;
        }

        while (_inPage == 0)
            BeginPage();
        _inPage--;
        _left--;
        Repetition = _repetitions.Next();
        Definition = _definitions.Next();
        if (Definition > _leaf.LevelsOf.Definition || Repetition > _leaf.LevelsOf.Repetition)
            throw new InvalidDataException($"the levels of \"{_leaf.Name}\" make no sense");
    }

    private void BeginPage()
    {
        var page = ReadHeader();
        if (page.Compressed < 0 || page.Compressed > _end - _position)
            throw new InvalidDataException($"a page of \"{_leaf.Name}\" reaches beyond its column");
        byte[] bytes = Read(_position, page.Compressed);
        _position += page.Compressed;
        switch (page.Type)
        {
            case 0:
                BeginData(page, ParquetCodec.Expand(_chunk.Codec, bytes, page.Expanded));
                break;
            case 2:
                _dictionary = PageValues.Dictionary(_leaf.Line, ParquetCodec.Expand(_chunk.Codec, bytes, page.Expanded), page.Values);
                break;
            case 3:
                BeginSecondVersion(page, bytes);
                break;
            default:
                break; // Index pages hold nothing of the records.
        }
    }

    // Levels with their lengths before them, then values, all compressed together.
    private void BeginData(PageHeader page, byte[] content)
    {
        int at = 0;
        HybridReader Levels(int most)
        {
            if (most == 0)
                return new HybridReader(content, 0, 0, 0);
            int length = ThriftReader.LittleEndian(content.AsSpan(at));
            var levels = new HybridReader(content, at + 4, length, Width(most));
            at += 4 + length;
            return levels;
        }

        _repetitions = Levels(_leaf.LevelsOf.Repetition);
        _definitions = Levels(_leaf.LevelsOf.Definition);
        Begin(page, content, at);
    }

    // Levels uncompressed and without lengths, then values.
    private void BeginSecondVersion(PageHeader page, byte[] bytes)
    {
        int levels = page.RepetitionBytes + page.DefinitionBytes;
        if (page.RepetitionBytes < 0 || page.DefinitionBytes < 0 || levels < 0 || levels > bytes.Length || levels > page.Expanded)
            throw new InvalidDataException($"the levels of \"{_leaf.Name}\" reach beyond their page");
        _repetitions = new HybridReader(bytes, 0, page.RepetitionBytes, Width(_leaf.LevelsOf.Repetition));
        _definitions = new HybridReader(bytes, page.RepetitionBytes, page.DefinitionBytes, Width(_leaf.LevelsOf.Definition));
        byte[] values = bytes[levels..];
        Begin(page, page.IsCompressed && values.Length > 0 ? ParquetCodec.Expand(_chunk.Codec, values, page.Expanded - levels) : values, 0);
    }

    private void Begin(PageHeader page, byte[] content, int at)
    {
        if (page.Values < 0 || page.Values > _left)
            throw new InvalidDataException($"\"{_leaf.Name}\" has more values than its row group says");
        _inPage = page.Values;
        _values = page.Values == 0 ? null : PageValues.Of(page.Encoding, _leaf.Line, content, at, _dictionary);
    }

    private PageHeader ReadHeader()
    {
        for (int window = LeastHeader; ; window *= 8)
        {
            int length = (int)Math.Min(window, _end - _position);
            if (length <= 0)
                throw new InvalidDataException($"the pages of \"{_leaf.Name}\" end early");
            byte[] bytes = Read(_position, length);
            try
            {
                var header = PageHeader.Parse(bytes, out int used);
                _position += used;
                return header;
            }
            catch (InvalidDataException) when (length == window && window < LargestHeader)
            {
                // Statistics of long texts may make it longer than the window.
            }
        }
    }

    private byte[] Read(long position, int length)
    {
        byte[] bytes = new byte[length];
        for (int read = 0; read < length;)
        {
            int more = RandomAccess.Read(_file, bytes.AsSpan(read), position + read);
            read += more > 0 ? more : throw new InvalidDataException("the file ends early");
        }

        return bytes;
    }

    private static int Width(int most) => 32 - BitOperations.LeadingZeroCount((uint)most);
}

/// <summary>What stands before each page.</summary>
internal readonly record struct PageHeader(int Type, int Expanded, int Compressed, int Values, int Encoding, int DefinitionBytes, int RepetitionBytes, bool IsCompressed)
{
    public static PageHeader Parse(ReadOnlySpan<byte> bytes, out int used)
    {
        var reader = new ThriftReader(bytes);
        var header = new PageHeader(-1, -1, -1, 0, -1, 0, 0, true);
        for (int id = 0; reader.NextField(ref id, out int type);)
        {
            switch (id)
            {
                case 1: header = header with { Type = reader.Small() }; break;
                case 2: header = header with { Expanded = reader.Small() }; break;
                case 3: header = header with { Compressed = reader.Small() }; break;
                case 5 or 7: header = ReadFirst(ref reader, header); break;
                case 8: header = ReadSecond(ref reader, header); break;
                default: reader.Skip(type); break;
            }
        }

        used = reader.Position;
        return header;
    }

    private static PageHeader ReadFirst(ref ThriftReader reader, PageHeader header)
    {
        for (int id = 0; reader.NextField(ref id, out int type);)
        {
            switch (id)
            {
                case 1: header = header with { Values = reader.Small() }; break;
                case 2: header = header with { Encoding = reader.Small() }; break;
                default: reader.Skip(type); break;
            }
        }

        return header;
    }

    private static PageHeader ReadSecond(ref ThriftReader reader, PageHeader header)
    {
        for (int id = 0; reader.NextField(ref id, out int type);)
        {
            switch (id)
            {
                case 1: header = header with { Values = reader.Small() }; break;
                case 4: header = header with { Encoding = reader.Small() }; break;
                case 5: header = header with { DefinitionBytes = reader.Small() }; break;
                case 6: header = header with { RepetitionBytes = reader.Small() }; break;
                case 7: header = header with { IsCompressed = type == ThriftReader.True }; break;
                default: reader.Skip(type); break;
            }
        }

        return header;
    }
}
