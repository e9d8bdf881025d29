using System.Text;

namespace Perenos.Text.Data.Parquet;

/// <summary>How a value lies in the file (Type of parquet.thrift).</summary>
internal enum PhysicalType
{
    Boolean,
    Int32,
    Int64,
    Int96,
    Float,
    Double,
    Bytes,
    FixedBytes,
}

/// <summary>What a value means, as far as it changes how it is written as text.</summary>
internal enum Meaning
{
    Plain,
    Text,
    List,
    Map,
    Decimal,
    Date,
    Milliseconds,
    Microseconds,
    Nanoseconds,
    Unsigned,
    Uuid,
    Float16,
}

/// <summary>One line of the schema: a leaf with a type, or a group with children behind it.</summary>
internal sealed record SchemaLine(string Name, PhysicalType? Type, int Length, int Repetition, int Children, Meaning Meaning, int Scale);

/// <summary>Where the pages of one column of a row group lie.</summary>
internal sealed record ColumnChunk(PhysicalType Type, int Codec, long Values, long Start, long Bytes);

/// <summary>Rows that lie together, column by column.</summary>
internal sealed record RowGroup(long Rows, IReadOnlyList<ColumnChunk> Columns);

/// <summary>A file's metadata (https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift), read without touching its data.</summary>
internal sealed record ParquetFooter(IReadOnlyList<SchemaLine> Schema, IReadOnlyList<RowGroup> RowGroups)
{
    private delegate T ReadStructure<T>(ref ThriftReader reader);

    public static ParquetFooter Parse(ReadOnlySpan<byte> bytes)
    {
        var reader = new ThriftReader(bytes);
        List<SchemaLine> schema = [];
        List<RowGroup> groups = [];
        for (int id = 0; reader.NextField(ref id, out int type);)
        {
            if (id == 2)
                ReadList(ref reader, schema, ReadSchemaLine);
            else if (id == 4)
                ReadList(ref reader, groups, ReadRowGroup);
            else
                reader.Skip(type);
        }

        return schema.Count > 0 ? new ParquetFooter(schema, groups) : throw new InvalidDataException("it has no schema");
    }

    private static void ReadList<T>(ref ThriftReader reader, List<T> list, ReadStructure<T> read)
    {
        int length = reader.ListLength(out int element);
        if (element != ThriftReader.Structure)
            throw new InvalidDataException("a list of the metadata holds something unexpected");
        for (int i = 0; i < length; i++)
            list.Add(read(ref reader));
    }

    private static SchemaLine ReadSchemaLine(ref ThriftReader reader)
    {
        var line = new SchemaLine("", null, 0, 0, 0, Meaning.Plain, 0);
        for (int id = 0; reader.NextField(ref id, out int type);)
        {
            switch (id)
            {
                case 1: line = line with { Type = ReadType(ref reader) }; break;
                case 2: line = line with { Length = reader.Small() }; break;
                case 3: line = line with { Repetition = reader.Small() }; break;
                case 4: line = line with { Name = Encoding.UTF8.GetString(reader.Bytes()) }; break;
                case 5: line = line with { Children = reader.Small() }; break;
                case 6: line = line with { Meaning = Converted(reader.Small()) ?? line.Meaning }; break;
                case 7: line = line with { Scale = reader.Small() }; break;
                // The newer way to say the same; it comes last and wins.
                case 10: line = ReadLogicalType(ref reader, line); break;
                default: reader.Skip(type); break;
            }
        }

        return line.Repetition is >= 0 and <= 2 && line.Children >= 0 ? line : throw new InvalidDataException($"the schema of \"{line.Name}\" makes no sense");
    }

    private static Meaning? Converted(int type) => type switch
    {
        0 or 4 or 19 => Meaning.Text,      // UTF8, ENUM, JSON
        1 or 2 => Meaning.Map,
        3 => Meaning.List,
        5 => Meaning.Decimal,
        6 => Meaning.Date,
        9 => Meaning.Milliseconds,
        10 => Meaning.Microseconds,
        11 or 12 or 13 or 14 => Meaning.Unsigned,
        _ => null,
    };

    // A union: a structure of which exactly one field is set.
    private static SchemaLine ReadLogicalType(ref ThriftReader reader, SchemaLine line)
    {
        for (int id = 0; reader.NextField(ref id, out int type);)
        {
            if (type != ThriftReader.Structure)
                throw new InvalidDataException($"the type of \"{line.Name}\" makes no sense");
            line = id switch
            {
                5 => line with { Meaning = Meaning.Decimal, Scale = ReadDecimalScale(ref reader) },
                8 => line with { Meaning = ReadTimeUnit(ref reader) },
                10 => line with { Meaning = ReadIsSigned(ref reader) ? Meaning.Plain : Meaning.Unsigned },
                _ => Skipped(ref reader, line, id),
            };
        }

        return line;
    }

    private static SchemaLine Skipped(ref ThriftReader reader, SchemaLine line, int id)
    {
        reader.Skip(ThriftReader.Structure);
        Meaning? meaning = id switch { 1 or 4 or 12 => Meaning.Text, 2 => Meaning.Map, 3 => Meaning.List, 6 => Meaning.Date, 14 => Meaning.Uuid, 15 => Meaning.Float16, _ => null };
        return line with { Meaning = meaning ?? line.Meaning };
    }

    private static int ReadDecimalScale(ref ThriftReader reader)
    {
        int scale = 0;
        for (int id = 0; reader.NextField(ref id, out int type);)
        {
            if (id == 1)
                scale = reader.Small();
            else
                reader.Skip(type);
        }

        return scale;
    }

    private static Meaning ReadTimeUnit(ref ThriftReader reader)
    {
        var unit = Meaning.Milliseconds;
        for (int id = 0; reader.NextField(ref id, out int type);)
        {
            if (id != 2 || type != ThriftReader.Structure)
            {
                reader.Skip(type);
                continue;
            }

            for (int choice = 0; reader.NextField(ref choice, out int inner);)
            {
                unit = choice switch { 2 => Meaning.Microseconds, 3 => Meaning.Nanoseconds, _ => Meaning.Milliseconds };
                reader.Skip(inner);
            }
        }

        return unit;
    }

    private static bool ReadIsSigned(ref ThriftReader reader)
    {
        bool isSigned = true;
        for (int id = 0; reader.NextField(ref id, out int type);)
        {
            if (id == 2)
                isSigned = type == ThriftReader.True;
            reader.Skip(type);
        }

        return isSigned;
    }

    private static RowGroup ReadRowGroup(ref ThriftReader reader)
    {
        List<ColumnChunk> columns = [];
        long rows = -1;
        for (int id = 0; reader.NextField(ref id, out int type);)
        {
            if (id == 1)
                ReadList(ref reader, columns, ReadColumn);
            else if (id == 3)
                rows = reader.Integer();
            else
                reader.Skip(type);
        }

        return rows >= 0 ? new RowGroup(rows, columns) : throw new InvalidDataException("a row group does not say how many rows it has");
    }

    private static ColumnChunk ReadColumn(ref ThriftReader reader)
    {
        ColumnChunk? column = null;
        for (int id = 0; reader.NextField(ref id, out int type);)
        {
            if (id == 1)
                throw new InvalidDataException("a column lies in another file");
            if (id == 3)
                column = ReadColumnMetadata(ref reader);
            else
                reader.Skip(type);
        }

        return column ?? throw new InvalidDataException("a column has no metadata (is the file encrypted?)");
    }

    private static ColumnChunk ReadColumnMetadata(ref ThriftReader reader)
    {
        var column = new ColumnChunk(0, 0, -1, 0, -1);
        long dictionary = 0;
        for (int id = 0; reader.NextField(ref id, out int type);)
        {
            switch (id)
            {
                case 1: column = column with { Type = ReadType(ref reader) }; break;
                case 4: column = column with { Codec = reader.Small() }; break;
                case 5: column = column with { Values = reader.Integer() }; break;
                case 7: column = column with { Bytes = reader.Integer() }; break;
                case 9: column = column with { Start = reader.Integer() }; break;
                case 11: dictionary = reader.Integer(); break;
                default: reader.Skip(type); break;
            }
        }

        return dictionary > 0 && dictionary < column.Start ? column with { Start = dictionary } : column;
    }

    private static PhysicalType ReadType(ref ThriftReader reader) =>
        reader.Small() is var type && Enum.IsDefined((PhysicalType)type) ? (PhysicalType)type : throw new InvalidDataException($"it has values of the unknown type {type}");
}
