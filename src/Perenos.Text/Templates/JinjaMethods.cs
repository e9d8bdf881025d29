using System.Numerics;

namespace Perenos.Text.Templates;

/// <summary>
/// Attributes and items of values: what stands behind a dot or in brackets. Methods of strings, dicts and lists that change nothing are Python's;
/// those that would change a value, and the inner ones (__class__), are refused when used.
/// </summary>
internal static class JinjaMethods
{
    private delegate object? Method<in T>(T owner, JinjaArguments arguments, JinjaBudget budget);

    private static readonly HashSet<string> ChangingList = ["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"];

    private static readonly HashSet<string> ChangingDict = ["clear", "pop", "popitem", "setdefault", "update"];

    private static readonly Dictionary<string, Method<JinjaDict>> OfDict = new(StringComparer.Ordinal)
    {
        ["get"] = (dict, arguments, _) => dict.TryGet(arguments.Need(0, "key"), out object? value) ? Second(arguments, value) : arguments.Take(1, "default"),
        ["items"] = (dict, _, _) => new JinjaList([.. dict.Select(item => JinjaList.Tuple(item.Key, item.Value))], JinjaListKind.DictItems),
        ["keys"] = (dict, _, _) => new JinjaList([.. dict.Keys], JinjaListKind.DictKeys),
        ["values"] = (dict, _, _) => new JinjaList([.. dict.Values], JinjaListKind.DictValues),
        ["copy"] = (dict, _, _) => dict,
    };

    private static readonly Dictionary<string, Method<JinjaList>> OfList = new(StringComparer.Ordinal)
    {
        ["count"] = (list, arguments, budget) => new BigInteger(list.Take().Count(item => JinjaOperators.AreEqual(item, arguments.Need(0, "value"), budget))),
        ["index"] = (list, arguments, budget) => Enumerable.Range(0, list.Take().Count).FirstOrDefault(i => JinjaOperators.AreEqual(list.Take()[i], arguments.Need(0, "value"), budget), -1) is var at && at >= 0
            ? new BigInteger(at) : throw JinjaException.Value("the value is not in the list"),
        ["copy"] = (list, _, _) => list,
    };

    /// <summary>value.name: a method or attribute first, then an item.</summary>
    public static object? Attribute(object? value, string name, JinjaBudget budget)
    {
        if (value is JinjaUndefined undefined)
            throw undefined.Error();
        return TryMember(value, name, budget, out object? member) ? member
            : value is JinjaDict dict && dict.TryGet(name, out object? item) ? item
            : JinjaUndefined.Missing(value, name);
    }

    /// <summary>value[key]: an item first, then a method or attribute.</summary>
    public static object? Item(object? value, object? key, JinjaBudget budget)
    {
        budget.Touch(key);
        switch (value)
        {
            case JinjaUndefined undefined:
                throw undefined.Error();
            case JinjaDict dict when dict.TryGet(key, out object? found):
                return found;
            case string or JinjaList { Kind: JinjaListKind.List or JinjaListKind.Tuple or JinjaListKind.Group or JinjaListKind.Range } when key is BigInteger or bool:
                budget.Spend((value as string)?.Length ?? 0);
                int count = (int)JinjaOperators.Length(value);
                int index = JinjaOperators.ToIndex(key);
                index += index < 0 ? count : 0;
                return index < 0 || index >= count ? JinjaUndefined.Missing(value, key) : JinjaOperators.Items(value, budget)[index];
            default:
                return key is string name && TryMember(value, name, budget, out object? member) ? member : JinjaUndefined.Missing(value, key);
        }
    }

    private static bool TryMember(object? value, string name, JinjaBudget budget, out object? member)
    {
        bool isUnsafe = name.Length > 4 && name.StartsWith("__", StringComparison.Ordinal) && name.EndsWith("__", StringComparison.Ordinal);
        isUnsafe |= (value is JinjaList { Kind: JinjaListKind.List } && ChangingList.Contains(name)) || (value is JinjaDict && ChangingDict.Contains(name));
        member = value switch
        {
            _ when isUnsafe => JinjaUndefined.Unsafe(name, value),
            string text when PythonStringMethods.TryGet(name, out var method) => Counted(name, text, (owner, arguments, counted) => method(owner, arguments, counted), budget),
            JinjaDict dict when OfDict.TryGetValue(name, out var method) => Counted(name, dict, method, budget),
            JinjaList { Kind: JinjaListKind.Group } pair when name is "grouper" or "list" => pair.Take()[name == "grouper" ? 0 : 1],
            JinjaList { Kind: JinjaListKind.List or JinjaListKind.Tuple or JinjaListKind.Range } list when OfList.TryGetValue(name, out var method) => Counted(name, list, method, budget),
            JinjaNamespace space when space.Attributes.TryGet(name, out object? found) => found,
            JinjaFunction function when function.Attributes.TryGet(name, out object? found) => found,
            JinjaLoop loop => loop.Attribute(name, budget),
            double number when name == "is_integer" => new JinjaFunction(name, _ => double.IsInteger(number)),
            _ => Nothing,
        };
        return !ReferenceEquals(member, Nothing);
    }

    private static readonly object Nothing = new();

    private static JinjaFunction Counted<T>(string name, T owner, Method<T> method, JinjaBudget budget) => new(name, arguments =>
    {
        budget.Touch(owner);
        return method(owner, arguments, budget);
    });

    private static object? Second(JinjaArguments arguments, object? value)
    {
        arguments.Take(1, "default");
        return value;
    }
}
