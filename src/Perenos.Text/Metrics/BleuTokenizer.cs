using System.Globalization;
using System.Text;

namespace Perenos.Text.Metrics;

/// <summary>How BLEU cuts text into tokens before it counts: the choice is part of the score's signature.</summary>
public enum BleuTokenization
{
    /// <summary><c>13a</c>: the rules of the WMT evaluations (mteval-v13a); the default.</summary>
    Wmt13a,

    /// <summary><c>intl</c>: splits at Unicode punctuation and symbols (mteval-v14).</summary>
    International,

    /// <summary><c>zh</c>: every Chinese character is a token, the rest as in 13a without entities.</summary>
    Chinese,

    /// <summary><c>char</c>: every code point that is no white space.</summary>
    Character,

    /// <summary><c>none</c>: the text is tokenized already; cut at white space.</summary>
    None,
}

/// <summary>
/// The tokenizers of sacreBLEU (https://github.com/mjpost/sacrebleu/tree/master/sacrebleu/tokenizers). They work on code points,
/// and every rule is one pass from left to right in which matches do not overlap.
/// </summary>
internal static class BleuTokenizer
{
    public static string NameOf(BleuTokenization tokenization) => tokenization switch
    {
        BleuTokenization.Wmt13a => "13a",
        BleuTokenization.International => "intl",
        BleuTokenization.Chinese => "zh",
        BleuTokenization.Character => "char",
        _ => "none",
    };

    /// <summary>The tokens of one segment, white space at its end left out.</summary>
    public static List<string> Tokenize(string text, BleuTokenization tokenization)
    {
        text = MetricText.TrimEnd(text);
        return tokenization switch
        {
            BleuTokenization.Wmt13a => Words(SplitAscii(MetricText.CodePoints($" {WithoutMarkup(text)} "))),
            BleuTokenization.International => Words(SplitUnicode(MetricText.CodePoints(text))),
            BleuTokenization.Chinese => Words(SplitAscii(PadChinese(MetricText.CodePoints(MetricText.Trim(text))))),
            BleuTokenization.Character => Words(Surround(MetricText.CodePoints(text), _ => true)),
            _ => MetricText.Split(text),
        };
    }

    // The four entities are decoded one after another: &amp;lt; becomes <.
    private static string WithoutMarkup(string text) => text
        .Replace("<skipped>", "", StringComparison.Ordinal).Replace("-\n", "", StringComparison.Ordinal).Replace('\n', ' ')
        .Replace("&quot;", "\"", StringComparison.Ordinal).Replace("&amp;", "&", StringComparison.Ordinal)
        .Replace("&lt;", "<", StringComparison.Ordinal).Replace("&gt;", ">", StringComparison.Ordinal);

    // ASCII punctuation but ' - , . stands alone; a full stop or comma stays only between digits; a hyphen after a digit is cut.
    private static List<int> SplitAscii(List<int> text)
    {
        text = Surround(text, c => c is (>= '{' and <= '~') or (>= '[' and <= '`') or (>= ' ' and <= '&') or (>= '(' and <= '+')
            or (>= ':' and <= '@') or '/');
        text = Pairs(text, c => !IsDigit(c), c => c is '.' or ',', (first, second) => [first, ' ', second, ' ']);
        text = Pairs(text, c => c is '.' or ',', c => !IsDigit(c), (first, second) => [' ', first, ' ', second]);
        return Pairs(text, IsDigit, c => c == '-', (first, second) => [first, ' ', second, ' ']);
    }

    private static List<int> SplitUnicode(List<int> text)
    {
        text = Pairs(text, c => !IsNumber(c), IsPunctuation, (first, second) => [first, ' ', second, ' ']);
        text = Pairs(text, IsPunctuation, c => !IsNumber(c), (first, second) => [' ', first, ' ', second]);
        return Surround(text, IsSymbol);
    }

    private static List<int> PadChinese(List<int> text) => Surround(text, IsChinese);

    private static List<int> Surround(List<int> text, Func<int, bool> stands)
    {
        var result = new List<int>(text.Count * 2);
        foreach (int point in text)
        {
            if (stands(point))
                result.AddRange([' ', point, ' ']);
            else
                result.Add(point);
        }

        return result;
    }

    private static List<int> Pairs(List<int> text, Func<int, bool> first, Func<int, bool> second, Func<int, int, int[]> rewrite)
    {
        var result = new List<int>(text.Count + 16);
        for (int index = 0; index < text.Count; index++)
        {
            if (index + 1 < text.Count && first(text[index]) && second(text[index + 1]))
                result.AddRange(rewrite(text[index], text[++index]));
            else
                result.Add(text[index]);
        }

        return result;
    }

    private static List<string> Words(List<int> text)
    {
        var written = new StringBuilder(text.Count);
        foreach (int point in text)
        {
            if (point <= char.MaxValue)
                written.Append((char)point);
            else
                written.Append(char.ConvertFromUtf32(point));
        }

        return MetricText.Split(written.ToString());
    }

    private static bool IsDigit(int point) => point is >= '0' and <= '9';

    private static bool IsNumber(int point) => MetricText.CategoryOf(point)
        is UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber;

    private static bool IsPunctuation(int point) => MetricText.CategoryOf(point)
        is UnicodeCategory.ConnectorPunctuation or UnicodeCategory.DashPunctuation or UnicodeCategory.OpenPunctuation
        or UnicodeCategory.ClosePunctuation or UnicodeCategory.InitialQuotePunctuation or UnicodeCategory.FinalQuotePunctuation
        or UnicodeCategory.OtherPunctuation;

    private static bool IsSymbol(int point) => MetricText.CategoryOf(point)
        is UnicodeCategory.MathSymbol or UnicodeCategory.CurrencySymbol or UnicodeCategory.ModifierSymbol or UnicodeCategory.OtherSymbol;

    // The original writes U+20000–2A6D6 and U+2F800–2FA1D with four-digit escapes, which makes them U+2001–2A6D and U+2F81–2FA1.
    // Published scores contain that slip, so it is part of the definition: a euro sign or a curly quote is cut off like a Chinese
    // character, and a rare character beyond U+FFFF is not.
    private static bool IsChinese(int point) => point
        is (>= 0x3400 and <= 0x4DB5) or (>= 0x4E00 and <= 0x9FBB) or (>= 0xF900 and <= 0xFA2D) or (>= 0xFA30 and <= 0xFA6A)
        or (>= 0xFA70 and <= 0xFAD9) or (>= 0x2001 and <= 0x2A6D) or (>= 0x2F81 and <= 0x2FA1) or (>= 0xFF00 and <= 0xFFEF)
        or (>= 0x2E80 and <= 0x2EFF) or (>= 0x3000 and <= 0x303F) or (>= 0x31C0 and <= 0x31EF) or (>= 0x2F00 and <= 0x2FDF)
        or (>= 0x2FF0 and <= 0x2FFF) or (>= 0x3100 and <= 0x312F) or (>= 0x31A0 and <= 0x31BF) or (>= 0xFE10 and <= 0xFE1F)
        or (>= 0xFE30 and <= 0xFE4F) or (>= 0x3200 and <= 0x33FF);
}
