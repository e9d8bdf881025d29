using System.Text.RegularExpressions;

namespace Perenos.Recipes.Gather;

/// <summary>Tells a paragraph of running English or French from everything else a manual holds.</summary>
internal static partial class Prose
{
    private const int Shortest = 80, Longest = 1500;

    /// <summary>Function words make 35–50 % of running text in both languages, and under 15 % of lists and code.</summary>
    private const double StopShare = 0.25, OtherStopShare = 0.5, MostForeign = 0.08;

    /// <summary>Characters of text that excuse one sign of code. English manuals are plentiful, so they are judged more strictly.</summary>
    private const int EnglishPerSign = 300, FrenchPerSign = 150;

    /// <summary>The cleaned paragraph with its language ("en" or "fr"), or the reason for refusing it.</summary>
    public static (string Text, string Language)? Clean(string paragraph, out string refusal)
    {
        refusal = "";
        if (paragraph.Length < Shortest || paragraph.Length > 4 * Longest)
        {
            refusal = paragraph.Length < Shortest ? "too short" : "too long";
            return null;
        }

        string text = Spaces().Replace(PlainText.Normalise(paragraph), "$1");
        text = Leading().Replace(text, "");
        if (text.Length < Shortest)
            refusal = "too short";
        else if (text.Length > Longest)
            refusal = "too long";
        else if (!PlainText.IsLatin(text))
            refusal = "other scripts or unknown characters";
        else if (!Begins().IsMatch(text) || !Ends().IsMatch(text))
            refusal = "not whole sentences";
        else if (PlainText.LetterShare(text) < 0.93)
            refusal = "code, tables or markup";
        if (refusal.Length > 0)
            return null;

        var (english, french) = Words.StopShares(text);
        string? language = english >= StopShare && french < OtherStopShare * english ? "en"
            : french >= StopShare && english < OtherStopShare * french ? "fr" : null;
        int technical = Technical().Count(text);
        if (language is null || Words.ForeignShare(text) > MostForeign)
            refusal = "language unclear";
        else if (technical > (language == "en" ? text.Length / EnglishPerSign : 1 + text.Length / FrenchPerSign))
            refusal = "code, tables or markup";
        return refusal.Length > 0 ? null : (text, language!);
    }

    // The typographer's blank before , . ) is an extraction scar, never meant.
    [GeneratedRegex(@" ([,.)\]])(?=\s|$)")]
    private static partial Regex Spaces();

    [GeneratedRegex(@"^([•*·o-] |\(?\d{1,2}[.)] |\d+(\.\d+)+\.? )")]
    private static partial Regex Leading();

    [GeneratedRegex(@"^[""«(]?\s?\p{Lu}")]
    private static partial Regex Begins();

    [GeneratedRegex(@"[.!?][)""»\s]*$")]
    private static partial Regex Ends();

    // What running text may hold once in a while, but not often.
    [GeneratedRegex(@"[{}<>\\|=`^~@$*#%]|\w_\w|(?<!\w)--?\w|://|\w\(\)|/\w+/|&\w+;|\w\.\w|::|->|\[|[a-z][A-Z]|\d{5,}|(?<!\w)[A-Z]{4,}")]
    private static partial Regex Technical();
}
