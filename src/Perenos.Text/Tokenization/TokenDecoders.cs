using System.Globalization;
using System.Text;

namespace Perenos.Text.Tokenization;

/// <summary>Joins all pieces into one.</summary>
internal sealed class FuseDecoder : TokenDecoder
{
    public override List<string> Apply(List<string> tokens) => [string.Concat(tokens)];
}

/// <summary>Replaces the matches of a pattern in each piece.</summary>
internal sealed class ReplaceDecoder(TextPattern pattern, string content) : TokenDecoder
{
    public override List<string> Apply(List<string> tokens) => tokens.ConvertAll(token =>
    {
        var matches = new List<TextRange>();
        pattern.FindMatches(token, matches);
        if (matches.Count == 0)
            return token;
        var result = new StringBuilder();
        int last = 0;
        foreach (var match in matches)
        {
            result.Append(token, last, match.Start - last).Append(content);
            last = match.End;
        }

        return result.Append(token, last, token.Length - last).ToString();
    });
}

/// <summary>Takes up to so many of a character from both ends of each piece.</summary>
internal sealed class StripDecoder(string content, int start, int stop) : TokenDecoder
{
    public override List<string> Apply(List<string> tokens) => tokens.ConvertAll(token =>
    {
        int first = 0, end = token.Length;
        for (int count = 0; count < start && token.AsSpan(first).StartsWith(content); count++)
            first += content.Length;
        for (int count = 0; count < stop && end - content.Length >= first && token.AsSpan(0, end).EndsWith(content); count++)
            end -= content.Length;
        return token[first..end];
    });
}

/// <summary>Turns runs of tokens such as &lt;0xE2&gt; into characters; bytes that are none become U+FFFD each.</summary>
internal sealed class ByteFallbackDecoder : TokenDecoder
{
    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    public override List<string> Apply(List<string> tokens)
    {
        var result = new List<string>();
        var bytes = new List<byte>();
        foreach (string token in tokens)
        {
            if (token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>'
                && byte.TryParse(token.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out byte value))
            {
                bytes.Add(value);
                continue;
            }

            Flush(bytes, result);
            result.Add(token);
        }

        Flush(bytes, result);
        return result;
    }

    private static void Flush(List<byte> bytes, List<string> result)
    {
        if (bytes.Count == 0)
            return;
        byte[] run = [.. bytes];
        bytes.Clear();
        if (System.Text.Unicode.Utf8.IsValid(run))
            result.Add(Strict.GetString(run));
        else
            result.AddRange(Enumerable.Repeat("\uFFFD", run.Length));
    }
}

/// <summary>The way back from <see cref="MetaspacePreTokenizer"/>; the blank put before the text is taken away.</summary>
internal sealed class MetaspaceDecoder(string replacement, PrependScheme scheme) : TokenDecoder
{
    public override List<string> Apply(List<string> tokens) =>
        [.. tokens.Select((token, index) => token.Replace(
            replacement, index == 0 && scheme != PrependScheme.Never ? "" : " ", StringComparison.Ordinal))];
}

/// <summary>The suffix at word ends becomes a blank, at the end of the text nothing.</summary>
internal sealed class BpeDecoder(string suffix) : TokenDecoder
{
    public override List<string> Apply(List<string> tokens) =>
        [.. tokens.Select((token, index) => Replaced(token, index == tokens.Count - 1 ? "" : " "))];

    private string Replaced(string token, string other) =>
        suffix.Length == 0 ? token : token.Replace(suffix, other, StringComparison.Ordinal);
}

/// <summary>Pieces with the prefix join the word before, others begin one; cleanup mends blanks before punctuation.</summary>
internal sealed class WordPieceDecoder(string prefix, bool cleanup) : TokenDecoder
{
    private static readonly (string From, string To)[] Mendings =
    [
        (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"), (" do not", " don't"),
        (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
    ];

    public override List<string> Apply(List<string> tokens) => [.. tokens.Select((token, index) =>
    {
        if (index > 0)
            token = token.StartsWith(prefix, StringComparison.Ordinal) ? token[prefix.Length..] : $" {token}";
        return cleanup ? Clean(token) : token;
    })];

    public static string Clean(string text) =>
        Mendings.Aggregate(text, static (current, mending) => current.Replace(mending.From, mending.To, StringComparison.Ordinal));
}

/// <summary>Connectionist temporal classification: repeats and padding go, delimiters become blanks.</summary>
internal sealed class CtcDecoder(string padToken, string delimiter, bool cleanup) : TokenDecoder
{
    public override List<string> Apply(List<string> tokens)
    {
        var result = new List<string>();
        string? previous = null;
        foreach (string token in tokens)
        {
            bool repeats = token == previous;
            previous = token;
            if (repeats)
                continue;
            string text = Replace(token, padToken, "");
            if (cleanup)
                text = Replace(WordPieceDecoder.Clean(text), delimiter, " ");
            if (text.Length > 0)
                result.Add(text);
        }

        return result;
    }

    private static string Replace(string text, string what, string with) =>
        what.Length == 0 ? text : text.Replace(what, with, StringComparison.Ordinal);
}
