namespace Perenos.Checkpoints;

/// <summary>The kinds of metadata values, with their numbers in the file.</summary>
public enum GgufKind
{
    /// <summary>8 bits, unsigned.</summary>
    UInt8 = 0,

    /// <summary>8 bits, signed.</summary>
    Int8 = 1,

    /// <summary>16 bits, unsigned.</summary>
    UInt16 = 2,

    /// <summary>16 bits, signed.</summary>
    Int16 = 3,

    /// <summary>32 bits, unsigned.</summary>
    UInt32 = 4,

    /// <summary>32 bits, signed.</summary>
    Int32 = 5,

    /// <summary>IEEE single precision.</summary>
    Float32 = 6,

    /// <summary>One byte, 0 or 1.</summary>
    Bool = 7,

    /// <summary>UTF-8, may hold U+0000.</summary>
    String = 8,

    /// <summary>Values of one kind.</summary>
    Array = 9,

    /// <summary>64 bits, unsigned.</summary>
    UInt64 = 10,

    /// <summary>64 bits, signed.</summary>
    Int64 = 11,

    /// <summary>IEEE double precision.</summary>
    Float64 = 12,
}

/// <summary>One metadata value as the file types it.</summary>
/// <param name="Kind">Kind of the value; for an array see <paramref name="ElementKind"/>.</param>
/// <param name="Value">
/// A byte, sbyte, ushort, short, uint, int, float, bool, string, ulong, long or double; for an array a typed array of these
/// (<c>string[]</c>, <c>float[]</c>), or <c>GgufValue[]</c> for an array of arrays.
/// </param>
/// <param name="ElementKind">Kind of an array's elements; null otherwise.</param>
public sealed record GgufValue(GgufKind Kind, object Value, GgufKind? ElementKind = null)
{
    /// <summary>A text.</summary>
    public static GgufValue Text(string value) => new(GgufKind.String, value);

    /// <summary>A truth value.</summary>
    public static GgufValue Flag(bool value) => new(GgufKind.Bool, value);

    /// <summary>A number as llama.cpp reads sizes and ids: 32 bits, unsigned.</summary>
    public static GgufValue Size(long value) => new(GgufKind.UInt32, checked((uint)value));

    /// <summary>A number as llama.cpp reads rates and factors: single precision.</summary>
    public static GgufValue Number(double value) => new(GgufKind.Float32, (float)value);

    /// <summary>Texts.</summary>
    public static GgufValue Texts(IEnumerable<string> values) => new(GgufKind.Array, values.ToArray(), GgufKind.String);

    /// <summary>Whole numbers of 32 bits.</summary>
    public static GgufValue Integers(IEnumerable<int> values) => new(GgufKind.Array, values.ToArray(), GgufKind.Int32);

    /// <summary>Numbers in single precision.</summary>
    public static GgufValue Numbers(IEnumerable<float> values) => new(GgufKind.Array, values.ToArray(), GgufKind.Float32);
}
