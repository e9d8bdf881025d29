using System.Text;

namespace Perenos.Recipes.Gather;

/// <summary>Running text of a manual page in the man macros: https://man7.org/linux/man-pages/man7/man.7.html.</summary>
/// <remarks>Displays, tables, equations and pages in the mdoc macros are left out: their text is not prose.</remarks>
internal static class ManualPage
{
    /// <summary>Stands for a character the reader does not know; a paragraph with one is refused later.</summary>
    private const char Unknown = '\uFFFD';

    /// <summary>groff names of accented letters, each followed by the letter: 'e é.</summary>
    private const string Accented = "'eé`eè^eê:eë`aà^aâ:aä'aá`uù^uû:uü'uú^iî:iï'ií^oô:oö'oó,cç,CÇ'EÉ`EÈ^EÊ:EË`AÀ^AÂ:AÄ`UÙ^UÛ:UÜ^IÎ:IÏ^OÔ:OÖ~nñ";

    public static IEnumerable<string> Paragraphs(string page)
    {
        if (page.Contains("\n.Sh ", StringComparison.Ordinal))
            yield break;

        var text = new StringBuilder();
        string? until = null;        // the request that ends the display being skipped
        int braces = 0;
        bool tagFollows = false;
        foreach (string raw in page.Split('\n'))
        {
            string line = raw.TrimEnd('\r');
            if (braces > 0)
            {
                braces += Count(line, "\\{") - Count(line, "\\}");
                continue;
            }

            bool isRequest = line.Length > 0 && line[0] is '.' or '\'' && line.Length > 1;
            if (!isRequest && until is null)
            {
                if (line.Length == 0)
                {
                    yield return Take(text);
                    continue;
                }

                Append(text, Unescape(line), joined: false);
                if (tagFollows)
                {
                    text.Clear();
                    tagFollows = false;
                }

                continue;
            }

            if (!isRequest)
                continue;
            string body = line[1..].TrimStart();
            int space = body.IndexOf(' ', StringComparison.Ordinal);
            string request = space < 0 ? body : body[..space];
            string arguments = space < 0 ? "" : body[(space + 1)..].Trim();
            if (until is not null)
            {
                if (request == until || (until == "fi" && request is "SH" or "SS"))
                    until = null;
                continue;
            }

            switch (request)
            {
                case "if" or "ie" or "el":
                    braces = Math.Max(0, Count(line, "\\{") - Count(line, "\\}"));
                    break;
                case "de" or "ig":
                    until = ".";
                    break;
                case "nf" or "EX" or "Vb" or "TS" or "EQ":
                    yield return Take(text);
                    until = request switch { "nf" => "fi", "EX" => "EE", "Vb" => "Ve", "TS" => "TE", _ => "EN" };
                    break;
                case "TP" or "TQ":
                    yield return Take(text);
                    tagFollows = true;
                    break;
                case "SH" or "SS" or "PP" or "P" or "LP" or "IP" or "HP" or "sp" or "RS" or "RE" or "TH" or "Sp":
                    yield return Take(text);
                    tagFollows = false;
                    break;
                case "B" or "I" or "SM" or "SB":
                    Append(text, Unescape(string.Join(' ', Arguments(arguments))), joined: false);
                    ForgetTag();
                    break;
                case "BR" or "RB" or "IR" or "RI" or "BI" or "IB":
                    Append(text, Unescape(string.Concat(Arguments(arguments))), joined: false);
                    ForgetTag();
                    break;
                case "UE" or "ME":
                    Append(text, Unescape(arguments), joined: true);
                    break;
                default:
                    break;
            }
        }

        yield return Take(text);

        void ForgetTag()
        {
            if (!tagFollows)
                return;
            text.Clear();
            tagFollows = false;
        }
    }

    private static string Take(StringBuilder text)
    {
        string paragraph = text.ToString();
        text.Clear();
        return paragraph;
    }

    private static void Append(StringBuilder text, string words, bool joined)
    {
        bool glued = text.Length > 0 && text[^1] == '\u0001';   // left by \c
        if (glued)
            text.Length--;
        if (text.Length > 0 && !joined && !glued)
            text.Append(' ');
        text.Append(words);
    }

    private static int Count(string line, string what)
    {
        int count = 0;
        for (int at = line.IndexOf(what, StringComparison.Ordinal); at >= 0; at = line.IndexOf(what, at + 2, StringComparison.Ordinal))
            count++;
        return count;
    }

    /// <summary>Splits macro arguments: blanks separate, double quotes group, a doubled quote inside is one.</summary>
    private static List<string> Arguments(string line)
    {
        var found = new List<string>();
        var current = new StringBuilder();
        bool quoted = false, any = false;
        for (int i = 0; i < line.Length; i++)
        {
            char c = line[i];
            if (c == '\\' && i + 1 < line.Length)
            {
                current.Append(c).Append(line[++i]);
                any = true;
            }
            else if (c == '"')
            {
                if (quoted && i + 1 < line.Length && line[i + 1] == '"')
                    current.Append(line[++i]);
                else
                    quoted = !quoted;
                any = true;
            }
            else if (c == ' ' && !quoted)
            {
                if (any)
                    found.Add(current.ToString());
                current.Clear();
                any = false;
            }
            else
            {
                current.Append(c);
                any = true;
            }
        }

        if (any)
            found.Add(current.ToString());
        return found;
    }

    private static string Unescape(string line)
    {
        if (!line.Contains('\\', StringComparison.Ordinal))
            return line;
        var text = new StringBuilder(line.Length);
        int at = 0;
        while (at < line.Length)
        {
            char c = line[at++];
            if (c != '\\')
            {
                text.Append(c);
                continue;
            }

            if (at >= line.Length)
                break;
            char escape = line[at++];
            switch (escape)
            {
                case 'f' or 'm' or 'F':
                    Name(line, ref at);
                    break;
                case 's':
                    while (at < line.Length && (line[at] is '+' or '-' || char.IsAsciiDigit(line[at])))
                        at++;
                    break;
                case '-':
                    text.Append('-');
                    break;
                case 'e' or '\\':
                    text.Append('\\');
                    break;
                case ' ' or '~' or '0' or 't':
                    text.Append(' ');
                    break;
                case '{' or '}' or '&' or ':' or '/' or ',' or '|' or '^' or '%' or ')':
                    break;
                case 'c':
                    text.Append('\u0001');
                    at = line.Length;
                    break;
                case '\'':
                    text.Append('\'');
                    break;
                case '`':
                    text.Append('`');
                    break;
                case '"':
                    at = line.Length;      // comment
                    break;
                case '(' or '[':
                    at--;
                    text.Append(Glyph(Name(line, ref at)));
                    break;
                case '*':
                    text.Append(Glyph(Name(line, ref at)));
                    break;
                default:
                    text.Append(Unknown);
                    break;
            }
        }

        return text.ToString();
    }

    /// <summary>Reads x, (xx or [any]: the three spellings of a name after an escape.</summary>
    private static string Name(string line, ref int at)
    {
        if (at >= line.Length)
            return "";
        char open = line[at];
        if (open == '(')
        {
            int end = Math.Min(line.Length, at + 3);
            string two = line[(at + 1)..end];
            at = end;
            return two;
        }

        if (open == '[')
        {
            int end = line.IndexOf(']', at);
            if (end < 0)
                end = line.Length - 1;
            string name = line[(at + 1)..end];
            at = end + 1;
            return name;
        }

        at++;
        return open.ToString();
    }

    private static string Glyph(string name) => name switch
    {
        "aq" or "Aq" or "cq" or "oq" => "'",
        "dq" or "lq" or "rq" or "L\"" or "R\"" or "C`" or "C'" or "Bq" => "\"",
        "Fo" => "«",
        "Fc" => "»",
        "em" => "—",
        "en" => "–",
        "hy" or "mi" or "-" => "-",
        "--" => "–",
        "C+" => "C++",
        "at" => "@",
        "bu" => "•",
        "+-" => "±",
        "ti" => "~",
        "ha" => "^",
        "ga" => "`",
        "rs" => "\\",
        "co" => "©",
        "mc" => "µ",
        "de" => "°",
        "oe" => "œ",
        "OE" => "Œ",
        { Length: 2 } when Accented.IndexOf(name, StringComparison.Ordinal) is >= 0 and var at => Accented[at + 2].ToString(),
        ['u', .. var code] when int.TryParse(code, System.Globalization.NumberStyles.HexNumber, null, out int point) && point is > 31 and < 0xD800
            => ((char)point).ToString(),
        _ => Unknown.ToString(),
    };
}
