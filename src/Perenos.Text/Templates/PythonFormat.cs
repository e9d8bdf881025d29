using System.Globalization;
using System.Numerics;
using System.Text;

namespace Perenos.Text.Templates;

/// <summary>Python's two formatting languages: "%s" % x (https://docs.python.org/3/library/stdtypes.html#old-string-formatting) and "{}".format(x).</summary>
internal static class PythonFormat
{
    private const int WidestField = 10_000;

    /// <summary>The parts of a format specification that both languages know.</summary>
    private sealed record Specification(char Fill, char Align, string Sign, bool IsAlternate, int Width, bool HasCommas, int? Precision, char Type);

    public static string Percent(string format, IReadOnlyList<object?> values, JinjaDict? mapping, JinjaBudget budget)
    {
        var text = new StringBuilder();
        int used = 0, at = 0;
        bool usesKeys = false;
        object? Next() => used < values.Count ? values[used++] : throw JinjaException.Type("not enough arguments for format string");
        while (at < format.Length)
        {
            char c = format[at++];
            if (c != '%')
            {
                text.Append(c);
                continue;
            }

            string? key = null;
            if (at < format.Length && format[at] == '(')
            {
                int end = format.IndexOf(')', at);
                if (end < 0)
                    throw JinjaException.Value("incomplete format key");
                key = format[(at + 1)..end];
                at = end + 1;
            }

            int flags = at;
            while (at < format.Length && format[at] is '-' or '+' or ' ' or '0' or '#')
                at++;
            string flag = format[flags..at];
            int width = Number(format, ref at, Next) ?? 0;
            int? precision = null;
            if (at < format.Length && format[at] == '.')
            {
                at++;
                precision = Number(format, ref at, Next) ?? 0;
            }

            while (at < format.Length && format[at] is 'l' or 'h' or 'L')
                at++;
            if (at >= format.Length)
                throw JinjaException.Value("incomplete format");
            char type = format[at++];
            if (type == '%')
            {
                text.Append('%');
                continue;
            }

            object? value = key is null ? Next() : mapping is null ? throw JinjaException.Type("format requires a mapping") : mapping.TryGet(key, out object? found) ? found : throw new JinjaException("KeyError", PythonText.Quote(key));
            usesKeys |= key is not null;
            char align = flag.Contains('-', StringComparison.Ordinal) || width < 0 ? '<' : flag.Contains('0', StringComparison.Ordinal) && type is not ('s' or 'r' or 'c') ? '=' : '>';
            text.Append(Old(value, type, new Specification(align == '=' ? '0' : ' ', align, flag.Contains('+', StringComparison.Ordinal) ? "+" : flag.Contains(' ', StringComparison.Ordinal) ? " " : "",
                flag.Contains('#', StringComparison.Ordinal), Math.Abs(width), false, precision, type), budget));
            budget.Spend(text.Length > 1 << 16 ? text.Length : 0);
        }

        if (!usesKeys && mapping is null && used < values.Count)
            throw JinjaException.Type("not all arguments converted during string formatting");
        return budget.Made(text.ToString());
    }

    private static int? Number(string format, ref int at, Func<object?> next)
    {
        if (at < format.Length && format[at] == '*')
        {
            at++;
            return CheckWidth(JinjaOperators.ToIndex(next()));
        }

        int start = at;
        while (at < format.Length && char.IsAsciiDigit(format[at]))
            at++;
        return at == start ? null : CheckWidth(int.TryParse(format.AsSpan(start, at - start), NumberStyles.None, CultureInfo.InvariantCulture, out int width) ? width : int.MaxValue);
    }

    private static int CheckWidth(int width) => Math.Abs((long)width) > WidestField ? throw JinjaException.Value("Too many decimal digits in format string") : width;

    private static string Old(object? value, char type, Specification specification, JinjaBudget budget)
    {
        switch (type)
        {
            case 's' or 'r' or 'a':
                string text = type == 's' ? JinjaOperators.Print(value, budget) : JinjaOperators.Repr(value, budget);
                return Pad(specification.Precision is { } length ? string.Concat(PythonText.CodePoints(text).Take(length)) : text, "", specification);
            case 'c':
                return Pad(value is string { Length: > 0 } one ? one : char.ConvertFromUtf32(Math.Clamp(JinjaOperators.ToIndex(value), 0, 0xD7FF)), "", specification);
            case 'd' or 'i' or 'u' or 'o' or 'x' or 'X' or 'e' or 'E' or 'f' or 'F' or 'g' or 'G':
                if (!JinjaOperators.IsNumber(value))
                    throw value is JinjaUndefined undefined ? undefined.Error() : JinjaException.Type($"%{type} format: a real number is required, not {JinjaOperators.TypeName(value)}");
                if (type is 'd' or 'i' or 'u' && value is double number)
                    value = double.IsFinite(number) ? new BigInteger(number) : throw JinjaException.Value("cannot convert float to integer");
                return OfNumber(value!, specification with { Type = type is 'i' or 'u' ? 'd' : type });
            default:
                throw JinjaException.Value($"unsupported format character '{type}'");
        }
    }

    /// <summary>text.format(…): fields by place or name, with attributes and items, conversions and specifications.</summary>
    public static string Braces(string format, JinjaArguments arguments, Func<object?, object?, bool, object?> access, JinjaBudget budget)
    {
        var (positional, keywords) = (arguments.All(), arguments.AllKeywords());
        var text = new StringBuilder();
        int next = 0;
        for (int at = 0; at < format.Length; at++)
        {
            char c = format[at];
            if (c is '{' or '}' && at + 1 < format.Length && format[at + 1] == c)
            {
                text.Append(c);
                at++;
            }
            else if (c == '}')
            {
                throw JinjaException.Value("Single '}' encountered in format string");
            }
            else if (c == '{')
            {
                int end = format.IndexOf('}', at);
                if (end < 0)
                    throw JinjaException.Value("expected '}' before end of string");
                text.Append(Field(format[(at + 1)..end], positional, keywords, ref next, access, budget));
                at = end;
            }
            else
            {
                text.Append(c);
            }

            budget.Spend(text.Length > 1 << 16 ? text.Length : 0);
        }

        return budget.Made(text.ToString());
    }

    private static string Field(string field, IReadOnlyList<object?> positional, JinjaDict keywords, ref int next, Func<object?, object?, bool, object?> access, JinjaBudget budget)
    {
        int colon = field.IndexOf(':', StringComparison.Ordinal);
        string specification = colon < 0 ? "" : field[(colon + 1)..];
        string name = colon < 0 ? field : field[..colon];
        char conversion = name.Length > 1 && name[^2] == '!' ? name[^1] : '\0';
        if (conversion != '\0')
            name = name[..^2];

        int root = name.IndexOfAny(['.', '[']) is var found && found < 0 ? name.Length : found;
        string first = name[..root];
        object? value;
        if (first.Length == 0 || int.TryParse(first, NumberStyles.None, CultureInfo.InvariantCulture, out _))
        {
            int place = first.Length == 0 ? next++ : int.Parse(first, CultureInfo.InvariantCulture);
            value = place < positional.Count ? positional[place] : throw new JinjaException("IndexError", $"Replacement index {place} out of range for positional args tuple");
        }
        else if (!keywords.TryGet(first, out value))
        {
            throw new JinjaException("KeyError", PythonText.Quote(first));
        }

        for (int at = root; at < name.Length;)
        {
            bool isItem = name[at] == '[';
            int end = isItem ? name.IndexOf(']', at) : name.IndexOfAny(['.', '['], at + 1);
            end = end < 0 ? isItem ? throw JinjaException.Value("Missing ']' in format string") : name.Length : end;
            string key = name[(at + 1)..end];
            value = access(value, isItem && BigInteger.TryParse(key, NumberStyles.None, CultureInfo.InvariantCulture, out var index) ? index : key, isItem);
            at = isItem ? end + 1 : end;
        }

        if (conversion == 'r')
            value = JinjaOperators.Repr(value, budget);
        else if (conversion == 's')
            value = JinjaOperators.Print(value, budget);
        return OfValue(value, specification, budget);
    }

    private static string OfValue(object? value, string text, JinjaBudget budget)
    {
        if (text.Length == 0)
            return JinjaOperators.Print(value, budget);
        bool isNumber = JinjaOperators.IsNumber(value);
        var specification = ParseSpecification(text, isNumber ? '>' : '<');
        if (isNumber)
            return OfNumber(value!, specification);
        string printed = JinjaOperators.Print(value, budget);
        return Pad(specification.Precision is { } length ? string.Concat(PythonText.CodePoints(printed).Take(length)) : printed, "", specification);
    }

    // [[fill]align][sign][#][0][width][,][.precision][type], https://docs.python.org/3/library/string.html#formatspec
    private static Specification ParseSpecification(string text, char align)
    {
        int at = 0;
        char fill = ' ';
        if (text.Length > 1 && text[1] is '<' or '>' or '^' or '=')
        {
            (fill, align) = (text[0], text[1]);
            at = 2;
        }
        else if (text[0] is '<' or '>' or '^' or '=')
        {
            align = text[0];
            at = 1;
        }

        bool Take(string set, out char taken)
        {
            taken = at < text.Length && set.Contains(text[at], StringComparison.Ordinal) ? text[at++] : '\0';
            return taken != '\0';
        }

        string sign = Take("+- ", out char signed) && signed != '-' ? signed.ToString() : "";
        bool isAlternate = Take("#", out _);
        if (Take("0", out _) && fill == ' ')
            (fill, align) = ('0', '=');
        int width = Number(text, ref at, () => null) ?? 0;
        bool hasCommas = Take(",", out _);
        int? precision = Take(".", out _) ? Number(text, ref at, () => null) ?? throw JinjaException.Value("Format specifier missing precision") : null;
        char type = at < text.Length ? text[at++] : '\0';
        if (at < text.Length || (type != '\0' && !"sdboxXeEfFgG%c".Contains(type, StringComparison.Ordinal)))
            throw JinjaException.Value("Invalid format specifier");
        return new Specification(fill, align, sign, isAlternate, width, hasCommas, precision, type);
    }

    private static string OfNumber(object value, Specification specification)
    {
        if (specification.Precision > 350)
            throw JinjaException.Value("too many decimals");
        char type = specification.Type == '\0' ? value is double ? 'r' : 'd' : specification.Type;
        string digits;
        if (type is 'd' or 'x' or 'X' or 'o' or 'b')
        {
            if (value is double)
                throw JinjaException.Value($"Unknown format code '{type}' for object of type 'float'");
            var number = JinjaOperators.ToInteger(value);
            var magnitude = BigInteger.Abs(number);
            string body = type == 'd' ? magnitude.ToString(CultureInfo.InvariantCulture) : Radix(magnitude, type);
            if (specification.Precision is { } least)
                body = body.PadLeft(least, '0');
            string prefix = specification.IsAlternate && type != 'd' ? $"0{type}" : "";
            digits = (number.Sign < 0 ? "-" : "") + prefix + (specification.HasCommas ? Grouped(body) : body);
        }
        else
        {
            digits = OfFloat(JinjaOperators.ToFloat(value), type, specification);
        }

        string sign = digits.StartsWith('-') ? "-" : specification.Sign;
        return Pad(digits.TrimStart('-'), sign, specification);
    }

    private static string OfFloat(double number, char type, Specification specification)
    {
        int precision = specification.Precision ?? 6;
        if (!double.IsFinite(number))
            return PythonText.Float(number);
        string digits = type switch
        {
            'r' => specification.Precision is null ? PythonText.Float(number) : General(number, precision),
            'f' or 'F' => PythonText.Fixed(number, precision),
            '%' => PythonText.Fixed(number * 100, precision) + "%",
            'e' or 'E' => Scientific(number, precision),
            _ => General(number, precision),
        };
        if (type is 'E' or 'G')
            digits = digits.ToUpperInvariant();
        if (!specification.HasCommas)
            return digits;
        int point = digits.IndexOf('.', StringComparison.Ordinal);
        return point < 0 ? Grouped(digits) : Grouped(digits[..point]) + digits[point..];
    }

    private static string Scientific(double number, int precision)
    {
        string text = number.ToString($"E{precision}", CultureInfo.InvariantCulture);
        int mark = text.IndexOf('E', StringComparison.Ordinal);
        int exponent = int.Parse(text.AsSpan(mark + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
        return $"{text[..mark]}e{(exponent < 0 ? '-' : '+')}{Math.Abs(exponent):00}";
    }

    private static string General(double number, int precision)
    {
        precision = Math.Max(precision, 1);
        string scientific = Scientific(number, precision - 1);
        int mark = scientific.IndexOf('e', StringComparison.Ordinal);
        int exponent = int.Parse(scientific.AsSpan(mark + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
        static string Short(string digits) => digits.Contains('.', StringComparison.Ordinal) ? digits.TrimEnd('0').TrimEnd('.') : digits;
        return exponent < -4 || exponent >= precision ? Short(scientific[..mark]) + scientific[mark..] : Short(PythonText.Fixed(number, precision - 1 - exponent));
    }

    private static string Radix(BigInteger value, char type)
    {
        int radix = type switch { 'o' => 8, 'b' => 2, _ => 16 };
        var digits = new StringBuilder();
        do
        {
            digits.Insert(0, "0123456789abcdef"[(int)(value % radix)]);
            value /= radix;
        }
        while (!value.IsZero);
        return type == 'X' ? digits.ToString().ToUpperInvariant() : digits.ToString();
    }

    private static string Grouped(string digits)
    {
        int start = digits.StartsWith('-') ? 1 : 0;
        for (int at = digits.Length - 3; at > start; at -= 3)
            digits = digits.Insert(at, ",");
        return digits;
    }

    private static string Pad(string body, string sign, Specification specification)
    {
        int missing = specification.Width - PythonText.Length(body) - sign.Length;
        if (missing <= 0)
            return sign + body;
        string fill = new(specification.Fill, missing);
        return specification.Align switch
        {
            '<' => sign + body + fill,
            '^' => new string(specification.Fill, missing / 2) + sign + body + new string(specification.Fill, missing - (missing / 2)),
            '=' => sign + fill + body,
            _ => fill + sign + body,
        };
    }
}
