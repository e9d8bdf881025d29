namespace Perenos.Checkpoints;

/// <summary>How many elements a shape from a file has.</summary>
internal static class ShapeSize
{
    /// <summary>
    /// The product of the sizes, or null where a size is negative or the product overflows. A zero does not hide an overflow of the
    /// others: torch computes strides from them.
    /// </summary>
    public static long? Elements(ReadOnlySpan<long> shape)
    {
        long product = 1;
        bool zero = false;
        foreach (long size in shape)
        {
            if (size < 0 || (size > 0 && product > long.MaxValue / size))
                return null;
            zero |= size == 0;
            product *= Math.Max(size, 1);
        }

        return zero ? 0 : product;
    }
}
