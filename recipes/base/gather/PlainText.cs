using System.Text;
using System.Text.RegularExpressions;

namespace Perenos.Recipes.Gather;

/// <summary>One spelling for blanks, quotes and dots, so that a small vocabulary is not spent on typography.</summary>
internal static partial class PlainText
{
    public static string Normalise(string text)
    {
        var plain = new StringBuilder(text.Length);
        bool blank = false;
        foreach (char c in text)
        {
            if (char.IsWhiteSpace(c) || c == '\u00A0' || c == '\u202F')
            {
                blank = true;
                continue;
            }

            string? spelled = c switch
            {
                '\u2019' or '\u2018' or '\u02BC' or '\u00B4' => "'",
                '\u201C' or '\u201D' or '\u201E' or '\u201F' => "\"",
                '\u2026' => "...",
                '\u2010' or '\u2011' or '\u2212' => "-",
                '\u00AD' or '\u200B' or '\u200C' or '\u200D' or '\u2060' or '\uFEFF' or '\u200E' or '\u200F' => "",
                _ => null,
            };
            if (spelled == "")
                continue;
            if (blank && plain.Length > 0)
                plain.Append(' ');
            blank = false;
            if (spelled is null)
                plain.Append(c);
            else
                plain.Append(spelled);
        }

        return Guillemets().Replace(plain.ToString(), m => m.Value.Trim() == "«" ? "« " : " »");
    }

    /// <summary>Letters and digits in lower case: two texts with one key say the same.</summary>
    public static string Key(string text)
    {
        var key = new StringBuilder(text.Length);
        foreach (char c in text)
        {
            if (char.IsLetterOrDigit(c))
                key.Append(char.ToLowerInvariant(c));
        }

        return key.Length > 0 ? key.ToString() : text;
    }

    /// <summary>True for the letters and marks of English and French; another script or a box drawing is not.</summary>
    public static bool IsLatin(string text)
    {
        foreach (char c in text)
        {
            bool known = c is >= ' ' and < '\u007F' || "àâäçéèêëîïôöùûüÿœæÀÂÄÇÉÈÊËÎÏÔÖÙÛÜŸŒÆñÑáíóúÁÍÓÚßåøÅØ«»–—°©®™€£µ×²³½¼•§".Contains(c, StringComparison.Ordinal);
            if (!known)
                return false;
        }

        return true;
    }

    /// <summary>Share of letters, spaces and the marks between words.</summary>
    public static double LetterShare(string text)
    {
        int letters = 0;
        foreach (char c in text)
        {
            if (char.IsLetter(c) || c is ' ' or ',' or '.' or '\'' or '-')
                letters++;
        }

        return text.Length == 0 ? 0 : letters / (double)text.Length;
    }

    [GeneratedRegex(@"« ?| ?»")]
    private static partial Regex Guillemets();
}
