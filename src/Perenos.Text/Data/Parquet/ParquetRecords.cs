using System.Buffers;
using System.Buffers.Binary;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;
using Perenos.Runs;

namespace Perenos.Text.Data.Parquet;

/// <summary>
/// Records of a Parquet file (https://parquet.apache.org/docs/file-format/), row group by row group, with a page of each column in memory.
/// Structures become objects and lists arrays, so <c>messages</c> looks as in .jsonl.
/// </summary>
internal static class ParquetRecords
{
    private const int Magic = 0x31524150; // "PAR1"
    private const int LargestFooter = 64 << 20;

    // Runs let a row cost next to nothing, but not nothing: beyond this a count is an invention.
    private const long MostRowsPerByte = 1000;

    private static readonly JsonWriterOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static IEnumerable<RawRecord> Read(string path, string file)
    {
        using var handle = Open(path);
        var reader = Guard(file, 0, () => new FileReader(handle));
        for (long row = 1; ; row++)
        {
            if (Guard(file, row, reader.NextRow) is not { } fields)
                yield break;
            yield return new RawRecord(file, row, fields);
        }
    }

    private static SafeFileHandle Open(string path)
    {
        try
        {
            return File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read, FileOptions.RandomAccess);
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            throw new PerenosException($"{path} cannot be read: {problem.Message}", "Check that the file is there and that you may read it.", problem);
        }
    }

    private static T Guard<T>(string file, long row, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception problem) when (problem is InvalidDataException or IOException)
        {
            throw new PerenosException($"{file}{(row > 0 ? $":{row}" : "")}: the Parquet file cannot be read: {problem.Message}.", "Fetch the file again; if that does not help, write it anew without rare encodings.", problem);
        }
    }

    private sealed class FileReader
    {
        private readonly SafeFileHandle _file;
        private readonly long _dataEnd;
        private readonly ParquetFooter _footer;
        private readonly IReadOnlyList<ParquetNode> _fields;
        private readonly ArrayBufferWriter<byte> _buffer = new();
        private ColumnReader[] _columns = [];
        private int _group;
        private long _rowsLeft;

        public FileReader(SafeFileHandle file)
        {
            _file = file;
            long length = RandomAccess.GetLength(file);
            Span<byte> ends = stackalloc byte[12];
            if (length < 12 || RandomAccess.Read(file, ends[..4], 0) < 4 || RandomAccess.Read(file, ends[4..], length - 8) < 8
                || BinaryPrimitives.ReadInt32LittleEndian(ends) != Magic || BinaryPrimitives.ReadInt32LittleEndian(ends[8..]) != Magic)
            {
                throw new InvalidDataException("it does not begin and end as one");
            }

            int footer = BinaryPrimitives.ReadInt32LittleEndian(ends[4..]);
            if (footer < 1 || footer > LargestFooter || footer > length - 12)
                throw new InvalidDataException("its metadata reach beyond the file");
            _dataEnd = length - 8 - footer;
            byte[] bytes = new byte[footer];
            if (RandomAccess.Read(file, bytes, _dataEnd) < footer)
                throw new InvalidDataException("the file ends early");
            _footer = ParquetFooter.Parse(bytes);
            _fields = ParquetNode.Tree(_footer.Schema);
            if (_fields.Select(field => field.Name).Distinct().Count() < _fields.Count)
                throw new InvalidDataException("two columns have one name");
            if (_footer.RowGroups.Any(group => group.Rows > MostRowsPerByte * length))
                throw new InvalidDataException("it claims more rows than can be in it");
        }

        public Dictionary<string, JsonElement>? NextRow()
        {
            while (_rowsLeft == 0)
            {
                if (_group == _footer.RowGroups.Count)
                    return null;
                Begin(_footer.RowGroups[_group++]);
            }

            _rowsLeft--;
            _buffer.Clear();
            using (var writer = new Utf8JsonWriter(_buffer, Readable))
            {
                writer.WriteStartObject();
                foreach (var field in _fields)
                    WriteField(writer, field);
                writer.WriteEndObject();
            }

            foreach (var column in _columns)
            {
                if (column.Repetition != 0)
                    throw new InvalidDataException("its columns do not begin their records together");
            }

            using var document = JsonDocument.Parse(_buffer.WrittenMemory);
            return document.RootElement.Clone().EnumerateObject().ToDictionary(property => property.Name, property => property.Value, StringComparer.Ordinal);
        }

        private void Begin(RowGroup group)
        {
            var leaves = _fields.SelectMany(Leaves).ToList();
            if (group.Columns.Count != leaves.Count)
                throw new InvalidDataException($"a row group has {group.Columns.Count} columns and the schema {leaves.Count}");
            _columns = [.. group.Columns.Select((chunk, index) => new ColumnReader(_file, _dataEnd, chunk, leaves[index]))];
            _rowsLeft = group.Rows;
        }

        private static IEnumerable<ParquetNode> Leaves(ParquetNode node) => node.Kind == NodeKind.Leaf ? [node] : node.Children.SelectMany(Leaves);

        private void WriteField(Utf8JsonWriter writer, ParquetNode field)
        {
            writer.WritePropertyName(field.Name);
            Write(writer, field);
        }

        private void Write(Utf8JsonWriter writer, ParquetNode node)
        {
            var first = _columns[node.FirstLeaf];
            if (node.Kind == NodeKind.Leaf)
            {
                ParquetJson.Write(writer, node.Line, first.Take());
            }
            else if (first.Definition < node.Present)
            {
                Pass(node);
                writer.WriteNullValue();
            }
            else if (node.Kind == NodeKind.Structure)
            {
                writer.WriteStartObject();
                foreach (var child in node.Children)
                    WriteField(writer, child);
                writer.WriteEndObject();
            }
            else
            {
                WriteList(writer, node, first);
            }
        }

        private void WriteList(Utf8JsonWriter writer, ParquetNode node, ColumnReader first)
        {
            writer.WriteStartArray();
            if (first.Definition < node.Filled)
            {
                Pass(node);
            }
            else
            {
                do
                {
                    Write(writer, node.Children[0]);
                    if (writer.BytesCommitted + writer.BytesPending > LineReader.LongestLine)
                        throw new InvalidDataException($"\"{node.Name}\" of a row is larger than {LineReader.LongestLine >> 20} MiB");
                }
                while (!first.IsAtEnd && first.Repetition >= node.Repeated);
            }

            writer.WriteEndArray();
        }

        // Nothing is there: every column below has one entry that says so.
        private void Pass(ParquetNode node)
        {
            for (int leaf = node.FirstLeaf; leaf < node.FirstLeaf + node.Leaves; leaf++)
                _columns[leaf].Take();
        }
    }
}
