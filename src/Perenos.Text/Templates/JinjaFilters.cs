using System.Globalization;
using System.Numerics;
using System.Text;
using System.Text.RegularExpressions;

namespace Perenos.Text.Templates;

/// <summary>The filters after "|" (https://jinja.palletsprojects.com/en/stable/templates/#list-of-builtin-filters), without those that make HTML pages or random choices.</summary>
internal static partial class JinjaFilters
{
    private delegate object? Filter(object? value, JinjaArguments arguments, JinjaBudget budget);

    private static readonly Dictionary<string, Filter> All = Build();

    public static bool Exists(string name) => All.ContainsKey(name);

    public static object? Run(string name, object? value, JinjaArguments arguments, JinjaBudget budget)
    {
        if (!All.TryGetValue(name, out var filter))
            throw new JinjaException("TemplateRuntimeError", $"No filter named '{name}'.");
        budget.Touch(value);
        budget.Touch(arguments);
        object? result = filter(value, arguments, budget);
        arguments.CheckAllTaken(name);
        return result;
    }

    private static Dictionary<string, Filter> Build()
    {
        var filters = new Dictionary<string, Filter>(StringComparer.Ordinal)
        {
            ["abs"] = (value, _, _) => value is double number ? Math.Abs(number) : BigInteger.Abs(JinjaOperators.ToInteger(Number(value))),
            ["attr"] = (value, arguments, budget) => JinjaMethods.Attribute(value, arguments.Text(0, "name"), budget),
            ["batch"] = (value, arguments, budget) => Batch(JinjaOperators.Items(value, budget), arguments),
            ["slice"] = (value, arguments, budget) => Slices(JinjaOperators.Items(value, budget), arguments),
            ["capitalize"] = (value, _, budget) => PythonText.Capitalize(JinjaOperators.Print(value, budget)),
            ["center"] = (value, arguments, budget) => PythonStringMethods.Pad(JinjaOperators.Print(value, budget), JinjaOperators.ToIndex(arguments.Take(0, "width", new BigInteger(80))), " ", 0, budget),
            ["default"] = (value, arguments, _) => Default(value, arguments.Take(0, "default_value", ""), arguments.Take(1, "boolean", false)),
            ["dictsort"] = DictSort,
            ["escape"] = (value, _, budget) => Escape(JinjaOperators.Print(value, budget)),
            ["forceescape"] = (value, _, budget) => Escape(JinjaOperators.Print(value, budget)),
            ["first"] = (value, _, budget) => JinjaOperators.Items(value, budget) is [var first, ..] ? first : new JinjaUndefined("No first item, sequence was empty."),
            ["last"] = (value, _, budget) => JinjaOperators.Items(value, budget) is [.., var last] ? last : new JinjaUndefined("No last item, sequence was empty."),
            ["float"] = (value, arguments, _) => ToFloat(value) is { } number ? number : arguments.Take(0, "default", 0.0),
            ["int"] = ToInteger,
            ["format"] = (value, arguments, budget) => Format(JinjaOperators.Print(value, budget), arguments, budget),
            ["groupby"] = GroupBy,
            ["indent"] = (value, arguments, budget) => Indent(JinjaOperators.Print(value, budget), arguments, budget),
            ["items"] = Pairs,
            ["join"] = Join,
            ["length"] = (value, _, _) => JinjaOperators.Length(value),
            ["list"] = (value, _, budget) => new JinjaList(JinjaOperators.Items(value, budget)),
            ["lower"] = (value, _, budget) => PythonText.Lower(JinjaOperators.Print(value, budget)),
            ["upper"] = (value, _, budget) => PythonText.Upper(JinjaOperators.Print(value, budget)),
            ["map"] = Map,
            ["max"] = (value, arguments, budget) => Extreme(value, arguments, 1, budget),
            ["min"] = (value, arguments, budget) => Extreme(value, arguments, -1, budget),
            ["reject"] = (value, arguments, budget) => Select(value, arguments, hasAttribute: false, keeps: false, budget),
            ["rejectattr"] = (value, arguments, budget) => Select(value, arguments, hasAttribute: true, keeps: false, budget),
            ["select"] = (value, arguments, budget) => Select(value, arguments, hasAttribute: false, keeps: true, budget),
            ["selectattr"] = (value, arguments, budget) => Select(value, arguments, hasAttribute: true, keeps: true, budget),
            ["replace"] = (value, arguments, budget) => PythonStringMethods.Replace(JinjaOperators.Print(value, budget), JinjaOperators.Print(arguments.Need(0, "old"), budget),
                JinjaOperators.Print(arguments.Need(1, "new"), budget), arguments.Take(2, "count") is { } count ? JinjaOperators.ToIndex(count) : -1, budget),
            ["reverse"] = (value, _, budget) => value is string ? string.Concat(JinjaOperators.Items(value, budget).Reverse()) : JinjaList.Generator(JinjaOperators.Items(value, budget).Reverse()),
            ["round"] = (value, arguments, _) => Round(Number(value), JinjaOperators.ToIndex(arguments.Take(0, "precision", BigInteger.Zero)), arguments.Take(1, "method", "common")),
            ["safe"] = (value, _, budget) => JinjaOperators.Print(value, budget),
            ["sort"] = Sort,
            ["string"] = (value, _, budget) => JinjaOperators.Print(value, budget),
            ["striptags"] = (value, _, budget) => string.Join(' ', WithoutTags(JinjaOperators.Print(value, budget)).Split(PythonText.Blanks, StringSplitOptions.RemoveEmptyEntries)),
            ["sum"] = Sum,
            ["title"] = (value, _, budget) => string.Concat(WordStarts().Split(JinjaOperators.Print(value, budget)).Where(part => part.Length > 0).Select(PythonText.Capitalize)),
            ["tojson"] = JinjaJson.Write,
            ["trim"] = (value, arguments, budget) => PythonStringMethods.Strip(JinjaOperators.Print(value, budget), arguments.Take(0, "chars"), true, true),
            ["truncate"] = (value, arguments, budget) => Truncate(JinjaOperators.Print(value, budget), arguments),
            ["unique"] = Unique,
            ["urlencode"] = (value, _, budget) => Uri.EscapeDataString(JinjaOperators.Print(value, budget)).Replace("%2F", "/", StringComparison.Ordinal),
            ["wordcount"] = (value, _, budget) => new BigInteger(Words().Count(JinjaOperators.Print(value, budget))),
        };
        filters["d"] = filters["default"];
        filters["e"] = filters["escape"];
        filters["count"] = filters["length"];
        return filters;
    }

    private static object Number(object? value) => value switch
    {
        BigInteger or double or bool => value,
        JinjaUndefined undefined => throw undefined.Error(),
        _ => throw JinjaException.Type($"a number is needed, not {JinjaOperators.TypeName(value)}"),
    };

    private static object? Default(object? value, object? otherwise, object? isForFalse) =>
        value is JinjaUndefined || (JinjaOperators.IsTrue(isForFalse) && !JinjaOperators.IsTrue(value)) ? otherwise : value;

    private static string Escape(string text) => text.Replace("&", "&amp;", StringComparison.Ordinal).Replace(">", "&gt;", StringComparison.Ordinal)
        .Replace("<", "&lt;", StringComparison.Ordinal).Replace("'", "&#39;", StringComparison.Ordinal).Replace("\"", "&#34;", StringComparison.Ordinal);

    // (<!--.*?-->|<[^>]*>) taken away; a search that fails once would fail behind it too.
    private static string WithoutTags(string text)
    {
        var kept = new StringBuilder(text.Length);
        bool hasCommentEnd = true, hasTagEnd = true;
        for (int at = 0; at < text.Length;)
        {
            int open = hasCommentEnd || hasTagEnd ? text.IndexOf('<', at) : -1;
            kept.Append(text, at, (open < 0 ? text.Length : open) - at);
            if (open < 0)
                break;
            int end = -1;
            if (hasCommentEnd && string.CompareOrdinal(text, open, "<!--", 0, 4) == 0 && text.IndexOf("-->", open + 4, StringComparison.Ordinal) is var comment)
                (hasCommentEnd, end) = (comment >= 0, comment < 0 ? -1 : comment + 3);
            if (end < 0 && hasTagEnd && text.IndexOf('>', open) is var close)
                (hasTagEnd, end) = (close >= 0, close + 1);
            if (end <= open)
                kept.Append('<');
            at = Math.Max(end, open + 1);
        }

        return kept.ToString();
    }

    private static JinjaList Batch(IReadOnlyList<object?> items, JinjaArguments arguments)
    {
        int size = JinjaOperators.ToIndex(arguments.Need(0, "linecount"));
        object? fill = arguments.Take(1, "fill_with");
        if (size < 1)
            throw JinjaException.Value("batch needs at least 1 item a line");
        return JinjaList.Generator(items.Chunk(size).Select(line => new JinjaList(fill is null ? line : [.. line, .. Enumerable.Repeat(fill, Math.Min(size - line.Length, 10_000))])));
    }

    private static JinjaList Slices(IReadOnlyList<object?> items, JinjaArguments arguments)
    {
        int slices = JinjaOperators.ToIndex(arguments.Need(0, "slices"));
        object? fill = arguments.Take(1, "fill_with");
        if (slices is < 1 or > 10_000)
            throw JinjaException.Value("slice needs between 1 and 10,000 slices");
        int size = items.Count / slices, longer = items.Count % slices, start = 0;
        var result = new List<object?>();
        for (int i = 0; i < slices; i++)
        {
            int count = size + (i < longer ? 1 : 0);
            var part = items.Skip(start).Take(count);
            result.Add(new JinjaList([.. fill is not null && i >= longer ? part.Append(fill) : part]));
            start += count;
        }

        return JinjaList.Generator(result);
    }

    private static double? ToFloat(object? value)
    {
        if (JinjaOperators.IsNumber(value))
            return JinjaOperators.ToFloat(value!);
        if (value is not string text)
            return null;
        string digits = text.Trim(PythonText.Blanks).Replace("_", "", StringComparison.Ordinal);
        return digits.ToLowerInvariant().TrimStart('+') switch
        {
            "inf" or "infinity" => double.PositiveInfinity,
            "-inf" or "-infinity" => double.NegativeInfinity,
            "nan" or "-nan" => double.NaN,
            _ => double.TryParse(digits, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) ? number : null,
        };
    }

    private static object? ToInteger(object? value, JinjaArguments arguments, JinjaBudget budget)
    {
        object? otherwise = arguments.Take(0, "default", BigInteger.Zero);
        int radix = JinjaOperators.ToIndex(arguments.Take(1, "base", new BigInteger(10)));
        if (value is BigInteger or bool)
            return JinjaOperators.ToInteger(value);
        if (value is string text && Integer(text.Trim(PythonText.Blanks).Replace("_", "", StringComparison.Ordinal), radix, budget) is { } number)
            return number;
        return ToFloat(value) is { } real && double.IsFinite(real) ? new BigInteger(real) : otherwise;
    }

    private static BigInteger? Integer(string text, int radix, JinjaBudget budget)
    {
        string sign = text.StartsWith('-') || text.StartsWith('+') ? text[..1] : "";
        string digits = text[sign.Length..];
        string prefix = radix switch { 16 => "0x", 8 => "0o", 2 => "0b", _ => "" };
        if (prefix.Length > 0 && digits.StartsWith(prefix, StringComparison.OrdinalIgnoreCase))
            digits = digits[2..];
        budget.Spend((long)digits.Length * digits.Length / 64);
        var value = BigInteger.Zero;
        foreach (char c in digits)
        {
            int digit = char.IsAsciiDigit(c) ? c - '0' : char.IsAsciiLetter(c) ? char.ToLowerInvariant(c) - 'a' + 10 : radix;
            if (digit >= radix)
                return null;
            value = (value * radix) + digit;
        }

        return digits.Length == 0 ? null : sign == "-" ? -value : value;
    }

    private static string Format(string text, JinjaArguments arguments, JinjaBudget budget)
    {
        var (values, keywords) = (arguments.All(), arguments.AllKeywords());
        if (values.Count > 0 && keywords.Count > 0)
            throw JinjaException.Type("can't handle positional and keyword arguments at the same time");
        return keywords.Count > 0 ? PythonFormat.Percent(text, [keywords], keywords, budget) : PythonFormat.Percent(text, values, values is [JinjaDict only] ? only : null, budget);
    }

    private static string Indent(string text, JinjaArguments arguments, JinjaBudget budget)
    {
        object? width = arguments.Take(0, "width", new BigInteger(4));
        bool indentsFirst = JinjaOperators.IsTrue(arguments.Take(1, "first", false)), indentsBlank = JinjaOperators.IsTrue(arguments.Take(2, "blank", false));
        int count = width is string ? 0 : JinjaOperators.ToIndex(width);
        budget.Spend(Math.Max(count, 0));
        string indent = width as string ?? new string(' ', Math.Max(count, 0));
        string[] lines = [.. PythonStringMethods.Lines(text + "\n")];
        budget.Spend((long)lines.Length * indent.Length);
        return string.Join('\n', lines.Select((line, i) => (i == 0 ? indentsFirst : indentsBlank || line.Length > 0) ? indent + line : line));
    }

    private static string Truncate(string text, JinjaArguments arguments)
    {
        int length = JinjaOperators.ToIndex(arguments.Take(0, "length", new BigInteger(255)));
        bool killsWords = JinjaOperators.IsTrue(arguments.Take(1, "killwords", false));
        string end = arguments.Take(2, "end", "...") as string ?? throw JinjaException.Type("end must be str");
        int leeway = arguments.Take(3, "leeway") is { } given ? JinjaOperators.ToIndex(given) : 5;
        string[] points = PythonText.CodePoints(text);
        int kept = length - PythonText.Length(end);
        if (kept < 0 || leeway < 0)
            throw JinjaException.Value("the length must hold the end");
        if (points.Length <= (long)length + leeway)
            return text;
        string cut = string.Concat(points.Take(kept));
        int blank = cut.LastIndexOf(' ');
        return (killsWords || blank < 0 ? cut : cut[..blank]) + end;
    }

    private static object Round(object value, int precision, object? method)
    {
        if (method is not ("common" or "ceil" or "floor"))
            throw new JinjaException("FilterArgumentError", "method must be common, ceil or floor");
        if (Math.Abs(precision) > 300)
            throw JinjaException.Value("too many decimals");
        double number = JinjaOperators.ToFloat(value);
        if (method is not "common")
        {
            double scale = Math.Pow(10, precision);
            return (method is "ceil" ? Math.Ceiling(number * scale) : Math.Floor(number * scale)) / scale;
        }

        if (value is not double && precision >= 0)
            return JinjaOperators.ToInteger(value);
        if (precision < 0)
        {
            double scale = Math.Pow(10, -precision);
            double rounded = Math.Round(number / scale, MidpointRounding.ToEven) * scale;
            return value is double ? rounded : new BigInteger(rounded);
        }

        return double.Parse(PythonText.Fixed(number, precision), NumberStyles.Float, CultureInfo.InvariantCulture);
    }

    [GeneratedRegex(@"([-\s({\[<]+)")]
    private static partial Regex WordStarts();

    [GeneratedRegex(@"\w+")]
    private static partial Regex Words();
}
