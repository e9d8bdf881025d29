using System.Globalization;
using System.Numerics;
using System.Text;

namespace Perenos.Text.Templates;

/// <summary>The functions that every chat template sees: those of Jinja, and raise_exception and strftime_now, which transformers adds.</summary>
internal static class JinjaGlobals
{
    // As in Jinja's sandbox.
    private const int LongestRange = 100_000;

    public static void AddTo(Dictionary<string, object?> variables, TimeProvider clock, JinjaBudget budget)
    {
        JinjaFunction[] functions =
        [
            new("range", arguments => Range(arguments, budget)),
            new("dict", arguments => Dict(arguments, budget)),
            new("namespace", arguments => Namespace(arguments, budget)),
            new("joiner", arguments => Joiner(arguments.Take(0, "sep", ", "))),
            new("cycler", arguments => Cycler(arguments.All())),
            new("raise_exception", arguments => throw new JinjaException(JinjaException.RaisedByTemplate, JinjaOperators.Print(arguments.Need(0, "message"), budget))),
            new("strftime_now", arguments => Format(clock.GetLocalNow(), arguments.Text(0, "format"))),
        ];
        foreach (var function in functions)
            variables[function.Name] = function;
    }

    private static JinjaList Range(JinjaArguments arguments, JinjaBudget budget)
    {
        int[] given = [.. arguments.All().Select(JinjaOperators.ToIndex)];
        var (start, stop, step) = given switch
        {
            [var only] => (0, only, 1),
            [var first, var end] => (first, end, 1),
            [var first, var end, var by] => (first, end, by),
            _ => throw JinjaException.Type($"range expected 1 to 3 arguments, got {given.Length}"),
        };
        if (step == 0)
            throw JinjaException.Value("range() arg 3 must not be zero");
        long count = Math.Max(0, ((long)stop - start + step - Math.Sign(step)) / step);
        if (count > LongestRange)
            throw new JinjaException("OverflowError", $"Range too big. The sandbox blocks ranges larger than MAX_RANGE ({LongestRange}).");
        budget.Spend(8 * count); // a number each
        return new JinjaList([.. Enumerable.Range(0, (int)count).Select(i => (object)new BigInteger(start + ((long)i * step)))], JinjaListKind.Range);
    }

    private static JinjaDict Dict(JinjaArguments arguments, JinjaBudget budget)
    {
        var dict = new JinjaDict();
        switch (arguments.All())
        {
            case []:
                break;
            case [JinjaDict source]:
                foreach (var (key, value) in source)
                    dict[key] = value;
                break;
            case [var pairs]:
                foreach (object? pair in JinjaOperators.Items(pairs, budget))
                {
                    var items = JinjaOperators.Items(pair, budget);
                    dict[items.Count == 2 ? items[0] : throw JinjaException.Value("dictionary update sequence needs pairs")] = items[1];
                }

                break;
            default:
                throw JinjaException.Type("dict expected at most 1 argument");
        }

        foreach (var (key, value) in arguments.AllKeywords())
            dict[key] = value;
        return dict;
    }

    private static JinjaNamespace Namespace(JinjaArguments arguments, JinjaBudget budget)
    {
        var space = new JinjaNamespace();
        foreach (var (key, value) in Dict(arguments, budget))
            space.Attributes[key] = value;
        return space;
    }

    private static JinjaFunction Joiner(object? separator)
    {
        bool isUsed = false;
        return new JinjaFunction("joiner", _ =>
        {
            object? result = isUsed ? separator : "";
            isUsed = true;
            return result;
        });
    }

    private static JinjaNamespace Cycler(IReadOnlyList<object?> items)
    {
        if (items.Count == 0)
            throw JinjaException.Type("at least one item has to be provided");
        var cycler = new JinjaNamespace();
        int at = 0;
        void Show() => cycler.Attributes["current"] = items[at];
        cycler.Attributes["next"] = new JinjaFunction("next", _ =>
        {
            object? current = items[at];
            at = (at + 1) % items.Count;
            Show();
            return current;
        });
        cycler.Attributes["reset"] = new JinjaFunction("reset", _ =>
        {
            at = 0;
            Show();
            return null;
        });
        Show();
        return cycler;
    }

    /// <summary>strftime (https://docs.python.org/3/library/datetime.html#format-codes) in English.</summary>
    internal static string Format(DateTimeOffset time, string format)
    {
        var text = new StringBuilder();
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%' || i + 1 == format.Length)
            {
                text.Append(format[i]);
                continue;
            }

            bool isUnpadded = format[i + 1] == '-' && i + 2 < format.Length;
            i += isUnpadded ? 2 : 1;
            string part = Part(time, format[i]);
            text.Append(isUnpadded ? part.TrimStart('0') is { Length: > 0 } digits ? digits : "0" : part);
        }

        return text.ToString();
    }

    private static string Part(DateTimeOffset time, char code) => code switch
    {
        'Y' => Text(time, "yyyy"),
        'y' => Text(time, "yy"),
        'm' => Text(time, "MM"),
        'd' => Text(time, "dd"),
        'e' => time.Day.ToString(CultureInfo.InvariantCulture).PadLeft(2),
        'B' => Text(time, "MMMM"),
        'b' or 'h' => Text(time, "MMM"),
        'A' => Text(time, "dddd"),
        'a' => Text(time, "ddd"),
        'H' => Text(time, "HH"),
        'I' => Text(time, "hh"),
        'M' => Text(time, "mm"),
        'S' => Text(time, "ss"),
        'f' => Text(time, "ffffff"),
        'p' => Text(time, "tt"),
        'j' => time.DayOfYear.ToString("000", CultureInfo.InvariantCulture),
        'u' => (time.DayOfWeek == DayOfWeek.Sunday ? 7 : (int)time.DayOfWeek).ToString(CultureInfo.InvariantCulture),
        'w' => ((int)time.DayOfWeek).ToString(CultureInfo.InvariantCulture),
        'F' => Text(time, "yyyy-MM-dd"),
        'T' or 'X' => Text(time, "HH:mm:ss"),
        'R' => Text(time, "HH:mm"),
        'D' or 'x' => Text(time, "MM/dd/yy"),
        'c' => $"{Text(time, "ddd MMM")} {time.Day,2} {Text(time, "HH:mm:ss yyyy")}",
        'n' => "\n",
        't' => "\t",
        'z' or 'Z' => "", // a time without zone, as datetime.now() gives
        '%' => "%",
        _ => "%" + code,
    };

    private static string Text(DateTimeOffset time, string format) => time.ToString(format, CultureInfo.InvariantCulture);
}
