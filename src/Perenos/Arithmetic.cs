using TorchSharp;
using static TorchSharp.torch;

namespace Perenos;

/// <summary>
/// Tensors with numbers, and sums of tensors. TorchSharp makes a <see cref="Scalar"/> of each number (and of the 1 by which a
/// sum weighs its second term) but lets the collector free it while native code still reads it; here it is held until the call
/// returns. The build refuses the unsafe forms (eng/BannedSymbols.Scalars.txt).
/// </summary>
internal static class Arithmetic
{
    private static readonly Scalar One = 1.ToScalar();

    /// <summary>Sum.</summary>
    public static Tensor Plus(this Tensor left, Tensor right) => left.add(right, One);

    /// <summary>Sum in place.</summary>
    public static Tensor Increase(this Tensor left, Tensor right) => left.add_(right, One);

    /// <summary>Sum with a weighted term, in place.</summary>
    public static Tensor Increase(this Tensor left, Tensor right, double weight)
    {
        using var held = weight.ToScalar();
        return left.add_(right, held);
    }

    /// <summary>Sum with a number.</summary>
    public static Tensor Plus(this Tensor left, double right)
    {
        using var held = right.ToScalar();
        return left.add(held, One);
    }

    /// <summary>Sum with a number, in place.</summary>
    public static Tensor Increase(this Tensor left, double right)
    {
        using var held = right.ToScalar();
        return left.add_(held, One);
    }

    /// <summary>Product with a number.</summary>
    public static Tensor Times(this Tensor left, double right)
    {
        using var held = right.ToScalar();
        return left.mul(held);
    }

    /// <summary>Product with a number, in place.</summary>
    public static Tensor Scale(this Tensor left, double right)
    {
        using var held = right.ToScalar();
        return left.mul_(held);
    }

    /// <summary>Values between −limit and limit, those beyond set to the nearer of the two.</summary>
    public static Tensor Clip(this Tensor values, double limit)
    {
        using var smallest = (-limit).ToScalar();
        using var largest = limit.ToScalar();
        return values.clamp(smallest, largest);
    }

    /// <summary>Whole numbers from <paramref name="first"/> up to and without <paramref name="end"/>, int64.</summary>
    public static Tensor Counting(long first, long end, Device? device = null)
    {
        using var start = first.ToScalar();
        using var stop = end.ToScalar();
        using var step = 1L.ToScalar();
        return arange(start, stop, step, dtype: ScalarType.Int64, device: device);
    }

    /// <summary>A tensor of one value.</summary>
    public static Tensor Filled(long[] shape, double value, ScalarType type, Device? device = null)
    {
        using var held = value.ToScalar();
        return full(shape, held, dtype: type, device: device);
    }
}
