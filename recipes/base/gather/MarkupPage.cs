using System.Net;
using System.Text;

namespace Perenos.Recipes.Gather;

/// <summary>Running text of an HTML, Mallard or DocBook page, one string per block.</summary>
internal static class MarkupPage
{
    private static readonly HashSet<string> Skipped = new(StringComparer.OrdinalIgnoreCase)
    {
        "script", "style", "pre", "head", "nav", "header", "footer", "table", "select", "svg", "math", "textarea", "object",
        "title", "info", "screen", "programlisting", "synopsis", "literallayout", "bookinfo", "articleinfo", "menuchoice", "keycombo",
        "credit", "desc", "links", "media", "mediaobject", "sup",
    };

    private static readonly HashSet<string> Inline = new(StringComparer.OrdinalIgnoreCase)
    {
        "a", "b", "i", "em", "strong", "code", "tt", "span", "font", "kbd", "var", "samp", "cite", "abbr", "acronym", "dfn", "q", "small", "big",
        "u", "s", "sub", "ins", "del", "label", "bdi", "wbr", "literal",
        "gui", "guiseq", "key", "keyseq", "app", "file", "link", "cmd", "sys", "input", "output", "em",
        "emphasis", "guilabel", "guimenu", "guimenuitem", "guibutton", "guiicon", "guisubmenu", "interface", "ulink", "xref", "filename", "command",
        "application", "option", "varname", "function", "quote", "keycap", "replaceable", "userinput", "computeroutput", "acronym", "phrase", "trademark",
        "productname", "systemitem", "firstterm", "glossterm", "envar", "parameter", "package", "email", "inlinemediaobject",
    };

    public static IEnumerable<string> Paragraphs(string page)
    {
        var text = new StringBuilder();
        int at = 0;
        while (at < page.Length)
        {
            int open = page.IndexOf('<', at);
            if (open < 0)
                open = page.Length;
            text.Append(page, at, open - at);
            if (open == page.Length)
                break;
            if (string.CompareOrdinal(page, open, "<!--", 0, 4) == 0)
            {
                int endOfComment = page.IndexOf("-->", open, StringComparison.Ordinal);
                at = endOfComment < 0 ? page.Length : endOfComment + 3;
                continue;
            }

            int close = page.IndexOf('>', open);
            if (close < 0)
                break;
            string name = TagName(page, open);
            bool ends = page[close - 1] == '/' || page[open + 1] == '/';
            at = close + 1;
            if (Inline.Contains(name))
                continue;
            if (name is "br" or "img" or "image")
            {
                text.Append(' ');
                continue;
            }

            yield return Take(text);
            if (!ends && Skipped.Contains(name))
                at = AfterElement(page, at, name);
        }

        yield return Take(text);
    }

    /// <summary>Position after the end tag that closes an element opened before <paramref name="at"/>, nested ones counted.</summary>
    private static int AfterElement(string page, int at, string name)
    {
        int depth = 1;
        while (depth > 0)
        {
            int open = page.IndexOf('<', at);
            if (open < 0)
                return page.Length;
            int close = page.IndexOf('>', open);
            if (close < 0)
                return page.Length;
            at = open + 1;
            if (!TagName(page, open).Equals(name, StringComparison.OrdinalIgnoreCase))
                continue;
            at = close + 1;
            if (page[open + 1] == '/')
                depth--;
            else if (page[close - 1] != '/')
                depth++;
        }

        return at;
    }

    private static string TagName(string page, int open)
    {
        int start = open + 1;
        if (start < page.Length && page[start] == '/')
            start++;
        int end = start;
        while (end < page.Length && (char.IsAsciiLetterOrDigit(page[end]) || page[end] is '-' or ':'))
            end++;
        int prefix = page.IndexOf(':', start, end - start);
        return page[(prefix < 0 ? start : prefix + 1)..end];
    }

    private static string Take(StringBuilder text)
    {
        string paragraph = WebUtility.HtmlDecode(text.ToString());
        text.Clear();
        return paragraph;
    }
}
