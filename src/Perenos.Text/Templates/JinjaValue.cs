using System.Collections;
using System.Numerics;

namespace Perenos.Text.Templates;

// Values of a template are null (None), bool, BigInteger (int), double (float), string, and the types of this file.

/// <summary>What a missing name, key or attribute gives: empty when printed, an error when used.</summary>
internal sealed class JinjaUndefined(string hint, string kind = "UndefinedError")
{
    /// <summary>The error of using it.</summary>
    public JinjaException Error() => new(kind, hint);

    public static JinjaUndefined Name(string name) => new($"'{name}' is undefined");

    public static JinjaUndefined Unsafe(string attribute, object? owner) =>
        new($"access to attribute '{attribute}' of '{JinjaOperators.TypeName(owner)}' object is unsafe.", "SecurityError");

    public static JinjaUndefined Missing(object? owner, object? key)
    {
        string type = owner is null ? "None" : JinjaOperators.TypeName(owner) + " object";
        return key is string name
            ? new JinjaUndefined($"{PythonText.Quote(type)} has no attribute {PythonText.Quote(name)}")
            : new JinjaUndefined($"{type} has no element {JinjaOperators.Repr(key, new JinjaBudget())}");
    }
}

internal enum JinjaListKind
{
    List,
    Tuple,
    DictKeys,
    DictValues,
    DictItems,

    /// <summary>What lazy filters give in Python: it can be run through once, and has no length.</summary>
    Generator,

    /// <summary>A pair of groupby, whose parts are also called grouper and list.</summary>
    Group,

    Range,
}

/// <summary>A list, tuple, view or generator; never changed once it is made.</summary>
internal sealed class JinjaList
{
    private readonly IReadOnlyList<object?> _items;
    private IEnumerable<object?>? _source;

    public JinjaList(IReadOnlyList<object?> items, JinjaListKind kind = JinjaListKind.List)
    {
        _items = items;
        Kind = kind;
    }

    private JinjaList(IEnumerable<object?> source)
    {
        _items = [];
        _source = source;
        Kind = JinjaListKind.Generator;
    }

    public JinjaListKind Kind { get; }

    public bool IsTuple => Kind is JinjaListKind.Tuple or JinjaListKind.Group;

    /// <summary>All items; a generator makes them now, and gives them once.</summary>
    public IReadOnlyList<object?> Take()
    {
        var source = _source;
        _source = null;
        return source is null ? _items : [.. source];
    }

    public static JinjaList Tuple(params object?[] items) => new(items, JinjaListKind.Tuple);

    /// <summary>What a lazy filter gives: its errors come when its items are asked for, and never where nobody asks.</summary>
    public static JinjaList Generator(IEnumerable<object?> items) => new(items);
}

/// <summary>A mapping that keeps the order of its keys; 1, 1.0 and true are one key, as in Python.</summary>
internal sealed class JinjaDict : IEnumerable<KeyValuePair<object?, object?>>
{
    private static readonly object NoneKey = new();

    private readonly OrderedDictionary<object, object?> _items = new(KeyComparer.Instance);

    public int Count => _items.Count;

    public object? this[object? key]
    {
        set => _items[Hashable(key)] = value;
    }

    public bool TryGet(object? key, out object? value) => _items.TryGetValue(Hashable(key), out value);

    public IEnumerable<object?> Keys => _items.Keys.Select(Unwrap);

    public IEnumerable<object?> Values => _items.Values;

    public IEnumerator<KeyValuePair<object?, object?>> GetEnumerator() =>
        _items.Select(item => new KeyValuePair<object?, object?>(Unwrap(item.Key), item.Value)).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private static object? Unwrap(object key) => ReferenceEquals(key, NoneKey) ? null : key;

    private static object Hashable(object? key) => key switch
    {
        null => NoneKey,
        JinjaDict or JinjaList { IsTuple: false } => throw JinjaException.Type($"unhashable type: '{JinjaOperators.TypeName(key)}'"),
        JinjaList tuple when tuple.Take().Count > 100 || tuple.Take().Any(item => item is JinjaList) => throw JinjaException.Limit("a tuple of tuples, or a long one, is not supported as a key"),
        _ => key,
    };

    private sealed class KeyComparer : IEqualityComparer<object>
    {
        public static KeyComparer Instance { get; } = new();

        public new bool Equals(object? left, object? right) => ReferenceEquals(left, right) || JinjaOperators.AreEqual(left, right, new JinjaBudget());

        public int GetHashCode(object key) => key switch
        {
            bool value => value ? 1 : 0,
            double value when Math.Floor(value) == value && Math.Abs(value) < int.MaxValue => (int)value,
            BigInteger value when BigInteger.Abs(value) < int.MaxValue => (int)value,
            JinjaList tuple => tuple.Take().Aggregate(17, (hash, item) => HashCode.Combine(hash, item is null ? 0 : GetHashCode(item))),
            _ => key.GetHashCode(),
        };
    }
}

/// <summary>What namespace() gives: the one thing whose attributes a template may set.</summary>
internal sealed class JinjaNamespace
{
    public JinjaDict Attributes { get; } = new();
}

/// <summary>Something that can be called: a method, a global function, a macro.</summary>
internal sealed class JinjaFunction(string name, Func<JinjaArguments, object?> call)
{
    public string Name { get; } = name;

    public bool IsMacro { get; init; }

    /// <summary>Attributes that a template may read; most functions have none.</summary>
    public JinjaDict Attributes { get; init; } = new();

    public object? Call(JinjaArguments arguments)
    {
        object? result = call(arguments);
        arguments.CheckAllTaken(Name);
        return result;
    }
}

/// <summary>The variable "loop" of a for statement.</summary>
internal sealed class JinjaLoop(IReadOnlyList<object?> items, int depth, Func<object?, string>? recurse)
{
    private object? _lastChanged = new JinjaUndefined("");

    public int Index { get; set; }

    public string Recurse(object? value) =>
        recurse is null ? throw JinjaException.Type("The loop must have the 'recursive' marker to be called recursively.") : recurse(value);

    public object? Attribute(string name, JinjaBudget budget) => name switch
    {
        "index" => new BigInteger(Index + 1),
        "index0" => new BigInteger(Index),
        "revindex" => new BigInteger(items.Count - Index),
        "revindex0" => new BigInteger(items.Count - Index - 1),
        "first" => Index == 0,
        "last" => Index == items.Count - 1,
        "length" => new BigInteger(items.Count),
        "depth" => new BigInteger(depth + 1),
        "depth0" => new BigInteger(depth),
        "previtem" => Index > 0 ? items[Index - 1] : new JinjaUndefined("there is no previous item"),
        "nextitem" => Index + 1 < items.Count ? items[Index + 1] : new JinjaUndefined("there is no next item"),
        "cycle" => new JinjaFunction("cycle", arguments => Cycle(arguments.All())),
        "changed" => new JinjaFunction("changed", arguments => Changed(JinjaList.Tuple([.. arguments.All()]), budget)),
        _ => JinjaUndefined.Missing(this, name),
    };

    private object? Cycle(IReadOnlyList<object?> values) =>
        values.Count == 0 ? throw JinjaException.Type("no items for cycling given") : values[Index % values.Count];

    private bool Changed(JinjaList values, JinjaBudget budget)
    {
        bool isSame = _lastChanged is JinjaList last && JinjaOperators.AreEqual(last, values, budget);
        _lastChanged = values;
        return !isSame;
    }
}

/// <summary>Arguments of a call; whoever is called takes them by place or name, and what is left over is an error.</summary>
internal sealed class JinjaArguments(IReadOnlyList<object?> positional, JinjaDict? keywords = null)
{
    private readonly HashSet<string> _taken = [];
    private int _expected;

    public IReadOnlyList<object?> Positional { get; } = positional;

    public JinjaDict Keywords { get; } = keywords ?? new JinjaDict();

    /// <summary>The argument at a place or of a name; the default where it is not given.</summary>
    public object? Take(int place, string name, object? otherwise = null)
    {
        _expected = Math.Max(_expected, place + 1);
        if (Keywords.TryGet(name, out object? value))
        {
            if (place < Positional.Count)
                throw JinjaException.Type($"got multiple values for argument '{name}'");
            _taken.Add(name);
            return value;
        }

        return place < Positional.Count ? Positional[place] : otherwise;
    }

    /// <summary>The argument at a place or of a name, which must be given.</summary>
    public object? Need(int place, string name) =>
        place < Positional.Count || Keywords.TryGet(name, out _) ? Take(place, name) : throw JinjaException.Type($"missing required argument: '{name}'");

    public string Text(int place, string name) => Need(place, name) switch
    {
        string text => text,
        JinjaUndefined undefined => throw undefined.Error(),
        var other => throw JinjaException.Type($"argument '{name}' must be str, not {JinjaOperators.TypeName(other)}"),
    };

    /// <summary>All positional arguments.</summary>
    public IReadOnlyList<object?> All()
    {
        _expected = int.MaxValue;
        return Positional;
    }

    /// <summary>All keywords.</summary>
    public JinjaDict AllKeywords()
    {
        _taken.UnionWith(Keywords.Keys.OfType<string>());
        return Keywords;
    }

    /// <summary>Arguments after the first ones, for a filter that is named as an argument of map or select.</summary>
    public JinjaArguments After(int count)
    {
        All();
        return new JinjaArguments([.. Positional.Skip(count)], AllKeywords());
    }

    public void CheckAllTaken(string name)
    {
        if (Positional.Count > _expected)
            throw JinjaException.Type($"{name}() takes at most {_expected} arguments ({Positional.Count} given)");
        if (Keywords.Keys.OfType<string>().FirstOrDefault(key => !_taken.Contains(key)) is { } unknown)
            throw JinjaException.Type($"{name}() got an unexpected keyword argument '{unknown}'");
    }
}

/// <summary>What one rendering may spend; a template comes from a stranger's file and could loop or grow without end.</summary>
internal sealed class JinjaBudget
{
    /// <summary>Most characters of a text, the output included.</summary>
    public const int LongestText = 4 << 20;

    private const long MostSteps = 2_000_000;
    private const int DeepestCalls = 800;

    private long _steps;
    private int _depth;

    /// <summary>Counts one step, and more for text or items that are made.</summary>
    public void Spend(long made = 0)
    {
        if (made > LongestText)
            throw JinjaException.Limit($"the template makes a value longer than {LongestText >> 20} million characters");
        _steps += 1 + (made / 8);
        if (_steps > MostSteps)
            throw JinjaException.Limit("the template runs too long");
    }

    /// <summary>Counts a value that is looked through or copied as a whole.</summary>
    public void Touch(object? value) => Spend(value switch
    {
        string text => text.Length,
        JinjaList { Kind: not JinjaListKind.Generator } list => list.Take().Count,
        JinjaDict dict => dict.Count,
        _ => 0,
    });

    /// <summary>Counts all arguments of a call.</summary>
    public void Touch(JinjaArguments arguments)
    {
        foreach (object? value in arguments.Positional)
            Touch(value);
        foreach (object? value in arguments.Keywords.Values)
            Touch(value);
    }

    /// <summary>Text that was made, counted.</summary>
    public string Made(string text)
    {
        Spend(text.Length);
        return text;
    }

    public void Enter()
    {
        if (++_depth > DeepestCalls || !System.Runtime.CompilerServices.RuntimeHelpers.TryEnsureSufficientExecutionStack())
            throw JinjaException.Limit("the template calls itself, or nests, too deeply");
    }

    public void Leave() => _depth--;
}
