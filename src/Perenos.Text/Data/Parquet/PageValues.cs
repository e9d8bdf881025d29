using System.Buffers.Binary;

namespace Perenos.Text.Data.Parquet;

/// <summary>One value: a number, or bytes inside a page.</summary>
internal readonly record struct ParquetValue(long Whole, double Real, byte[] Buffer, int Start, int Length)
{
    public ReadOnlySpan<byte> Bytes => Buffer.AsSpan(Start, Length);
}

/// <summary>The values of a page, taken one after the other; none is held but the last.</summary>
internal sealed class PageValues
{
    // Lengths that a page keeps apart from its texts have to be known before the first text is found.
    private const int MostLengths = 1 << 24;
    private readonly Func<ParquetValue> _next;

    private PageValues(Func<ParquetValue> next) => _next = next;

    public ParquetValue Next() => _next();

    /// <summary>Values as an encoding of parquet.thrift lays them.</summary>
    public static PageValues Of(int encoding, SchemaLine line, byte[] bytes, int start, ParquetValue[]? dictionary) => encoding switch
    {
        0 => Plain(line, bytes, start),
        2 or 8 => Indexed(bytes, start, dictionary ?? throw new InvalidDataException("a page needs a dictionary and the column has none")),
        3 when line.Type == PhysicalType.Boolean => Runs(bytes, start),
        5 when line.Type is PhysicalType.Int32 or PhysicalType.Int64 => Differences(line, bytes, start),
        6 when line.Type == PhysicalType.Bytes => Lengths(bytes, start),
        7 when line.Type is PhysicalType.Bytes or PhysicalType.FixedBytes => Prefixes(bytes, start),
        9 when Width(line) is { } width => Streams(line, bytes, start, width),
        _ => throw new InvalidDataException($"its values are encoded in a way that is not read here (encoding {encoding} of {line.Type})"),
    };

    /// <summary>The values of a dictionary page; each takes at least four bytes.</summary>
    public static ParquetValue[] Dictionary(SchemaLine line, byte[] bytes, int count)
    {
        if (count < 0 || count > bytes.Length)
            throw new InvalidDataException("a dictionary claims more values than it has room for");
        var values = Plain(line, bytes, 0);
        var dictionary = new ParquetValue[count];
        for (int i = 0; i < count; i++)
            dictionary[i] = values.Next();
        return dictionary;
    }

    private static PageValues Plain(SchemaLine line, byte[] bytes, int start)
    {
        int at = start;
        int Take(int length)
        {
            if (length < 0 || length > bytes.Length - at)
                throw new InvalidDataException("a page's values end early");
            at += length;
            return at - length;
        }

        ReadOnlySpan<byte> Span(int length) => bytes.AsSpan(Take(length), length);
        long bit = (long)start << 3;
        bool Bit()
        {
            int place = (int)(bit >> 3);
            return place < bytes.Length ? (bytes[place] >> (int)(bit++ & 7) & 1) != 0 : throw new InvalidDataException("a page's values end early");
        }

        return new PageValues(line.Type switch
        {
            PhysicalType.Boolean => () => Number(Bit() ? 1 : 0),
            PhysicalType.Int32 => () => Number(BinaryPrimitives.ReadInt32LittleEndian(Span(4))),
            PhysicalType.Int64 => () => Number(BinaryPrimitives.ReadInt64LittleEndian(Span(8))),
            PhysicalType.Float => () => new ParquetValue(0, BinaryPrimitives.ReadSingleLittleEndian(Span(4)), [], 0, 0),
            PhysicalType.Double => () => new ParquetValue(0, BinaryPrimitives.ReadDoubleLittleEndian(Span(8)), [], 0, 0),
            PhysicalType.Int96 => () => new ParquetValue(0, 0, bytes, Take(12), 12),
            PhysicalType.FixedBytes => () => new ParquetValue(0, 0, bytes, Take(line.Length), line.Length),
            _ => () =>
            {
                int length = BinaryPrimitives.ReadInt32LittleEndian(Span(4));
                return new ParquetValue(0, 0, bytes, Take(length), length);
            }
            ,
        });
    }

    private static PageValues Indexed(byte[] bytes, int start, ParquetValue[] dictionary)
    {
        if (start >= bytes.Length)
            return new PageValues(() => throw new InvalidDataException("a page's values end early"));
        var places = new HybridReader(bytes, start + 1, bytes.Length - start - 1, bytes[start]);
        return new PageValues(() => places.Next() is var place && (uint)place < (uint)dictionary.Length ? dictionary[place] : throw new InvalidDataException("a value lies outside its dictionary"));
    }

    private static PageValues Runs(byte[] bytes, int start)
    {
        int length = ThriftReader.LittleEndian(bytes.AsSpan(start));
        var runs = new HybridReader(bytes, start + 4, length, width: 1);
        return new PageValues(() => Number(runs.Next()));
    }

    private static PageValues Differences(SchemaLine line, byte[] bytes, int start)
    {
        var reader = new DeltaReader(bytes, start);
        return new PageValues(() => Number(line.Type == PhysicalType.Int32 ? (int)reader.Next() : reader.Next()));
    }

    private static PageValues Lengths(byte[] bytes, int start)
    {
        var (lengths, at) = TakeLengths(bytes, start);
        int index = 0;
        return new PageValues(() =>
        {
            int length = index < lengths.Count ? lengths[index++] : throw new InvalidDataException("a page's values end early");
            if (length < 0 || length > bytes.Length - at)
                throw new InvalidDataException("a page's values end early");
            at += length;
            return new ParquetValue(0, 0, bytes, at - length, length);
        });
    }

    // The first bytes of all values, then all second bytes, and so on: each value is put together for the plain reader.
    private static PageValues Streams(SchemaLine line, byte[] bytes, int start, int width)
    {
        int count = (bytes.Length - start) / width, index = 0;
        byte[] whole = new byte[width];
        return new PageValues(() =>
        {
            if (index == count)
                throw new InvalidDataException("a page's values end early");
            for (int stream = 0; stream < width; stream++)
                whole[stream] = bytes[start + stream * count + index];
            index++;
            return Plain(line, whole, 0).Next();
        });
    }

    private static int? Width(SchemaLine line) => line.Type switch
    {
        PhysicalType.Int32 or PhysicalType.Float => 4,
        PhysicalType.Int64 or PhysicalType.Double => 8,
        PhysicalType.FixedBytes when line.Length > 0 => line.Length,
        _ => null,
    };

    // Each text as the length of what it shares with the one before, and the rest.
    private static PageValues Prefixes(byte[] bytes, int start)
    {
        var (prefixes, rest) = TakeLengths(bytes, start);
        var suffixes = Lengths(bytes, rest);
        byte[] last = [];
        int index = 0;
        return new PageValues(() =>
        {
            int prefix = index < prefixes.Count ? prefixes[index++] : throw new InvalidDataException("a page's values end early");
            var suffix = suffixes.Next();
            if (prefix < 0 || prefix > last.Length)
                throw new InvalidDataException("a page's values make no sense");
            last = [.. last.AsSpan(0, prefix), .. suffix.Bytes];
            return new ParquetValue(0, 0, last, 0, last.Length);
        });
    }

    private static (List<int> Lengths, int End) TakeLengths(byte[] bytes, int start)
    {
        var reader = new DeltaReader(bytes, start);
        if (reader.Count > MostLengths)
            throw new InvalidDataException("a page claims too many values");
        List<int> lengths = [];
        while (lengths.Count < reader.Count)
            lengths.Add(reader.Next() is var length && length == (int)length ? (int)length : throw new InvalidDataException("a page's values make no sense"));
        return (lengths, reader.End);
    }

    private static ParquetValue Number(long value) => new(value, 0, [], 0, 0);
}
