using System.Buffers;
using System.Text;

namespace Perenos.Text.Tokenization;

/// <summary>
/// The way back from <see cref="MosesPreTokenizer"/>: pieces join at &lt;/w&gt;, words by the rules of the Moses detokenizer for English
/// (https://github.com/moses-smt/mosesdecoder/blob/master/scripts/tokenizer/detokenizer.perl). Some blanks of the text are lost.
/// </summary>
internal sealed class MosesDecoder : TokenDecoder
{
    public const string WordEnd = "</w>";

    private const string Hyphen = "@-@";

    private static readonly SearchValues<char> Closing = SearchValues.Create(",.?!:;\\%}])");
    private static readonly SearchValues<char> Quotes = SearchValues.Create("'\"„“`");

    // The order counts: "&amp;lt;" becomes "&lt;".
    private static readonly (string Escape, string Text)[] Escapes =
    [
        ("&bar;", "|"), ("&#124;", "|"), ("&lt;", "<"), ("&gt;", ">"), ("&bra;", "["), ("&ket;", "]"), ("&quot;", "\""), ("&apos;", "'"),
        ("&#91;", "["), ("&#93;", "]"), ("&amp;", "&"),
    ];

    public override List<string> Apply(List<string> tokens)
    {
        string text = string.Concat(tokens.Select(static token => token.Replace(" ", "", StringComparison.Ordinal).Replace(WordEnd, " ", StringComparison.Ordinal)));
        text = $" {string.Join(' ', Words(text))} ".Replace($" {Hyphen} ", "-", StringComparison.Ordinal);
        foreach (var (escape, plain) in Escapes)
            text = text.Replace(escape, plain, StringComparison.Ordinal);
        return [Joined(Words(text))];
    }

    /// <summary>All words but the last one that is known whole: a hyphen behind it would join it with the next.</summary>
    public override int Settled(IReadOnlyList<string> tokens)
    {
        int settled = 0;
        string before = "", word = "";
        for (int start = 0, index = 0; index < tokens.Count; index++)
        {
            word += tokens[index];
            if (!word.EndsWith(WordEnd, StringComparison.Ordinal))
                continue;
            if (before != Hyphen + WordEnd && word != Hyphen + WordEnd)
                settled = start;
            (before, word, start) = (word, "", index + 1);
        }

        return settled;
    }

    public override bool LooksFarBack => true;

    private static string Joined(List<string> words)
    {
        var text = new StringBuilder();
        var quotes = new Dictionary<string, int>();
        string blank = " ";
        for (int index = 0; index < words.Count; index++)
        {
            string word = words[index];
            bool joinsLeft = false, joinsRight = false;
            if (IsEastAsianAt(word, fromEnd: false))
                joinsLeft = index > 0 && IsEastAsianAt(words[index - 1], fromEnd: true);
            else if (word.EnumerateRunes().All(static rune => MosesCharacters.IsCurrency(rune.Value) || rune.Value is '(' or '[' or '{' or '¿' or '¡'))
                joinsRight = true;
            else if (!word.AsSpan().ContainsAnyExcept(Closing))
                joinsLeft = true;
            else if (index > 0 && word.Length > 1 && word[0] == '\'' && MosesCharacters.IsLetter(char.IsSurrogate(word[1]) ? 0 : word[1]))
                joinsLeft = true; // 's and its kin
            else if (!word.AsSpan().ContainsAnyExcept(Quotes))
                (joinsLeft, joinsRight) = Quote(word, index > 0 && words[index - 1].EndsWith('s'), quotes);

            text.Append(joinsLeft ? "" : blank).Append(word);
            blank = joinsRight ? "" : " ";
        }

        return text.ToString().Trim();
    }

    // Opening and closing quotes alternate; an apostrophe behind an s is a possessive.
    private static (bool JoinsLeft, bool JoinsRight) Quote(string word, bool isBehindS, Dictionary<string, int> quotes)
    {
        string kind = word.AsSpan().ContainsAnyExcept("„“") ? word : "\"";
        int count = quotes.GetValueOrDefault(kind);
        if (count % 2 == 0 && word == "'" && isBehindS)
            return (true, false);
        quotes[kind] = count + 1;
        return count % 2 == 0 ? (false, true) : (true, false);
    }

    private static bool IsEastAsianAt(string word, bool fromEnd)
    {
        var status = fromEnd ? Rune.DecodeLastFromUtf16(word, out var rune, out _) : Rune.DecodeFromUtf16(word, out rune, out _);
        return status == OperationStatus.Done && MosesCharacters.IsEastAsian(rune.Value);
    }

    private static List<string> Words(string text)
    {
        var words = new List<string>();
        for (int start = 0; start < text.Length; start++)
        {
            int end = start;
            while (end < text.Length && !MosesCharacters.IsBlank(text[end]))
                end++;
            if (end > start)
                words.Add(text[start..end]);
            start = end;
        }

        return words;
    }
}
