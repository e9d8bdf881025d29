using System.Text;

namespace Perenos.Text.Tokenization;

/// <summary>What a tokenizer makes of some texts.</summary>
/// <param name="Tokens">Tokens altogether.</param>
/// <param name="BytesPerToken">Bytes of UTF-8 behind one token, on average.</param>
/// <param name="TokensPerWord">Tokens for one word between blanks, on average (fertility).</param>
/// <param name="LostTexts">Texts that do not come back from their ids.</param>
public readonly record struct TokenizerFertility(long Tokens, double BytesPerToken, double TokensPerWord, int LostTexts);

/// <summary>A word that two tokenizers cut differently.</summary>
/// <param name="Word">The word, with the blank before it where one stands there.</param>
/// <param name="Count">How often it occurs.</param>
/// <param name="First">Its tokens under the first.</param>
/// <param name="Second">Its tokens under the second.</param>
public sealed record TokenizerDifference(string Word, int Count, IReadOnlyList<string> First, IReadOnlyList<string> Second)
{
    /// <summary>Tokens that the second saves in all occurrences; negative where it needs more.</summary>
    public int Saved => Count * (First.Count - Second.Count);
}

/// <summary>Two tokenizers on the same texts.</summary>
public sealed record TokenizerComparison
{
    /// <summary>Texts.</summary>
    public required int Texts { get; init; }

    /// <summary>Their bytes in UTF-8.</summary>
    public required long Bytes { get; init; }

    /// <summary>Words between blanks.</summary>
    public required long Words { get; init; }

    /// <summary>The first tokenizer.</summary>
    public required TokenizerFertility First { get; init; }

    /// <summary>The second tokenizer.</summary>
    public required TokenizerFertility Second { get; init; }

    /// <summary>Words that come out with different numbers of tokens, those first that make most difference.</summary>
    public required IReadOnlyList<TokenizerDifference> Differences { get; init; }

    /// <summary>Runs both over the texts.</summary>
    /// <param name="first">A tokenizer.</param>
    /// <param name="second">Another.</param>
    /// <param name="texts">Texts, each on its own.</param>
    /// <param name="mostDifferences">How many words to list.</param>
    public static TokenizerComparison Of(Tokenizer first, Tokenizer second, IReadOnlyList<string> texts, int mostDifferences = 20)
    {
        ArgumentNullException.ThrowIfNull(first);
        ArgumentNullException.ThrowIfNull(second);
        ArgumentNullException.ThrowIfNull(texts);
        var counts = new Dictionary<string, int>();
        foreach (string text in texts)
        {
            for (int start = 0; start < text.Length;)
            {
                int body = CharacterClasses.RunEnd(text, start, CharacterClass.Space), end = body;
                while (end < text.Length && !char.IsWhiteSpace(text[end]))
                    end++;
                if (end > body)
                {
                    string word = text[(body > 0 && text[body - 1] == ' ' ? body - 1 : body)..end];
                    counts[word] = counts.GetValueOrDefault(word) + 1;
                }

                start = end;
            }
        }

        long bytes = texts.Sum(static text => (long)Encoding.UTF8.GetByteCount(text)), words = counts.Values.Sum(static count => (long)count);
        var differences = counts.Select(entry => new TokenizerDifference(entry.Key, entry.Value, Pieces(first, entry.Key), Pieces(second, entry.Key)))
            .Where(static difference => difference.Saved != 0)
            .OrderByDescending(static difference => Math.Abs(difference.Saved)).ThenBy(static difference => difference.Word, StringComparer.Ordinal);
        return new TokenizerComparison
        {
            Texts = texts.Count,
            Bytes = bytes,
            Words = words,
            First = Measure(first),
            Second = Measure(second),
            Differences = [.. differences.Take(mostDifferences)],
        };

        static string[] Pieces(Tokenizer tokenizer, string word) => [.. tokenizer.Encode(word).Select(id => tokenizer.TokenOf(id) ?? "")];

        TokenizerFertility Measure(Tokenizer tokenizer)
        {
            long tokens = 0;
            int lost = 0;
            foreach (string text in texts)
            {
                int[] ids = tokenizer.Encode(text);
                tokens += ids.Length;
                lost += tokenizer.Decode(ids, skipSpecialTokens: false) == text ? 0 : 1;
            }

            return new TokenizerFertility(tokens, (double)bytes / Math.Max(1, tokens), (double)tokens / Math.Max(1, words), lost);
        }
    }
}
