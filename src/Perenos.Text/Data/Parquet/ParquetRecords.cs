using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Unicode;
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
                WriteValue(writer, node.Line, first.Take());
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

    private static void WriteValue(Utf8JsonWriter writer, SchemaLine line, ParquetValue? taken)
    {
        if (taken is not { } value)
        {
            writer.WriteNullValue();
            return;
        }

        switch (line.Type)
        {
            case PhysicalType.Boolean:
                writer.WriteBooleanValue(value.Whole != 0);
                break;
            case PhysicalType.Int32 or PhysicalType.Int64:
                WriteWhole(writer, line, value.Whole);
                break;
            case PhysicalType.Float:
                WriteReal(writer, value.Real, () => writer.WriteNumberValue((float)value.Real));
                break;
            case PhysicalType.Double:
                WriteReal(writer, value.Real, () => writer.WriteNumberValue(value.Real));
                break;
            case PhysicalType.Int96:
                // Nanoseconds of the day, and the day counted from noon of 4713 BC: 1970 began on day 2,440,588.
                WriteTime(writer, Int128.CreateChecked(BinaryPrimitives.ReadInt32LittleEndian(value.Bytes[8..]) - 2_440_588L) * 86_400_000_000_000L + BinaryPrimitives.ReadInt64LittleEndian(value.Bytes));
                break;
            default:
                WriteBytes(writer, line, value.Bytes);
                break;
        }
    }

    private static void WriteWhole(Utf8JsonWriter writer, SchemaLine line, long value)
    {
        switch (line.Meaning)
        {
            case Meaning.Unsigned:
                writer.WriteNumberValue(line.Type == PhysicalType.Int32 ? (uint)value : (ulong)value);
                break;
            case Meaning.Decimal:
                WriteDecimal(writer, value, line.Scale);
                break;
            case Meaning.Date:
                writer.WriteStringValue(value is > -700_000 and < 2_900_000 ? DateOnly.FromDayNumber(719_162 + (int)value).ToString("O", CultureInfo.InvariantCulture) : throw new InvalidDataException("a date is out of range"));
                break;
            case Meaning.Milliseconds:
                WriteTime(writer, (Int128)value * 1_000_000);
                break;
            case Meaning.Microseconds:
                WriteTime(writer, (Int128)value * 1000);
                break;
            case Meaning.Nanoseconds:
                WriteTime(writer, value);
                break;
            default:
                writer.WriteNumberValue(value);
                break;
        }
    }

    private static void WriteBytes(Utf8JsonWriter writer, SchemaLine line, ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > LineReader.LongestLine)
            throw new InvalidDataException($"\"{line.Name}\" is longer than {LineReader.LongestLine >> 20} MiB");
        switch (line.Meaning)
        {
            case Meaning.Decimal:
                if (bytes.Length > 64)
                    throw new InvalidDataException("a decimal number is too long");
                WriteDecimal(writer, new BigInteger(bytes, isBigEndian: true), line.Scale);
                break;
            case Meaning.Uuid when bytes.Length == 16:
                writer.WriteStringValue(new Guid(bytes, bigEndian: true).ToString());
                break;
            case Meaning.Float16 when bytes.Length == 2:
                double real = (double)BinaryPrimitives.ReadHalfLittleEndian(bytes);
                WriteReal(writer, real, () => writer.WriteNumberValue(real));
                break;
            default:
                if (Utf8.IsValid(bytes))
                {
                    writer.WriteStringValue(bytes);
                    break;
                }

                if (line.Meaning == Meaning.Text)
                    throw new InvalidDataException($"\"{line.Name}\" is not valid UTF-8");
                // Pictures and the like: no text, and named as what they are if someone asks for one.
                writer.WriteStartObject();
                writer.WriteNumber("bytes", bytes.Length);
                writer.WriteEndObject();
                break;
        }
    }

    // Missing numbers are often written as NaN, and JSON knows neither it nor infinity.
    private static void WriteReal(Utf8JsonWriter writer, double value, Action write)
    {
        if (double.IsFinite(value))
            write();
        else
            writer.WriteNullValue();
    }

    private static void WriteDecimal(Utf8JsonWriter writer, BigInteger unscaled, int scale)
    {
        if (scale is < 0 or > 100)
            throw new InvalidDataException("a decimal number has a scale that makes no sense");
        string digits = BigInteger.Abs(unscaled).ToString(CultureInfo.InvariantCulture).PadLeft(scale + 1, '0');
        string sign = unscaled.Sign < 0 ? "-" : "";
        writer.WriteRawValue(scale == 0 ? sign + digits : $"{sign}{digits[..^scale]}.{digits[^scale..]}");
    }

    private static void WriteTime(Utf8JsonWriter writer, Int128 nanoseconds)
    {
        var ticks = nanoseconds / 100 + DateTime.UnixEpoch.Ticks;
        if (ticks < 0 || ticks > DateTime.MaxValue.Ticks)
            throw new InvalidDataException("a time is out of range");
        writer.WriteStringValue(new DateTime((long)ticks).ToString("yyyy-MM-dd'T'HH:mm:ss.FFFFFFF", CultureInfo.InvariantCulture));
    }
}
