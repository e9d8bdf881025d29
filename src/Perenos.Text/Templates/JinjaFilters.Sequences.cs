using System.Globalization;
using System.Numerics;
using System.Text;

namespace Perenos.Text.Templates;

/// <summary>Filters that take sequences apart and put them together.</summary>
internal static partial class JinjaFilters
{
    /// <summary>What an attribute argument ("a", "a.b", 0) reads from an item.</summary>
    private static Func<object?, object?> Getter(object? attribute, JinjaBudget budget, object? otherwise = null, bool hasDefault = false)
    {
        object?[] path = attribute switch
        {
            null => [],
            string text => [.. text.Split('.').Select(part => BigInteger.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out var index) ? (object)index : part)],
            _ => [attribute],
        };
        return item =>
        {
            foreach (object? key in path)
            {
                item = JinjaMethods.Item(item, key, budget);
                if (item is JinjaUndefined && hasDefault)
                    item = otherwise;
            }

            return item;
        };
    }

    private static object? WithoutCase(object? value, bool isCaseSensitive) => !isCaseSensitive && value is string text ? PythonText.Lower(text) : value;

    internal static List<T> Sorted<T>(IEnumerable<T> items, Func<T, object?> key, bool isReversed, JinjaBudget budget)
    {
        var order = Comparer<object?>.Create((left, right) => JinjaOperators.Compare(left, right, "<", budget));
        try
        {
            return [.. isReversed ? items.OrderByDescending(key, order) : items.OrderBy(key, order)];
        }
        catch (InvalidOperationException exception) when (exception.InnerException is JinjaException inner)
        {
            // The sort wraps what its comparison throws.
            throw new JinjaException(inner.Kind, inner.Message);
        }
    }

    private static JinjaList DictSort(object? value, JinjaArguments arguments, JinjaBudget budget)
    {
        bool isCaseSensitive = JinjaOperators.IsTrue(arguments.Take(0, "case_sensitive", false));
        object? by = arguments.Take(1, "by", "key");
        bool isReversed = JinjaOperators.IsTrue(arguments.Take(2, "reverse", false));
        if (value is not JinjaDict dict)
            throw value is JinjaUndefined undefined ? undefined.Error() : JinjaException.Type("dictsort needs a mapping");
        if (by is not ("key" or "value"))
            throw new JinjaException("FilterArgumentError", "You can only sort by either \"key\" or \"value\"");
        object? Key(KeyValuePair<object?, object?> item) => WithoutCase(by is "key" ? item.Key : item.Value, isCaseSensitive);
        return new JinjaList([.. Sorted(dict, Key, isReversed, budget).Select(item => JinjaList.Tuple(item.Key, item.Value))]);
    }

    private static JinjaList Sort(object? value, JinjaArguments arguments, JinjaBudget budget)
    {
        bool isReversed = JinjaOperators.IsTrue(arguments.Take(0, "reverse", false));
        bool isCaseSensitive = JinjaOperators.IsTrue(arguments.Take(1, "case_sensitive", false));
        object? attribute = arguments.Take(2, "attribute");
        Func<object?, object?>[] getters = attribute is string several ? [.. several.Split(',').Select(one => Getter(one, budget))] : [Getter(attribute, budget)];
        object? Key(object? item) => getters.Length == 1
            ? WithoutCase(getters[0](item), isCaseSensitive)
            : new JinjaList([.. getters.Select(get => WithoutCase(get(item), isCaseSensitive))]);
        return new JinjaList(Sorted(JinjaOperators.Items(value, budget), Key, isReversed, budget));
    }

    private static JinjaList GroupBy(object? value, JinjaArguments arguments, JinjaBudget budget)
    {
        var get = Getter(arguments.Need(0, "attribute"), budget, arguments.Take(1, "default"), arguments.Take(1, "default") is not null);
        bool isCaseSensitive = JinjaOperators.IsTrue(arguments.Take(2, "case_sensitive", false));
        object? Key(object? item) => WithoutCase(get(item), isCaseSensitive);
        var groups = new List<(object? Key, List<object?> Items)>();
        foreach (object? item in Sorted(JinjaOperators.Items(value, budget), Key, isReversed: false, budget))
        {
            if (groups.Count == 0 || !JinjaOperators.AreEqual(WithoutCase(groups[^1].Key, isCaseSensitive), Key(item), budget))
                groups.Add((get(item), []));
            groups[^1].Items.Add(item);
        }

        return new JinjaList([.. groups.Select(group => new JinjaList([group.Key, new JinjaList(group.Items)], JinjaListKind.Group))]);
    }

    private static JinjaList Pairs(object? value, JinjaArguments arguments, JinjaBudget budget) => value switch
    {
        JinjaUndefined => JinjaList.Generator([]),
        JinjaDict dict => JinjaList.Generator(dict.Select(item => JinjaList.Tuple(item.Key, item.Value))),
        _ => throw JinjaException.Type("Can only get item pairs from a mapping."),
    };

    private static string Join(object? value, JinjaArguments arguments, JinjaBudget budget)
    {
        string separator = JinjaOperators.Print(arguments.Take(0, "d", ""), budget);
        var get = Getter(arguments.Take(1, "attribute"), budget);
        var text = new StringBuilder();
        bool isFirst = true;
        foreach (object? item in JinjaOperators.Items(value, budget))
        {
            text.Append(isFirst ? "" : separator).Append(JinjaOperators.Print(get(item), budget));
            isFirst = false;
            budget.Spend(text.Length > JinjaBudget.LongestText ? text.Length : 0);
        }

        return budget.Made(text.ToString());
    }

    private static JinjaList Map(object? value, JinjaArguments arguments, JinjaBudget budget)
    {
        var items = JinjaOperators.Items(value, budget);
        if (arguments.Positional.Count == 0 && arguments.Keywords.TryGet("attribute", out object? attribute))
        {
            arguments.Take(0, "attribute");
            bool hasDefault = arguments.Keywords.TryGet("default", out object? otherwise);
            arguments.Take(1, "default");
            return JinjaList.Generator(items.Select(Getter(attribute, budget, otherwise, hasDefault)));
        }

        if (arguments.Positional.Count == 0)
            throw new JinjaException("FilterArgumentError", "map requires a filter argument");
        string name = arguments.Text(0, "filter");
        var rest = arguments.After(1);
        return JinjaList.Generator(items.Select(item => Run(name, item, rest.After(0), budget)));
    }

    private static JinjaList Select(object? value, JinjaArguments arguments, bool hasAttribute, bool keeps, JinjaBudget budget)
    {
        int used = hasAttribute ? 1 : 0;
        if (arguments.Positional.Count < used)
            throw new JinjaException("FilterArgumentError", "Missing parameter for attribute name");
        var get = Getter(hasAttribute ? arguments.All()[0] : null, budget);
        string? test = arguments.Positional.Count > used ? arguments.Text(used, "test") : null;
        var rest = arguments.After(used + 1);
        bool Holds(object? item) => test is null ? JinjaOperators.IsTrue(item) : JinjaTests.Run(test, item, rest.After(0), budget);
        return JinjaList.Generator(JinjaOperators.Items(value, budget).Where(item => Holds(get(item)) == keeps));
    }

    private static object? Extreme(object? value, JinjaArguments arguments, int sign, JinjaBudget budget)
    {
        bool isCaseSensitive = JinjaOperators.IsTrue(arguments.Take(0, "case_sensitive", false));
        var get = Getter(arguments.Take(1, "attribute"), budget);
        var items = JinjaOperators.Items(value, budget);
        if (items.Count == 0)
            return new JinjaUndefined("No aggregated item, sequence was empty.");
        object? Key(object? item) => WithoutCase(get(item), isCaseSensitive);
        return items.Aggregate((best, item) => JinjaOperators.Compare(Key(item), Key(best), sign > 0 ? ">" : "<", budget) * sign > 0 ? item : best);
    }

    private static JinjaList Unique(object? value, JinjaArguments arguments, JinjaBudget budget)
    {
        bool isCaseSensitive = JinjaOperators.IsTrue(arguments.Take(0, "case_sensitive", false));
        var get = Getter(arguments.Take(1, "attribute"), budget);
        var seen = new JinjaDict();
        var kept = new List<object?>();
        foreach (object? item in JinjaOperators.Items(value, budget))
        {
            object? key = WithoutCase(get(item), isCaseSensitive);
            budget.Touch(key);
            if (seen.TryGet(key, out _))
                continue;
            seen[key] = null;
            kept.Add(item);
        }

        return JinjaList.Generator(kept);
    }

    private static object? Sum(object? value, JinjaArguments arguments, JinjaBudget budget)
    {
        var get = Getter(arguments.Take(0, "attribute"), budget);
        object? start = arguments.Take(1, "start", BigInteger.Zero);
        return JinjaOperators.Items(value, budget).Aggregate(start, (total, item) => JinjaOperators.Binary("+", total, get(item), budget));
    }
}
