using System.Buffers.Binary;

namespace Perenos.Text.Data.Parquet;

/// <summary>
/// Thrift's compact protocol (https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md), as far as Parquet's
/// metadata needs it. Every length is checked against what is there; anything malformed is an <see cref="InvalidDataException"/>.
/// </summary>
internal ref struct ThriftReader(ReadOnlySpan<byte> bytes)
{
    /// <summary>Element types of lists and fields that matter here; booleans carry their value in the type.</summary>
    public const int True = 1, False = 2, Structure = 12;

    private const int Binary = 8, List = 9, Set = 10, Map = 11, DeepestNesting = 32;

    private readonly ReadOnlySpan<byte> _bytes = bytes;

    /// <summary>Bytes read so far.</summary>
    public int Position { get; private set; }

    /// <summary>The next field of the structure, or false at its end.</summary>
    /// <param name="id">Id of the field before, 0 at first; becomes that of the next.</param>
    /// <param name="type">Type of the value that follows.</param>
    public bool NextField(ref int id, out int type)
    {
        byte head = Byte();
        type = head & 15;
        if (head == 0)
            return false;
        id = head >> 4 != 0 ? id + (head >> 4) : (int)Integer();
        return true;
    }

    /// <summary>A whole number of any width.</summary>
    public long Integer()
    {
        ulong raw = Varint();
        return (long)(raw >> 1) ^ -(long)(raw & 1);
    }

    /// <summary>A whole number that fits into 32 bits.</summary>
    public int Small() => Integer() is var value && value == (int)value ? (int)value : throw new InvalidDataException("a number of the metadata is too large");

    /// <summary>Bytes of a text or binary value.</summary>
    public ReadOnlySpan<byte> Bytes()
    {
        ulong length = Varint();
        if (length > (ulong)(_bytes.Length - Position))
            throw new InvalidDataException("a text of the metadata is longer than the metadata");
        Position += (int)length;
        return _bytes.Slice(Position - (int)length, (int)length);
    }

    /// <summary>Number of elements of a list; each takes at least a byte.</summary>
    public int ListLength(out int elementType)
    {
        byte head = Byte();
        elementType = head & 15;
        ulong length = head >> 4 == 15 ? Varint() : (ulong)(head >> 4);
        return length <= (ulong)(_bytes.Length - Position) ? (int)length : throw new InvalidDataException("a list of the metadata is longer than the metadata");
    }

    /// <summary>Passes over a value that is not needed.</summary>
    public void Skip(int type, int depth = 0)
    {
        if (depth > DeepestNesting)
            throw new InvalidDataException("the metadata are nested too deeply");
        switch (type)
        {
            case True or False:
                break;
            case 3:
                Byte();
                break;
            case 4 or 5 or 6:
                Varint();
                break;
            case 7:
                Advance(sizeof(double));
                break;
            case Binary:
                Bytes();
                break;
            case List or Set:
                for (int left = ListLength(out int element); left > 0; left--)
                    SkipElement(element, depth);
                break;
            case Map:
                ulong pairs = Varint();
                int types = pairs == 0 ? 0 : Byte();
                if (pairs > (ulong)(_bytes.Length - Position))
                    throw new InvalidDataException("a map of the metadata is longer than the metadata");
                for (ulong pair = 0; pair < pairs; pair++)
                {
                    SkipElement(types >> 4, depth);
                    SkipElement(types & 15, depth);
                }

                break;
            case Structure:
                for (int id = 0; NextField(ref id, out int field);)
                    Skip(field, depth + 1);
                break;
            default:
                throw new InvalidDataException($"the metadata hold a value of the unknown type {type}");
        }
    }

    // Booleans in lists take a byte; in fields they are part of the type.
    private void SkipElement(int type, int depth)
    {
        if (type is True or False)
            Byte();
        else
            Skip(type, depth + 1);
    }

    private byte Byte()
    {
        Advance(1);
        return _bytes[Position - 1];
    }

    private ulong Varint()
    {
        ulong value = 0;
        for (int shift = 0; shift < 64; shift += 7)
        {
            byte part = Byte();
            value |= (ulong)(part & 0x7F) << shift;
            if (part < 0x80)
                return value;
        }

        throw new InvalidDataException("a number of the metadata is too long");
    }

    private void Advance(int count)
    {
        if (count > _bytes.Length - Position)
            throw new InvalidDataException("the metadata end early");
        Position += count;
    }

    /// <summary>The four bytes of a little-endian length.</summary>
    public static int LittleEndian(ReadOnlySpan<byte> bytes) =>
        bytes.Length >= 4 ? BinaryPrimitives.ReadInt32LittleEndian(bytes) : throw new InvalidDataException("the data end early");
}
