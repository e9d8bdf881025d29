using System.Text.RegularExpressions;

namespace Perenos.Recipes.Gather;

/// <summary>One string of a program and its translation, cleaned of what only the program needs.</summary>
internal sealed partial record Pair(string English, string French)
{
    private const int ShortestLetters = 2, LongestText = 600;

    /// <summary>The pair, or the reason for refusing it.</summary>
    public static Pair? Clean(string english, string french, out string refusal)
    {
        refusal = "";
        if (english.Length > 2 * LongestText || french.Length > 2 * LongestText)
            refusal = "too long";
        else if (french.Trim().Length == 0)
            refusal = "untranslated";
        else if (Technical().IsMatch(english) || Technical().IsMatch(french))
            refusal = "format directives, markup or identifiers";
        if (refusal.Length > 0)
            return null;

        string? plainEnglish = WithoutAccelerator(PlainText.Normalise(english)), plainFrench = WithoutAccelerator(PlainText.Normalise(french));
        if (plainEnglish is null || plainFrench is null)
            refusal = "format directives, markup or identifiers";
        else if (plainEnglish.Length > LongestText || plainFrench.Length > LongestText)
            refusal = "too long";
        else if (plainEnglish.Count(char.IsLetter) < ShortestLetters || plainFrench.Count(char.IsLetter) < ShortestLetters)
            refusal = "too short";
        else if (PlainText.Key(plainEnglish) == PlainText.Key(plainFrench))
            refusal = "untranslated";
        else if (!PlainText.IsLatin(plainEnglish) || !PlainText.IsLatin(plainFrench))
            refusal = "other scripts";
        else if (PlainText.LetterShare(plainEnglish) < 0.85 || PlainText.LetterShare(plainFrench) < 0.85)
            refusal = "few letters";
        else if (!LengthsAgree(plainEnglish.Length, plainFrench.Length))
            refusal = "lengths disagree";
        else if (!LanguagesAgree(plainEnglish, plainFrench))
            refusal = "wrong language";
        return refusal.Length > 0 ? null : new Pair(plainEnglish!, plainFrench!);
    }

    public string Text(bool fromEnglish) => fromEnglish ? $"English: {English}\nFrench: {French}" : $"French: {French}\nEnglish: {English}";

    private static bool LengthsAgree(int english, int french)
        => french <= 3 * english + 15 && english <= 2 * french + 12;

    private static bool LanguagesAgree(string english, string french)
    {
        var (englishInEnglish, frenchInEnglish) = Words.StopShares(english);
        var (englishInFrench, frenchInFrench) = Words.StopShares(french);
        if (frenchInEnglish > englishInEnglish + 0.15 || englishInFrench > frenchInFrench + 0.15)
            return false;
        return french.Length < 60 || (frenchInFrench > englishInFrench && englishInEnglish > frenchInEnglish);
    }

    /// <summary>Takes the mark of a keyboard accelerator out (_File, &amp;File, ~File); null when the marks mean something else.</summary>
    private static string? WithoutAccelerator(string text)
    {
        text = text.Replace("&&", "\u0001", StringComparison.Ordinal);
        foreach (char mark in "&_~")
        {
            int at = text.IndexOf(mark, StringComparison.Ordinal);
            if (at < 0)
                continue;
            if (mark == '&' && at > 0 && at + 1 < text.Length && text[at - 1] == ' ' && text[at + 1] == ' ')
                continue;      // the word "and"
            if (at + 1 >= text.Length || !char.IsLetterOrDigit(text[at + 1]) || text.IndexOf(mark, at + 1) >= 0 || text.Length > 80)
                return null;
            text = text.Remove(at, 1);
        }

        text = TrailingAccelerator().Replace(text.Replace('\u0001', '&'), "");
        return Bullet().Replace(text, "").Trim();
    }

    // printf and ICU directives, markup, shell variables, paths, switches, addresses, tabs, lists, names joined by underscores or dots.
    [GeneratedRegex(@"%[\w(%<\-.+#]|[{}<>\\$|=`^@]|\t|\w_\w+_|\w+_\w*[A-Z]|(?<![\w])--?\w|&\w+;|&#|://|www\.|/\w+/|\n\s*\n|\n\s*[-*•]|\*\*|\[\w|;;|#\w|""\w+\.\w+|\w\(\)|~~|\.\.\.\.|[a-z][A-Z][a-z]+[A-Z]|\w::|\w->|\[/|\]\(|\w\.\w+\.\w|:[A-Z]|[A-Z]+_|_[A-Z]{2}|[\x00-\x08]")]
    private static partial Regex Technical();

    [GeneratedRegex(@"\s*\([&_~]?[A-Z]\)(?=\.*$)")]
    private static partial Regex TrailingAccelerator();

    [GeneratedRegex(@"^[-*•·#>+\s]+|[\s:]+$")]
    private static partial Regex Bullet();
}
