using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Numerics;
using System.Text;

namespace Perenos.Text.Templates;

internal delegate object? PythonStringMethod(string text, JinjaArguments arguments, JinjaBudget budget);

/// <summary>The methods of Python's str (https://docs.python.org/3/library/stdtypes.html#string-methods).</summary>
internal static class PythonStringMethods
{
    private static readonly SearchValues<char> LineEnds = SearchValues.Create("\n\r\v\f\u001c\u001d\u001e\u0085\u2028\u2029");

    private static readonly SearchValues<char> BlankValues = SearchValues.Create(PythonText.Blanks);

    private static readonly Dictionary<string, PythonStringMethod> All = new(StringComparer.Ordinal)
    {
        ["capitalize"] = (text, _, _) => PythonText.Capitalize(text),
        ["casefold"] = (text, _, _) => PythonText.Lower(text).Replace("ß", "ss", StringComparison.Ordinal),
        ["lower"] = (text, _, _) => PythonText.Lower(text),
        ["upper"] = (text, _, _) => PythonText.Upper(text),
        ["title"] = (text, _, _) => PythonText.Title(text),
        ["swapcase"] = (text, _, _) => string.Concat(text.Select(c => char.IsUpper(c) ? char.ToLowerInvariant(c) : char.ToUpperInvariant(c))),
        ["strip"] = (text, arguments, _) => Strip(text, arguments.Take(0, "chars"), true, true),
        ["lstrip"] = (text, arguments, _) => Strip(text, arguments.Take(0, "chars"), true, false),
        ["rstrip"] = (text, arguments, _) => Strip(text, arguments.Take(0, "chars"), false, true),
        ["startswith"] = (text, arguments, budget) => HasEnd(text, arguments, (whole, part) => whole.StartsWith(part, StringComparison.Ordinal), budget),
        ["endswith"] = (text, arguments, budget) => HasEnd(text, arguments, (whole, part) => whole.EndsWith(part, StringComparison.Ordinal), budget),
        ["removeprefix"] = (text, arguments, _) => arguments.Text(0, "prefix") is var prefix && text.StartsWith(prefix, StringComparison.Ordinal) ? text[prefix.Length..] : text,
        ["removesuffix"] = (text, arguments, _) => arguments.Text(0, "suffix") is var suffix && suffix.Length > 0 && text.EndsWith(suffix, StringComparison.Ordinal) ? text[..^suffix.Length] : text,
        ["split"] = (text, arguments, budget) => Strings(Split(text, arguments.Take(0, "sep"), JinjaOperators.ToIndex(arguments.Take(1, "maxsplit", BigInteger.MinusOne)), fromRight: false), budget),
        ["rsplit"] = (text, arguments, budget) => Strings(Split(text, arguments.Take(0, "sep"), JinjaOperators.ToIndex(arguments.Take(1, "maxsplit", BigInteger.MinusOne)), fromRight: true), budget),
        ["splitlines"] = (text, arguments, budget) => Strings(Lines(text, JinjaOperators.IsTrue(arguments.Take(0, "keepends", false))), budget),
        ["partition"] = (text, arguments, _) => Partition(text, arguments.Text(0, "sep"), fromRight: false),
        ["rpartition"] = (text, arguments, _) => Partition(text, arguments.Text(0, "sep"), fromRight: true),
        ["replace"] = (text, arguments, budget) => Replace(text, arguments.Text(0, "old"), arguments.Text(1, "new"), JinjaOperators.ToIndex(arguments.Take(2, "count", BigInteger.MinusOne)), budget),
        ["find"] = (text, arguments, _) => Find(text, arguments, fromRight: false),
        ["rfind"] = (text, arguments, _) => Find(text, arguments, fromRight: true),
        ["index"] = (text, arguments, _) => Found(Find(text, arguments, fromRight: false)),
        ["rindex"] = (text, arguments, _) => Found(Find(text, arguments, fromRight: true)),
        ["count"] = (text, arguments, _) => arguments.Text(0, "sub") is { Length: > 0 } part ? new BigInteger(text.Split(part).Length - 1) : new BigInteger(PythonText.Length(text) + 1),
        ["join"] = (text, arguments, budget) => Join(text, arguments.Need(0, "iterable"), budget),
        ["center"] = (text, arguments, budget) => Pad(text, arguments, 0, budget),
        ["ljust"] = (text, arguments, budget) => Pad(text, arguments, -1, budget),
        ["rjust"] = (text, arguments, budget) => Pad(text, arguments, 1, budget),
        ["zfill"] = (text, arguments, budget) => ZeroFill(text, JinjaOperators.ToIndex(arguments.Need(0, "width")), budget),
        ["format"] = (text, arguments, budget) => PythonFormat.Braces(text, arguments, (value, key, isItem) => isItem ? JinjaMethods.Item(value, key, budget) : JinjaMethods.Attribute(value, (string)key!, budget), budget),
        ["isspace"] = (text, _, _) => text.Length > 0 && text.All(PythonText.IsBlank),
        ["isalpha"] = (text, _, _) => text.Length > 0 && text.All(char.IsLetter),
        ["isdigit"] = (text, _, _) => text.Length > 0 && text.All(char.IsDigit),
        ["isdecimal"] = (text, _, _) => text.Length > 0 && text.All(char.IsDigit),
        ["isnumeric"] = (text, _, _) => text.Length > 0 && text.All(char.IsNumber),
        ["isalnum"] = (text, _, _) => text.Length > 0 && text.All(char.IsLetterOrDigit),
        ["isascii"] = (text, _, _) => text.All(char.IsAscii),
        ["islower"] = (text, _, _) => HasOneCase(text, isUpper: false),
        ["isupper"] = (text, _, _) => HasOneCase(text, isUpper: true),
        ["istitle"] = (text, _, _) => text.Any(char.IsLetter) && text == PythonText.Title(text),
    };

    public static bool TryGet(string name, [NotNullWhen(true)] out PythonStringMethod? method) => All.TryGetValue(name, out method);

    public static string Strip(string text, object? characters, bool atStart, bool atEnd)
    {
        if (characters is not null and not string)
            throw JinjaException.Type("strip arg must be None or str");
        var set = characters is string given ? SearchValues.Create(given) : BlankValues;
        int start = atStart ? text.AsSpan().IndexOfAnyExcept(set) : 0;
        return start < 0 ? "" : text[start..(atEnd ? text.AsSpan().LastIndexOfAnyExcept(set) + 1 : text.Length)];
    }

    private static bool HasEnd(string text, JinjaArguments arguments, Func<string, string, bool> test, JinjaBudget budget)
    {
        if (arguments.Need(0, "prefix") is JinjaList { IsTuple: true } tuple)
        {
            budget.Spend(8L * tuple.Take().Count);
            return tuple.Take().Any(part => test(text, part as string ?? throw JinjaException.Type("tuple must only contain str")));
        }

        return test(text, arguments.Text(0, "prefix"));
    }

    private static JinjaList Strings(IEnumerable<string> parts, JinjaBudget budget)
    {
        string[] all = [.. parts];
        budget.Spend(8L * all.Length); // a text each
        return new JinjaList(all);
    }

    private static IEnumerable<string> Split(string text, object? separator, int most, bool fromRight)
    {
        if (separator is not null and not string)
            throw JinjaException.Type($"must be str or None, not {JinjaOperators.TypeName(separator)}");
        if (separator is "")
            throw JinjaException.Value("empty separator");
        if (separator is string by && (most < 0 || !fromRight))
            return most < 0 ? text.Split(by) : text.Split(by, most == int.MaxValue ? most : most + 1);
        return separator is string right ? SplitFromRight(text, right, most) : SplitAtBlanks(text, most, fromRight);
    }

    private static List<string> SplitFromRight(string text, string separator, int most)
    {
        var parts = new List<string>();
        int end = text.Length;
        while (parts.Count < most && end >= separator.Length && text.AsSpan(0, end).LastIndexOf(separator) is >= 0 and var at)
        {
            parts.Add(text[(at + separator.Length)..end]);
            end = at;
        }

        parts.Add(text[..end]);
        parts.Reverse();
        return parts;
    }

    private static List<string> SplitAtBlanks(string text, int most, bool fromRight)
    {
        var parts = new List<string>();
        var rest = text.AsSpan();
        while (!(rest = fromRight ? rest[..(rest.LastIndexOfAnyExcept(BlankValues) + 1)] : From(rest, rest.IndexOfAnyExcept(BlankValues))).IsEmpty)
        {
            int at = parts.Count == most ? -1 : fromRight ? rest.LastIndexOfAny(BlankValues) : rest.IndexOfAny(BlankValues);
            parts.Add((at < 0 ? rest : fromRight ? rest[(at + 1)..] : rest[..at]).ToString());
            if (at < 0)
                break;
            rest = fromRight ? rest[..at] : rest[at..];
        }

        if (fromRight)
            parts.Reverse();
        return parts;

        static ReadOnlySpan<char> From(ReadOnlySpan<char> text, int start) => start < 0 ? [] : text[start..];
    }

    /// <summary>str.splitlines: more line ends than other places know.</summary>
    public static IEnumerable<string> Lines(string text, bool keepsEnds = false)
    {
        int start = 0;
        while (start < text.Length)
        {
            int end = text.AsSpan(start).IndexOfAny(LineEnds);
            if (end < 0)
            {
                yield return text[start..];
                yield break;
            }

            end += start;
            int next = end + (text[end] == '\r' && end + 1 < text.Length && text[end + 1] == '\n' ? 2 : 1);
            yield return text[start..(keepsEnds ? next : end)];
            start = next;
        }
    }

    private static JinjaList Partition(string text, string separator, bool fromRight)
    {
        if (separator.Length == 0)
            throw JinjaException.Value("empty separator");
        int at = fromRight ? text.LastIndexOf(separator, StringComparison.Ordinal) : text.IndexOf(separator, StringComparison.Ordinal);
        if (at < 0)
            return fromRight ? JinjaList.Tuple("", "", text) : JinjaList.Tuple(text, "", "");
        return JinjaList.Tuple(text[..at], separator, text[(at + separator.Length)..]);
    }

    public static string Replace(string text, string old, string with, int most, JinjaBudget budget)
    {
        if (old.Length == 0)
        {
            string[] points = PythonText.CodePoints(text);
            int places = most < 0 ? points.Length + 1 : Math.Min(most, points.Length + 1);
            budget.Spend(text.Length + ((long)with.Length * places));
            return string.Concat(points.Select((point, i) => i < places ? with + point : point)) + (places > points.Length ? with : "");
        }

        var result = new StringBuilder();
        int start = 0;
        for (int count = 0; most < 0 || count < most; count++)
        {
            int at = text.IndexOf(old, start, StringComparison.Ordinal);
            if (at < 0)
                break;
            result.Append(text, start, at - start).Append(with);
            start = at + old.Length;
            budget.Spend(result.Length > JinjaBudget.LongestText ? result.Length : 0);
        }

        return budget.Made(result.Append(text, start, text.Length - start).ToString());
    }

    private static BigInteger Find(string text, JinjaArguments arguments, bool fromRight)
    {
        string part = arguments.Text(0, "sub");
        object? start = arguments.Take(1, "start"), end = arguments.Take(2, "end");
        if (start is null && end is null)
            return PythonText.ToPoints(text, fromRight ? text.LastIndexOf(part, StringComparison.Ordinal) : text.IndexOf(part, StringComparison.Ordinal));
        var budget = new JinjaBudget();
        int first = (int)BigInteger.Max(0, JinjaOperators.ToIndex(start ?? BigInteger.Zero) is var from && from < 0 ? from + PythonText.Length(text) : from);
        string within = (string)JinjaOperators.Slice(text, start, end, null, budget);
        int at = PythonText.ToPoints(within, fromRight ? within.LastIndexOf(part, StringComparison.Ordinal) : within.IndexOf(part, StringComparison.Ordinal));
        return at < 0 ? at : at + first;
    }

    private static BigInteger Found(BigInteger at) => at.Sign < 0 ? throw JinjaException.Value("substring not found") : at;

    private static string Join(string separator, object? items, JinjaBudget budget)
    {
        var text = new StringBuilder();
        int index = 0;
        foreach (object? item in JinjaOperators.Items(items, budget))
        {
            if (item is not string part)
                throw JinjaException.Type($"sequence item {index}: expected str instance, {JinjaOperators.TypeName(item)} found");
            text.Append(index++ > 0 ? separator : "").Append(part);
            budget.Spend(text.Length > JinjaBudget.LongestText ? text.Length : 0);
        }

        return budget.Made(text.ToString());
    }

    private static string Pad(string text, JinjaArguments arguments, int side, JinjaBudget budget)
    {
        int width = JinjaOperators.ToIndex(arguments.Need(0, "width"));
        string fill = arguments.Take(1, "fillchar", " ") as string ?? "";
        if (PythonText.Length(fill) != 1)
            throw JinjaException.Type("The fill character must be exactly one character long");
        return Pad(text, width, fill, side, budget);
    }

    /// <summary>Text in a field: at its left (-1), in its middle (0) or at its right (1).</summary>
    public static string Pad(string text, int width, string fill, int side, JinjaBudget budget)
    {
        int missing = width - PythonText.Length(text);
        if (missing <= 0)
            return text;
        budget.Spend((long)missing * fill.Length);

        // An odd blank goes left where the width is odd: https://github.com/python/cpython, Objects/unicodeobject.c, unicode_center.
        int left = side < 0 ? 0 : side > 0 ? missing : (missing / 2) + (missing & width & 1);
        return string.Concat(Enumerable.Repeat(fill, left)) + text + string.Concat(Enumerable.Repeat(fill, missing - left));
    }

    private static string ZeroFill(string text, int width, JinjaBudget budget)
    {
        string sign = text.StartsWith('-') || text.StartsWith('+') ? text[..1] : "";
        return sign + Pad(text[sign.Length..], width - sign.Length, "0", 1, budget);
    }

    /// <summary>Whether all letters that have a case have this one, and there is such a letter.</summary>
    public static bool HasOneCase(string text, bool isUpper) =>
        text.Any(c => char.IsUpper(c) || char.IsLower(c)) && text.All(c => isUpper ? !char.IsLower(c) : !char.IsUpper(c));
}
