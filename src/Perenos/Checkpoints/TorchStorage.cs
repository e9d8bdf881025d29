namespace Perenos.Checkpoints;

/// <summary>A block of elements in a file of torch's, which several tensors may share.</summary>
/// <param name="Key">Its name in the file.</param>
/// <param name="Element">Type of the elements; null for plain bytes.</param>
/// <param name="Count">How many there are said to be; the container holds it against the file.</param>
internal sealed record TorchStorage(string Key, SafetensorsType? Element, long Count)
{
    public int ElementBytes => Element?.Bytes ?? 1;

    /// <summary>Where it begins in the file; set by the container.</summary>
    public long Offset { get; set; } = -1;
}

/// <summary>A tensor as a window on a storage. The window has been held against the storage's size.</summary>
/// <param name="Storage">Where the elements lie.</param>
/// <param name="Element">Type of the elements.</param>
/// <param name="First">The first element, counted in the storage.</param>
/// <param name="Shape">Sizes, outermost first.</param>
/// <param name="Strides">Elements from one index to the next, in each dimension; 0 repeats.</param>
/// <param name="Elements">Product of the sizes.</param>
/// <param name="Reach">Elements from the first to behind the last.</param>
internal sealed record TorchView(TorchStorage Storage, SafetensorsType Element, long First, long[] Shape, long[] Strides, long Elements, long Reach)
{
    public bool IsContiguous
    {
        get
        {
            long expected = 1;
            for (int d = Shape.Length - 1; d >= 0; d--)
            {
                if (Shape[d] > 1 && Strides[d] != expected)
                    return false;
                expected *= Math.Max(Shape[d], 1);
            }

            return true;
        }
    }
}
