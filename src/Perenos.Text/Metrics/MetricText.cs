using System.Globalization;
using System.Text;

namespace Perenos.Text.Metrics;

/// <summary>
/// Text as Python sees it, because published scores were computed there: white space, lower-casing and printed decimals.
/// </summary>
internal static class MetricText
{
    /// <summary>Python's white space: .NET's and the four information separators.</summary>
    public static bool IsSpace(int codePoint) =>
        codePoint <= char.MaxValue && (char.IsWhiteSpace((char)codePoint) || codePoint is >= 0x1C and <= 0x1F);

    /// <summary>Words between white space, none of them empty (Python's str.split()).</summary>
    public static List<string> Split(string text)
    {
        var words = new List<string>();
        int start = -1;
        for (int index = 0; index <= text.Length; index++)
        {
            bool isSpace = index == text.Length || IsSpace(text[index]);
            if (!isSpace && start < 0)
                start = index;
            if (isSpace && start >= 0)
            {
                words.Add(text[start..index]);
                start = -1;
            }
        }

        return words;
    }

    /// <summary>Without white space at the end (Python's str.rstrip()).</summary>
    public static string TrimEnd(string text)
    {
        int end = text.Length;
        while (end > 0 && IsSpace(text[end - 1]))
            end--;
        return text[..end];
    }

    /// <summary>Without white space at either end (Python's str.strip()).</summary>
    public static string Trim(string text)
    {
        text = TrimEnd(text);
        int start = 0;
        while (start < text.Length && IsSpace(text[start]))
            start++;
        return text[start..];
    }

    /// <summary>Unicode code points; half a surrogate pair stays as it is, as in Python.</summary>
    public static List<int> CodePoints(string text)
    {
        var points = new List<int>(text.Length);
        for (int index = 0; index < text.Length; index++)
        {
            bool isPair = char.IsHighSurrogate(text[index]) && index + 1 < text.Length && char.IsLowSurrogate(text[index + 1]);
            points.Add(isPair ? char.ConvertToUtf32(text[index], text[++index]) : text[index]);
        }

        return points;
    }

    /// <summary>
    /// Full lower-casing as in Python's str.lower(): capital I with dot becomes two characters, and a capital sigma that ends a
    /// word becomes the final form (Unicode 3.13, https://www.unicode.org/versions/latest/core-spec/chapter-3/).
    /// </summary>
    public static string Lower(string text)
    {
        var points = CodePoints(text);
        var lower = new StringBuilder(text.Length);
        for (int index = 0; index < points.Count; index++)
        {
            int point = points[index];
            if (point == 'İ')
                lower.Append("i\u0307");
            else if (point == 'Σ')
                lower.Append(IsFinalSigma(points, index) ? 'ς' : 'σ');
            else if (Rune.IsValid(point))
                lower.Append(Rune.ToLowerInvariant(new Rune(point)).ToString());
            else
                lower.Append((char)point);
        }

        return lower.ToString();
    }

    /// <summary>
    /// A fixed number of decimals, exact ties to the even digit as C's printf does (.NET rounds them away from zero).
    /// </summary>
    public static string Fixed(double value, int decimals)
    {
        // A tie lies on a multiple of 2^-(decimals+1); scaling such a number by 10^decimals is exact.
        double grid = value * (1 << (decimals + 1));
        if (double.IsInteger(grid) && Math.Abs(grid) < 1L << 40)
        {
            double scale = Math.Pow(10, decimals);
            value = Math.Round(value * scale, MidpointRounding.ToEven) / scale;
        }

        return value.ToString("F" + decimals);
    }

    // Final: the nearest letter before (over marks and the like) is cased, the nearest after is not.
    private static bool IsFinalSigma(List<int> points, int index)
    {
        int before = index - 1;
        while (before >= 0 && IsCaseIgnorable(points[before]))
            before--;
        int after = index + 1;
        while (after < points.Count && IsCaseIgnorable(points[after]))
            after++;
        return before >= 0 && IsCased(points[before]) && !(after < points.Count && IsCased(points[after]));
    }

    private static bool IsCased(int point) => CategoryOf(point) is UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter
        or UnicodeCategory.TitlecaseLetter || point is 0xAA or 0xBA or (>= 0x2160 and <= 0x217F) or (>= 0x24B6 and <= 0x24E9);

    private static bool IsCaseIgnorable(int point) => CategoryOf(point) is UnicodeCategory.NonSpacingMark or UnicodeCategory.EnclosingMark
        or UnicodeCategory.Format or UnicodeCategory.ModifierLetter or UnicodeCategory.ModifierSymbol
        || point is '\'' or '.' or ':' or '·' or 0x387 or 0x55F or 0x5F4 or 0x2018 or 0x2019 or 0x2024 or 0x2027 or 0xFE13 or 0xFE52
            or 0xFE55 or 0xFF07 or 0xFF0E or 0xFF1A;

    /// <summary>The general category of a code point.</summary>
    public static UnicodeCategory CategoryOf(int point) => CharUnicodeInfo.GetUnicodeCategory(point);
}
