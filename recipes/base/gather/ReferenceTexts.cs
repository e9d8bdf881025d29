using System.Text;

namespace Perenos.Recipes.Gather;

/// <summary>A few held-out paragraphs, free to be passed on, that measure what a model forgets.</summary>
internal static class ReferenceTexts
{
    private const int PerLanguage = 30, Shortest = 120, Longest = 600, MostBytes = 14_000;
    private static readonly char[] CodeSigns = [.. "<>{}[]=|\\/_`"];

    /// <summary>Packages whose manuals carry one clear licence, read in their copyright files.</summary>
    private static readonly Dictionary<string, (string Source, string Licence)> Free = new()
    {
        ["apache2-doc"] = ("Apache HTTP Server documentation", "Apache-2.0"),
        ["postgresql-doc-15"] = ("PostgreSQL documentation", "PostgreSQL"),
        ["libreoffice-help-fr"] = ("LibreOffice help", "MPL-2.0"),
        ["libreoffice-help-en-us"] = ("LibreOffice help", "MPL-2.0"),
        ["debian-handbook"] = ("The Debian Administrator's Handbook", "CC-BY-SA-3.0 or GPL-2.0-or-later"),
        ["debian-reference-en"] = ("Debian Reference", "GPL-2.0-or-later"),
        ["debian-reference-fr"] = ("Debian Reference", "GPL-2.0-or-later"),
    };

    public static IEnumerable<object> Choose(IEnumerable<Document> heldOut)
    {
        foreach (string language in new[] { "en", "fr" })
        {
            // Packages take turns, so that one large manual does not fill the list.
            var turns = heldOut.Where(document => document.Kind == language && Free.ContainsKey(document.Package ?? "") && (language == "fr" || !document.Package!.EndsWith("-fr", StringComparison.Ordinal)))
                .SelectMany(document => document.Text.Split("\n\n"), (document, text) => (document.Package, Text: text))
                .Where(paragraph => paragraph.Text.Length is >= Shortest and <= Longest && PlainText.LetterShare(paragraph.Text) > 0.97 && paragraph.Text.IndexOfAny(CodeSigns) < 0)
                .GroupBy(paragraph => paragraph.Package!)
                .SelectMany(group => Draw.Shuffle(group, "reference", p => p.Text).Select((paragraph, turn) => (turn, paragraph)))
                .OrderBy(x => x.turn).ThenBy(x => x.paragraph.Package, StringComparer.Ordinal);
            int count = 0, bytes = 0;
            foreach (var (_, (package, text)) in turns)
            {
                bytes += Encoding.UTF8.GetByteCount(text);
                if (++count > PerLanguage || bytes > MostBytes)
                    break;
                yield return new { text, language, source = $"{Free[package!].Source} (Debian {package})", licence = Free[package!].Licence };
            }
        }
    }
}
