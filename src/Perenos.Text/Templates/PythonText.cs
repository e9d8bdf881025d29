using System.Globalization;
using System.Numerics;
using System.Text;

namespace Perenos.Text.Templates;

/// <summary>Strings as Python sees them: sequences of code points, with its own notions of blank, of quoting and of printing numbers.</summary>
internal static class PythonText
{
    private const int MostDigits = 400;

    /// <summary>What str.strip takes away.</summary>
    public static readonly char[] Blanks = [.. Enumerable.Range(0, 0x10000).Select(code => (char)code).Where(c => char.IsWhiteSpace(c) || c is >= '\u001c' and <= '\u001f')];

    public static bool IsBlank(char c) => char.IsWhiteSpace(c) || c is >= '\u001c' and <= '\u001f';

    /// <summary>Number of code points.</summary>
    public static int Length(string text)
    {
        int length = text.Length;
        for (int i = 1; i < text.Length; i++)
        {
            if (char.IsSurrogatePair(text[i - 1], text[i]))
                length--;
        }

        return length;
    }

    /// <summary>The code points, each as a string.</summary>
    public static string[] CodePoints(string text)
    {
        string[] points = new string[Length(text)];
        for (int i = 0, at = 0; i < points.Length; i++)
        {
            int size = char.IsSurrogatePair(text, at) ? 2 : 1;
            points[i] = text.Substring(at, size);
            at += size;
        }

        return points;
    }

    /// <summary>A place in UTF-16 units as a place in code points.</summary>
    public static int ToPoints(string text, int at) => at < 0 ? at : Length(text[..at]);

    /// <summary>Orders by code points, where UTF-16 would put emoji before some CJK forms.</summary>
    public static int Compare(string left, string right)
    {
        int count = Math.Min(left.Length, right.Length);
        for (int i = 0; i < count; i++)
        {
            if (left[i] != right[i])
                return char.IsSurrogate(left[i]) == char.IsSurrogate(right[i]) ? left[i].CompareTo(right[i]) : char.IsSurrogate(left[i]) ? 1 : -1;
        }

        return left.Length.CompareTo(right.Length);
    }

    public static string Upper(string text) => text.ToUpperInvariant().Replace("ß", "SS", StringComparison.Ordinal);

    public static string Lower(string text) => text.ToLowerInvariant();

    public static string Capitalize(string text) => Titled(text, isWordStart: _ => false);

    /// <summary>str.title: a capital after everything that is not a letter.</summary>
    public static string Title(string text) => Titled(text, isWordStart: before => !char.IsLetter(before));

    private static string Titled(string text, Func<char, bool> isWordStart)
    {
        var result = new StringBuilder(text.Length);
        for (int i = 0; i < text.Length; i++)
        {
            bool isStart = i == 0 || isWordStart(text[i - 1]);
            result.Append(!isStart ? char.ToLowerInvariant(text[i]) : text[i] == 'ß' ? "Ss" : char.ToUpperInvariant(text[i]).ToString());
        }

        return result.ToString();
    }

    /// <summary>repr of a string: in single quotes unless only double ones avoid escapes; what cannot be printed is escaped.</summary>
    public static string Quote(string text)
    {
        char quote = text.Contains('\'', StringComparison.Ordinal) && !text.Contains('"', StringComparison.Ordinal) ? '"' : '\'';
        var result = new StringBuilder(text.Length + 2).Append(quote);
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            if (c == quote || c == '\\')
                result.Append('\\').Append(c);
            else if (c is '\n' or '\r' or '\t')
                result.Append('\\').Append(c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
            else if (c is >= ' ' and <= '~')
                result.Append(c);
            else
                i += AppendPrintable(result, text, i);
        }

        return result.Append(quote).ToString();
    }

    // Returns how many UTF-16 units beyond the first were used.
    private static int AppendPrintable(StringBuilder result, string text, int at)
    {
        bool isPair = char.IsSurrogatePair(text, at);
        int code = isPair ? char.ConvertToUtf32(text, at) : text[at];
        var category = char.IsSurrogate(text[at]) && !isPair ? UnicodeCategory.Surrogate : CharUnicodeInfo.GetUnicodeCategory(code);
        bool isPrintable = category is not (UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.Surrogate or UnicodeCategory.PrivateUse
            or UnicodeCategory.OtherNotAssigned or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator or UnicodeCategory.SpaceSeparator);
        if (isPrintable)
            result.Append(text, at, isPair ? 2 : 1);
        else
            result.Append(code <= 0xFF ? $"\\x{code:x2}" : code <= 0xFFFF ? $"\\u{code:x4}" : $"\\U{code:x8}");
        return isPair ? 1 : 0;
    }

    /// <summary>repr of a float: the shortest digits that read back the same, with an exponent below 1e-4 and from 1e16 on.</summary>
    public static string Float(double value)
    {
        if (double.IsNaN(value))
            return "nan";
        if (double.IsInfinity(value))
            return value > 0 ? "inf" : "-inf";
        string sign = double.IsNegative(value) ? "-" : "";
        if (value == 0)
            return sign + "0.0";

        // .NET's "R" has the same digits, but other rules for where the exponent begins.
        string[] parts = Math.Abs(value).ToString("R", CultureInfo.InvariantCulture).Split('E');
        int point = parts[0].IndexOf('.', StringComparison.Ordinal) is var found && found < 0 ? parts[0].Length : found;
        string all = parts[0].Replace(".", "", StringComparison.Ordinal);
        string digits = all.TrimStart('0');
        int exponent = point - 1 - (all.Length - digits.Length) + (parts.Length > 1 ? int.Parse(parts[1], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture) : 0);
        digits = digits.TrimEnd('0');
        if (exponent is < -4 or >= 16)
            return $"{sign}{digits[0]}{(digits.Length > 1 ? "." : "")}{digits[1..]}e{(exponent < 0 ? '-' : '+')}{Math.Abs(exponent):00}";
        if (exponent < 0)
            return $"{sign}0.{new string('0', -exponent - 1)}{digits}";
        string whole = digits.PadRight(exponent + 1, '0');
        return $"{sign}{whole[..(exponent + 1)]}.{(whole.Length > exponent + 1 ? whole[(exponent + 1)..] : "0")}";
    }

    /// <summary>A float with a fixed number of decimals, ties to even, from its exact value.</summary>
    public static string Fixed(double value, int decimals)
    {
        if (!double.IsFinite(value))
            return Float(value);
        if (decimals is < 0 or > MostDigits)
            throw JinjaException.Value("too many decimals");
        long bits = BitConverter.DoubleToInt64Bits(value);
        int exponent = (int)((bits >> 52) & 0x7FF);
        BigInteger mantissa = bits & 0xFFFFFFFFFFFFF;
        if (exponent > 0)
            mantissa += BigInteger.One << 52;
        int shift = Math.Max(exponent, 1) - 1075;
        var scaled = mantissa * BigInteger.Pow(10, decimals);
        if (shift >= 0)
        {
            scaled <<= shift;
        }
        else
        {
            var quotient = BigInteger.DivRem(scaled, BigInteger.One << -shift, out var remainder);
            int half = (remainder << 1).CompareTo(BigInteger.One << -shift);
            scaled = half > 0 || (half == 0 && !quotient.IsEven) ? quotient + 1 : quotient;
        }

        string digits = scaled.ToString(CultureInfo.InvariantCulture).PadLeft(decimals + 1, '0');
        string sign = bits < 0 ? "-" : "";
        return decimals == 0 ? sign + digits : $"{sign}{digits[..^decimals]}.{digits[^decimals..]}";
    }
}
