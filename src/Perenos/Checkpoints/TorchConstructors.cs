using Perenos.Runs;

namespace Perenos.Checkpoints;

/// <summary>
/// The few names that a state dict needs, and what they make: storages, and tensors as windows on them. Any other name is refused.
/// Nothing here runs code of the file, and no memory is taken for what the file claims.
/// </summary>
internal sealed class TorchConstructors(string path)
{
    private const int MostDimensions = 64;
    private const int MostKeyCharacters = 64;

    /// <summary>Class of the storage, dtype, and the same type in safetensors. The last ones are written with storages of bytes only.</summary>
    private static readonly (string Storage, string DType, string Element)[] ElementTypes =
    [
        ("DoubleStorage", "float64", "F64"), ("FloatStorage", "float32", "F32"), ("HalfStorage", "float16", "F16"), ("BFloat16Storage", "bfloat16", "BF16"),
        ("LongStorage", "int64", "I64"), ("IntStorage", "int32", "I32"), ("ShortStorage", "int16", "I16"), ("CharStorage", "int8", "I8"),
        ("ByteStorage", "uint8", "U8"), ("BoolStorage", "bool", "BOOL"),
        ("", "uint16", "U16"), ("", "uint32", "U32"), ("", "uint64", "U64"), ("", "float8_e4m3fn", "F8_E4M3"), ("", "float8_e5m2", "F8_E5M2"),
    ];

    private static readonly Dictionary<string, PickleGlobal> Allowed = Globals().ToDictionary(global => global.FullName, StringComparer.Ordinal);

    private readonly Dictionary<string, TorchStorage> _storages = new(StringComparer.Ordinal);

    /// <summary>All storages that the pickle names.</summary>
    public IReadOnlyDictionary<string, TorchStorage> Storages => _storages;

    /// <summary>How many tensors it made.</summary>
    public int TensorCount { get; private set; }

    /// <exception cref="PerenosException">The name is not one that tensors need.</exception>
    public PickleGlobal Find(string module, string name) => Allowed.TryGetValue($"{module}.{name}", out var global) ? global : throw Forbidden(module, name);

    /// <summary>The refusal of a name.</summary>
    public PerenosException Forbidden(string module, string name)
    {
        // Python 3 reads the old name as the new one.
        string quoted = Refusal.Quote($"{(module == "__builtin__" ? "builtins" : module)}.{name}");
        bool isTensorOf(string word) => module.StartsWith("torch", StringComparison.Ordinal) && name.Contains(word, StringComparison.OrdinalIgnoreCase);
        if (isTensorOf("qtensor") || isTensorOf("QInt") || isTensorOf("QUInt"))
            return new PerenosException($"{path} holds quantised tensors ({quoted}), which are not read.", "take the checkpoint before quantisation.");
        if (isTensorOf("Complex"))
            return new PerenosException($"{path} holds complex numbers ({quoted}), which are not read.", "no model here has such weights: is this the right file?");
        return new PerenosException(
            $"{path} asks for {quoted}, which no weights need. It was refused, and nothing was run.",
            "a pickle can run any program where it is opened without this check: if you do not trust the file's origin, delete it; otherwise save its state_dict, or take the safetensors form.");
    }

    /// <summary>Calls an allowed function.</summary>
    /// <exception cref="PerenosException">The arguments are not those that torch writes, or the tensor leaves its storage.</exception>
    public object Call(PickleGlobal function, object?[] arguments) => (function.Kind, arguments) switch
    {
        (PickleGlobalKind.OrderedDictionary, []) => new PickleDict(isOrdered: true),
        (PickleGlobalKind.Tensor, [TorchStorage storage, long first, PickleTuple sizes, PickleTuple strides]) =>
            View(storage, storage.Element, first, sizes, strides),
        (PickleGlobalKind.Tensor, [TorchStorage storage, long first, PickleTuple sizes, PickleTuple strides, bool, null or PickleDict, .. var rest])
            when HasNoBits(rest) => View(storage, storage.Element, first, sizes, strides),
        (PickleGlobalKind.TypedTensor, [TorchStorage storage, long first, PickleTuple sizes, PickleTuple strides, bool, null or PickleDict, PickleGlobal { Kind: PickleGlobalKind.ElementType } type, .. var rest])
            when HasNoBits(rest) => View(storage, type.Element, first, sizes, strides),
        (PickleGlobalKind.Parameter, [TorchView tensor, bool, null or PickleDict, ..]) when arguments.Length <= 4 => tensor,
        _ => throw Malformed($"its pickle calls {function.FullName} with arguments that torch does not write"),
    };

    /// <summary>The storage of a persistent id: ('storage', class, key, device, elements), in old files with a window on another storage.</summary>
    public object Storage(object? id)
    {
        if (id is not PickleTuple { Items: ["storage", PickleGlobal { Kind: PickleGlobalKind.Storage } type, string key, string, long count, .. var window] }
            || window is not ([] or [null]))
        {
            throw Malformed("its pickle names data in a way that torch does not write");
        }

        if (key.Length is 0 or > MostKeyCharacters || !key.All(c => char.IsAsciiLetterOrDigit(c) || c == '_'))
            throw Malformed($"its storage {Refusal.Quote(key)} has a name that is no plain key");
        if (count < 0 || count > long.MaxValue / (type.Element?.Bytes ?? 1))
            throw Malformed($"its storage {Refusal.Quote(key)} claims {count:N0} elements");
        var storage = new TorchStorage(key, type.Element, count);
        if (!_storages.TryAdd(key, storage) && _storages[key] is var first && (first.Element, first.Count) != (storage.Element, storage.Count))
            throw Malformed($"its storage {Refusal.Quote(key)} is described twice, and differently");
        return _storages[key];
    }

    private static IEnumerable<PickleGlobal> Globals()
    {
        yield return new("collections.OrderedDict", PickleGlobalKind.OrderedDictionary);
        yield return new("torch._utils._rebuild_tensor", PickleGlobalKind.Tensor);
        yield return new("torch._utils._rebuild_tensor_v2", PickleGlobalKind.Tensor);
        yield return new("torch._utils._rebuild_tensor_v3", PickleGlobalKind.TypedTensor);
        yield return new("torch._utils._rebuild_parameter", PickleGlobalKind.Parameter);
        yield return new("torch._utils._rebuild_parameter_with_state", PickleGlobalKind.Parameter);
        yield return new("torch.storage.UntypedStorage", PickleGlobalKind.Storage);
        yield return new("torch.UntypedStorage", PickleGlobalKind.Storage);
        foreach (var (storage, dtype, element) in ElementTypes)
        {
            var type = SafetensorsType.Find(element)!;
            if (storage.Length > 0)
                yield return new($"torch.{storage}", PickleGlobalKind.Storage, type);
            yield return new($"torch.{dtype}", PickleGlobalKind.ElementType, type);
        }
    }

    /// <summary>No metadata: it would say that the values are to be negated or conjugated.</summary>
    private static bool HasNoBits(object?[] rest) => rest is [] or [null] or [PickleDict { Entries.Count: 0 }];

    private TorchView View(TorchStorage storage, SafetensorsType? element, long first, PickleTuple sizes, PickleTuple strides)
    {
        element ??= SafetensorsType.Find("U8")!;
        var (shape, steps) = (Numbers(sizes), Numbers(strides));
        string Text() => $"a tensor of shape [{string.Join(", ", shape)}], strides [{string.Join(", ", steps)}] from element {first} of storage {Refusal.Quote(storage.Key)}";
        if (shape.Length != steps.Length || shape.Length > MostDimensions)
            throw Malformed($"it has {Text()}, which do not fit");
        if (storage.Element is not null && storage.Element != element)
            throw Malformed($"it has {Text()}, whose type is another");
        if (first < 0 || steps.Any(step => step < 0) || ShapeSize.Elements(shape) is not { } elements || elements > long.MaxValue / element.Bytes)
            throw Malformed($"it has {Text()}: negative, or an overflow");

        long available = storage.Count * storage.ElementBytes / element.Bytes;
        long reach = elements == 0 ? 0 : 1;
        for (int d = 0; d < shape.Length && elements > 0; d++)
        {
            if (shape[d] > 1 && steps[d] > (available - reach) / (shape[d] - 1))
                throw Malformed($"it has {Text()}, which has {available:N0}");
            reach += (shape[d] - 1) * steps[d];
        }

        if (first > available - reach)
            throw Malformed($"it has {Text()}, which has {available:N0}");
        TensorCount++;
        return new TorchView(storage, element, first, shape, steps, elements, reach);
    }

    private long[] Numbers(PickleTuple tuple)
    {
        if (tuple.Numbers is null && (tuple.Items.Length > MostDimensions || tuple.Items.Any(item => item is not long)))
            throw Malformed("its pickle gives a tensor a shape or strides that are no integers");
        return tuple.Numbers ??= [.. tuple.Items.Cast<long>()];
    }

    private PerenosException Malformed(string reason) => Refusal.Malformed(path, reason);
}
