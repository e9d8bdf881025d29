namespace Perenos.Checkpoints;

/// <summary>Brings the elements of a view with strides into row-major order.</summary>
internal static class StridedCopy
{
    /// <summary>
    /// Fills <paramref name="target"/> with elements from number <paramref name="first"/> on, in row-major order of
    /// <paramref name="shape"/>; element 0 lies at byte <paramref name="start"/> of the file.
    /// </summary>
    public static void Run(
        MappedFile file, long start, int elementBytes, ReadOnlySpan<long> shape, ReadOnlySpan<long> strides, long first, Span<byte> target)
    {
        Span<long> index = stackalloc long[shape.Length];
        long at = 0; // of the current element, counted in the storage
        for (int d = shape.Length - 1; d >= 0; d--)
        {
            (first, index[d]) = Math.DivRem(first, shape[d]);
            at += index[d] * strides[d];
        }

        while (true)
        {
            file.Slice(start + at * elementBytes, elementBytes).CopyTo(target);
            target = target[elementBytes..];
            if (target.IsEmpty)
                return;
            for (int d = shape.Length - 1; ; d--)
            {
                at += strides[d];
                if (++index[d] < shape[d])
                    break;
                at -= shape[d] * strides[d];
                index[d] = 0;
            }
        }
    }
}
