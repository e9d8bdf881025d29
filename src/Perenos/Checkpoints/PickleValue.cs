namespace Perenos.Checkpoints;

// What a pickle can hold, as far as it is read: null, bool, long, BigInteger, double, string, byte[], the types below, and what
// TorchConstructors makes of them.

/// <summary>A tuple.</summary>
internal sealed record PickleTuple(object?[] Items)
{
    public static PickleTuple Empty { get; } = new([]);

    /// <summary>The items as numbers, made once: a few bytes of a pickle can use the same tuple again.</summary>
    public long[]? Numbers { get; set; }
}

/// <summary>A list, which may contain itself: walk it with a bound.</summary>
internal sealed class PickleList
{
    private List<object?>? _items; // made late: one byte of a pickle makes a list

    public IReadOnlyList<object?> Items => _items ?? (IReadOnlyList<object?>)[];

    public void Add(ReadOnlySpan<object?> values) => (_items ??= []).AddRange(values);
}

/// <summary>A dictionary in the order of its entries; it may contain itself: walk it with a bound.</summary>
/// <param name="isOrdered">Whether it is a <c>collections.OrderedDict</c>, which alone may have attributes.</param>
internal sealed class PickleDict(bool isOrdered = false)
{
    private List<KeyValuePair<object?, object?>>? _entries; // late, likewise

    public bool IsOrdered => isOrdered;

    public IReadOnlyList<KeyValuePair<object?, object?>> Entries => _entries ?? (IReadOnlyList<KeyValuePair<object?, object?>>)[];

    public void Add(object? key, object? value) => (_entries ??= []).Add(new(key, value));

    /// <summary>The value under a text, or null.</summary>
    public object? Find(string key) => Entries.LastOrDefault(entry => entry.Key is string text && text == key).Value;
}

/// <summary>A name of Python's that is allowed.</summary>
/// <param name="FullName">Module and name.</param>
/// <param name="Kind">What may be done with it.</param>
/// <param name="Element">The element type of a storage or dtype; null for a storage of plain bytes and for functions.</param>
internal sealed record PickleGlobal(string FullName, PickleGlobalKind Kind, SafetensorsType? Element = null);

internal enum PickleGlobalKind
{
    /// <summary>A class of storages.</summary>
    Storage,

    /// <summary>A dtype.</summary>
    ElementType,

    /// <summary><c>collections.OrderedDict</c></summary>
    OrderedDictionary,

    /// <summary>storage, offset, size, stride, …</summary>
    Tensor,

    /// <summary>As <see cref="Tensor"/>, with requires_grad, hooks, dtype, …</summary>
    TypedTensor,

    /// <summary>tensor, requires_grad, hooks, …</summary>
    Parameter,
}
