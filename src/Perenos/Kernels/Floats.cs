using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Perenos.Kernels;

/// <summary>
/// A register of float32 lanes, so that a kernel is written once for every width. All widths round alike: no operation is
/// contracted, and <see cref="MultiplyAdd"/> is always fused. A loop's tail runs the same code on <see cref="Floats1"/>.
/// </summary>
internal unsafe interface IFloats<TSelf>
    where TSelf : struct, IFloats<TSelf>
{
    static abstract int Count { get; }

    static abstract TSelf Broadcast(float value);

    static abstract TSelf Load(float* source);

    /// <summary>Widens bfloat16, the upper half of a float32: exact.</summary>
    static abstract TSelf LoadBFloat16(ushort* source);

    void Store(float* target);

    /// <summary>Rounds to the nearest bfloat16, ties to even; a NaN stays one.</summary>
    void StoreBFloat16(ushort* target);

    /// <summary>
    /// Rounds to one of the two nearest bfloat16, the nearer one more often, so that the mean over seeds is the value itself. The
    /// random bits are a function of <paramref name="seed"/> and of each lane's place, <paramref name="index"/> for the first.
    /// </summary>
    void StoreBFloat16AtRandom(ushort* target, uint seed, long index);

    static abstract TSelf operator +(TSelf left, TSelf right);

    static abstract TSelf operator -(TSelf left, TSelf right);

    static abstract TSelf operator *(TSelf left, TSelf right);

    static abstract TSelf operator /(TSelf left, TSelf right);

    /// <summary>left · right + addend, rounded once.</summary>
    static abstract TSelf MultiplyAdd(TSelf left, TSelf right, TSelf addend);

    static abstract TSelf SquareRoot(TSelf value);

    /// <summary>-1, 0 or 1.</summary>
    static abstract TSelf Sign(TSelf value);

    /// <summary>Larger of the two; where one is NaN, the right one.</summary>
    static abstract TSelf Maximum(TSelf left, TSelf right);

    /// <summary>Smaller of the two; where one is NaN, the right one.</summary>
    static abstract TSelf Minimum(TSelf left, TSelf right);

    /// <summary>2 to the power of the whole numbers in <paramref name="exponent"/>, each within -126 … 127.</summary>
    static abstract TSelf PowerOfTwo(TSelf exponent);

    /// <summary>Nearest whole number, ties to even.</summary>
    static abstract TSelf Round(TSelf value);

    /// <summary>Sum of the lanes, in double.</summary>
    double Sum();

    float LargestLane();
}

/// <summary>One lane: the tail of every loop.</summary>
internal readonly unsafe struct Floats1(float value) : IFloats<Floats1>
{
    private readonly float _value = value;

    public static int Count => 1;

    public static Floats1 Broadcast(float value) => new(value);

    public static Floats1 Load(float* source) => new(*source);

    public static Floats1 LoadBFloat16(ushort* source) => new(BitConverter.UInt32BitsToSingle((uint)*source << 16));

    public void Store(float* target) => *target = _value;

    public void StoreBFloat16(ushort* target)
    {
        uint bits = BitConverter.SingleToUInt32Bits(_value);
        *target = (ushort)(float.IsNaN(_value) ? (bits >> 16) | 0x40 : (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    public void StoreBFloat16AtRandom(ushort* target, uint seed, long index)
    {
        uint bits = BitConverter.SingleToUInt32Bits(_value);
        *target = (ushort)(float.IsNaN(_value) ? (bits >> 16) | 0x40 : (bits + RandomBits.Of(seed, (uint)index)) >> 16);
    }

    public static Floats1 operator +(Floats1 left, Floats1 right) => new(left._value + right._value);

    public static Floats1 operator -(Floats1 left, Floats1 right) => new(left._value - right._value);

    public static Floats1 operator *(Floats1 left, Floats1 right) => new(left._value * right._value);

    public static Floats1 operator /(Floats1 left, Floats1 right) => new(left._value / right._value);

    public static Floats1 MultiplyAdd(Floats1 left, Floats1 right, Floats1 addend) =>
        new(MathF.FusedMultiplyAdd(left._value, right._value, addend._value));

    public static Floats1 SquareRoot(Floats1 value) => new(MathF.Sqrt(value._value));

    public static Floats1 Sign(Floats1 value) => new(value._value > 0 ? 1 : value._value < 0 ? -1 : 0);

    public static Floats1 Maximum(Floats1 left, Floats1 right) => new(left._value > right._value ? left._value : right._value);

    public static Floats1 Minimum(Floats1 left, Floats1 right) => new(left._value < right._value ? left._value : right._value);

    public static Floats1 PowerOfTwo(Floats1 exponent) => new(BitConverter.Int32BitsToSingle(((int)exponent._value + 127) << 23));

    public static Floats1 Round(Floats1 value) => new(MathF.Round(value._value));

    public double Sum() => _value;

    public float LargestLane() => _value;
}

/// <summary>4 lanes (SSE, NEON).</summary>
internal readonly unsafe struct Floats128(Vector128<float> value) : IFloats<Floats128>
{
    private readonly Vector128<float> _value = value;

    public static int Count => 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats128 Broadcast(float value) => new(Vector128.Create(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats128 Load(float* source) => new(Vector128.Load(source));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats128 LoadBFloat16(ushort* source) =>
        new((Vector128.WidenLower(Vector64.Load(source).ToVector128Unsafe()) << 16).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(float* target) => _value.Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void StoreBFloat16(ushort* target)
    {
        var bits = _value.AsUInt32();
        var upper = bits >> 16;
        var rounded = (bits + Vector128.Create(0x7FFFu) + (upper & Vector128<uint>.One)) >> 16;
        var chosen = Vector128.ConditionalSelect(Vector128.IsNaN(_value).AsUInt32(), upper | Vector128.Create(0x40u), rounded);
        Vector64.Narrow(chosen.GetLower(), chosen.GetUpper()).Store(target);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void StoreBFloat16AtRandom(ushort* target, uint seed, long index)
    {
        var bits = _value.AsUInt32();
        var rounded = (bits + RandomBits.Of(Vector128.Create(seed), Vector128.Create((uint)index) + Vector128<uint>.Indices)) >> 16;
        var chosen = Vector128.ConditionalSelect(Vector128.IsNaN(_value).AsUInt32(), (bits >> 16) | Vector128.Create(0x40u), rounded);
        Vector64.Narrow(chosen.GetLower(), chosen.GetUpper()).Store(target);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats128 operator +(Floats128 left, Floats128 right) => new(left._value + right._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats128 operator -(Floats128 left, Floats128 right) => new(left._value - right._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats128 operator *(Floats128 left, Floats128 right) => new(left._value * right._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats128 operator /(Floats128 left, Floats128 right) => new(left._value / right._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats128 MultiplyAdd(Floats128 left, Floats128 right, Floats128 addend) =>
        new(Vector128.FusedMultiplyAdd(left._value, right._value, addend._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats128 SquareRoot(Floats128 value) => new(Vector128.Sqrt(value._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats128 Sign(Floats128 value) => new(
        Vector128.ConditionalSelect(Vector128.GreaterThan(value._value, Vector128<float>.Zero), Vector128<float>.One,
            Vector128.ConditionalSelect(Vector128.LessThan(value._value, Vector128<float>.Zero), -Vector128<float>.One, Vector128<float>.Zero)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats128 Maximum(Floats128 left, Floats128 right) => new(Vector128.ConditionalSelect(Vector128.GreaterThan(left._value, right._value), left._value, right._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats128 Minimum(Floats128 left, Floats128 right) => new(Vector128.ConditionalSelect(Vector128.LessThan(left._value, right._value), left._value, right._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats128 PowerOfTwo(Floats128 exponent) =>
        new(((Vector128.ConvertToInt32Native(exponent._value) + Vector128.Create(127)) << 23).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats128 Round(Floats128 value) => new(Vector128.Round(value._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public double Sum()
    {
        var (lower, upper) = Vector128.Widen(_value);
        return Vector128.Sum(lower + upper);
    }

    public float LargestLane()
    {
        float largest = _value.GetElement(0);
        for (int lane = 1; lane < Count; lane++)
            largest = MathF.Max(largest, _value.GetElement(lane));
        return largest;
    }
}

/// <summary>8 lanes (AVX2).</summary>
internal readonly unsafe struct Floats256(Vector256<float> value) : IFloats<Floats256>
{
    private readonly Vector256<float> _value = value;

    public static int Count => 8;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats256 Broadcast(float value) => new(Vector256.Create(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats256 Load(float* source) => new(Vector256.Load(source));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats256 LoadBFloat16(ushort* source) =>
        new((Vector256.WidenLower(Vector128.Load(source).ToVector256Unsafe()) << 16).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(float* target) => _value.Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void StoreBFloat16(ushort* target)
    {
        var bits = _value.AsUInt32();
        var upper = bits >> 16;
        var rounded = (bits + Vector256.Create(0x7FFFu) + (upper & Vector256<uint>.One)) >> 16;
        var chosen = Vector256.ConditionalSelect(Vector256.IsNaN(_value).AsUInt32(), upper | Vector256.Create(0x40u), rounded);
        Vector128.Narrow(chosen.GetLower(), chosen.GetUpper()).Store(target);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void StoreBFloat16AtRandom(ushort* target, uint seed, long index)
    {
        var bits = _value.AsUInt32();
        var rounded = (bits + RandomBits.Of(Vector256.Create(seed), Vector256.Create((uint)index) + Vector256<uint>.Indices)) >> 16;
        var chosen = Vector256.ConditionalSelect(Vector256.IsNaN(_value).AsUInt32(), (bits >> 16) | Vector256.Create(0x40u), rounded);
        Vector128.Narrow(chosen.GetLower(), chosen.GetUpper()).Store(target);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats256 operator +(Floats256 left, Floats256 right) => new(left._value + right._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats256 operator -(Floats256 left, Floats256 right) => new(left._value - right._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats256 operator *(Floats256 left, Floats256 right) => new(left._value * right._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats256 operator /(Floats256 left, Floats256 right) => new(left._value / right._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats256 MultiplyAdd(Floats256 left, Floats256 right, Floats256 addend) =>
        new(Vector256.FusedMultiplyAdd(left._value, right._value, addend._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats256 SquareRoot(Floats256 value) => new(Vector256.Sqrt(value._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats256 Sign(Floats256 value) => new(
        Vector256.ConditionalSelect(Vector256.GreaterThan(value._value, Vector256<float>.Zero), Vector256<float>.One,
            Vector256.ConditionalSelect(Vector256.LessThan(value._value, Vector256<float>.Zero), -Vector256<float>.One, Vector256<float>.Zero)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats256 Maximum(Floats256 left, Floats256 right) => new(Vector256.ConditionalSelect(Vector256.GreaterThan(left._value, right._value), left._value, right._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats256 Minimum(Floats256 left, Floats256 right) => new(Vector256.ConditionalSelect(Vector256.LessThan(left._value, right._value), left._value, right._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats256 PowerOfTwo(Floats256 exponent) =>
        new(((Vector256.ConvertToInt32Native(exponent._value) + Vector256.Create(127)) << 23).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats256 Round(Floats256 value) => new(Vector256.Round(value._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public double Sum()
    {
        var (lower, upper) = Vector256.Widen(_value);
        return Vector256.Sum(lower + upper);
    }

    public float LargestLane()
    {
        float largest = _value.GetElement(0);
        for (int lane = 1; lane < Count; lane++)
            largest = MathF.Max(largest, _value.GetElement(lane));
        return largest;
    }
}

/// <summary>16 lanes (AVX-512).</summary>
internal readonly unsafe struct Floats512(Vector512<float> value) : IFloats<Floats512>
{
    private readonly Vector512<float> _value = value;

    public static int Count => 16;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 Broadcast(float value) => new(Vector512.Create(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 Load(float* source) => new(Vector512.Load(source));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 LoadBFloat16(ushort* source) =>
        new((Vector512.WidenLower(Vector256.Load(source).ToVector512Unsafe()) << 16).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(float* target) => _value.Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void StoreBFloat16(ushort* target)
    {
        var bits = _value.AsUInt32();
        var upper = bits >> 16;
        var rounded = (bits + Vector512.Create(0x7FFFu) + (upper & Vector512<uint>.One)) >> 16;
        var chosen = Vector512.ConditionalSelect(Vector512.IsNaN(_value).AsUInt32(), upper | Vector512.Create(0x40u), rounded);
        Vector256.Narrow(chosen.GetLower(), chosen.GetUpper()).Store(target);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void StoreBFloat16AtRandom(ushort* target, uint seed, long index)
    {
        var bits = _value.AsUInt32();
        var rounded = (bits + RandomBits.Of(Vector512.Create(seed), Vector512.Create((uint)index) + Vector512<uint>.Indices)) >> 16;
        var chosen = Vector512.ConditionalSelect(Vector512.IsNaN(_value).AsUInt32(), (bits >> 16) | Vector512.Create(0x40u), rounded);
        Vector256.Narrow(chosen.GetLower(), chosen.GetUpper()).Store(target);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 operator +(Floats512 left, Floats512 right) => new(left._value + right._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 operator -(Floats512 left, Floats512 right) => new(left._value - right._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 operator *(Floats512 left, Floats512 right) => new(left._value * right._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 operator /(Floats512 left, Floats512 right) => new(left._value / right._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 MultiplyAdd(Floats512 left, Floats512 right, Floats512 addend) =>
        new(Vector512.FusedMultiplyAdd(left._value, right._value, addend._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 SquareRoot(Floats512 value) => new(Vector512.Sqrt(value._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 Sign(Floats512 value) => new(
        Vector512.ConditionalSelect(Vector512.GreaterThan(value._value, Vector512<float>.Zero), Vector512<float>.One,
            Vector512.ConditionalSelect(Vector512.LessThan(value._value, Vector512<float>.Zero), -Vector512<float>.One, Vector512<float>.Zero)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 Maximum(Floats512 left, Floats512 right) => new(Vector512.ConditionalSelect(Vector512.GreaterThan(left._value, right._value), left._value, right._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 Minimum(Floats512 left, Floats512 right) => new(Vector512.ConditionalSelect(Vector512.LessThan(left._value, right._value), left._value, right._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 PowerOfTwo(Floats512 exponent) =>
        new(((Vector512.ConvertToInt32Native(exponent._value) + Vector512.Create(127)) << 23).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 Round(Floats512 value) => new(Vector512.Round(value._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public double Sum()
    {
        var (lower, upper) = Vector512.Widen(_value);
        return Vector512.Sum(lower + upper);
    }

    public float LargestLane()
    {
        float largest = _value.GetElement(0);
        for (int lane = 1; lane < Count; lane++)
            largest = MathF.Max(largest, _value.GetElement(lane));
        return largest;
    }
}
