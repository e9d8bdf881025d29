using System.Buffers.Binary;
using System.Text;
using Perenos.Runs;

namespace Perenos.Checkpoints;

/// <summary>Reads the description at the head of a GGUF file. Each count and length is held against the bytes that are left before memory is taken.</summary>
internal sealed class GgufReader(MappedFile file)
{
    private const int MaximumStringBytes = 1 << 30;
    private const int MaximumArrayDepth = 8;

    public long Position { get; private set; }

    public long Remaining => file.Length - Position;

    public uint UInt32() => BinaryPrimitives.ReadUInt32LittleEndian(Take(4));

    public ulong UInt64() => BinaryPrimitives.ReadUInt64LittleEndian(Take(8));

    /// <summary>A count of things that take at least <paramref name="minimumBytes"/> each.</summary>
    public int Count(string what, int minimumBytes)
    {
        ulong count = UInt64();
        if (count > (ulong)(Remaining / minimumBytes) || count > (ulong)Array.MaxLength)
            throw Malformed($"it claims {count:N0} {what}, for which its {file.Length:N0} bytes have no room");
        return (int)count;
    }

    /// <summary>A string; <paramref name="what"/> names it, or the key it stands under, if it is broken.</summary>
    public string String(string what)
    {
        ulong length = UInt64();
        if (length > (ulong)Math.Min(Remaining, MaximumStringBytes))
            throw Malformed($"the length of {Refusal.Quote(what)}, {length:N0} bytes, is beyond the file's end (cut off?)");
        try
        {
            return StrictUtf8.GetString(Take((int)length));
        }
        catch (DecoderFallbackException e)
        {
            throw Refusal.Malformed(file.Path, $"{Refusal.Quote(what)} is not valid UTF-8", e);
        }
    }

    public GgufValue Value(string key) => Value(key, Kind(key), depth: 0);

    public PerenosException Malformed(string reason) => Refusal.Malformed(file.Path, reason);

    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private ReadOnlySpan<byte> Take(int count)
    {
        if (count > Remaining)
            throw Malformed($"it ends in the middle of its description, at byte {file.Length:N0} (cut off?)");
        var bytes = file.Slice(Position, count);
        Position += count;
        return bytes;
    }

    private GgufKind Kind(string key)
    {
        uint kind = UInt32();
        return kind <= (uint)GgufKind.Float64 ? (GgufKind)kind : throw Malformed($"{Refusal.Quote(key)} has the unknown kind {kind}");
    }

    private GgufValue Value(string key, GgufKind kind, int depth) =>
        kind == GgufKind.Array ? ArrayValue(key, depth + 1) : new GgufValue(kind, Scalar(key, kind));

    private object Scalar(string key, GgufKind kind) => kind switch
    {
        GgufKind.UInt8 => Take(1)[0],
        GgufKind.Int8 => (sbyte)Take(1)[0],
        GgufKind.UInt16 => BinaryPrimitives.ReadUInt16LittleEndian(Take(2)),
        GgufKind.Int16 => BinaryPrimitives.ReadInt16LittleEndian(Take(2)),
        GgufKind.UInt32 => UInt32(),
        GgufKind.Int32 => BinaryPrimitives.ReadInt32LittleEndian(Take(4)),
        GgufKind.Float32 => BinaryPrimitives.ReadSingleLittleEndian(Take(4)),
        GgufKind.Bool => Bool(key),
        GgufKind.String => String(key),
        GgufKind.UInt64 => UInt64(),
        GgufKind.Int64 => BinaryPrimitives.ReadInt64LittleEndian(Take(8)),
        _ => BinaryPrimitives.ReadDoubleLittleEndian(Take(8)),
    };

    private bool Bool(string key)
    {
        byte value = Take(1)[0];
        return value <= 1 ? value == 1 : throw Malformed($"{Refusal.Quote(key)} is a truth value of {value}");
    }

    private GgufValue ArrayValue(string key, int depth)
    {
        if (depth > MaximumArrayDepth)
            throw Malformed($"{Refusal.Quote(key)} is an array more than {MaximumArrayDepth} deep");
        var kind = Kind(key);
        int count = Count($"elements of {Refusal.Quote(key)}", MinimumBytes(kind));
        object values = kind switch
        {
            GgufKind.UInt8 => Elements<byte>(),
            GgufKind.Int8 => Elements<sbyte>(),
            GgufKind.UInt16 => Elements<ushort>(),
            GgufKind.Int16 => Elements<short>(),
            GgufKind.UInt32 => Elements<uint>(),
            GgufKind.Int32 => Elements<int>(),
            GgufKind.Float32 => Elements<float>(),
            GgufKind.Bool => Elements<bool>(),
            GgufKind.String => Elements<string>(),
            GgufKind.UInt64 => Elements<ulong>(),
            GgufKind.Int64 => Elements<long>(),
            GgufKind.Float64 => Elements<double>(),
            _ => Arrays(),
        };
        return new GgufValue(GgufKind.Array, values, kind);

        T[] Elements<T>()
        {
            var elements = new T[count];
            for (int i = 0; i < count; i++)
                elements[i] = (T)Scalar(key, kind);
            return elements;
        }

        GgufValue[] Arrays()
        {
            var elements = new GgufValue[count];
            for (int i = 0; i < count; i++)
                elements[i] = ArrayValue(key, depth + 1);
            return elements;
        }
    }

    private static int MinimumBytes(GgufKind kind) => kind switch
    {
        GgufKind.UInt8 or GgufKind.Int8 or GgufKind.Bool => 1,
        GgufKind.UInt16 or GgufKind.Int16 => 2,
        GgufKind.UInt32 or GgufKind.Int32 or GgufKind.Float32 => 4,
        GgufKind.Array => 12, // kind and count
        _ => 8, // for a string its length
    };
}
