using System.Text;
using Perenos.Runs;

namespace Perenos.Text.Grammar;

/// <summary>
/// A bilingual grammar of weather sentences, written for this project: it gives any number of English sentences, each with exactly
/// one French translation that follows from rules (agreement, elision, contraction, word order). The sublanguage is that of the
/// first machine translation in daily use (TAUM-MÉTÉO 1977, https://en.wikipedia.org/wiki/METEO_System); no sentence is taken
/// from a real bulletin.
/// </summary>
public static class WeatherGrammar
{
    private const int LeastWords = 5;
    private const int MostWords = 20;

    /// <summary>
    /// Draws <paramref name="count"/> pairs that differ from each other even when their numbers are left out. The same seed gives
    /// the same pairs, and a longer sample begins with the shorter one.
    /// </summary>
    /// <exception cref="PerenosException">More pairs are asked for than the grammar reliably gives.</exception>
    public static IReadOnlyList<SentencePair> Sample(ulong seed, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        var pairs = new List<SentencePair>(Math.Min(count, 1 << 20));
        var seen = new HashSet<string>(StringComparer.Ordinal);
        for (long sentence = 0; pairs.Count < count; sentence++)
        {
            if (sentence > 1000 + (50L * count))
                throw new PerenosException($"The weather grammar has no {count:N0} different sentences.", $"ask for {pairs.Count:N0} or fewer.");
            var pair = Speak(new WeatherDraw(seed, sentence));
            int words = pair.English.AsSpan().Count(' ') + 1;
            if (words is >= LeastWords and <= MostWords && seen.Add(WithoutNumbers(pair.English)))
                pairs.Add(pair);
        }

        return pairs;
    }

    /// <summary>
    /// Draws three disjoint lists. The test pairs come first out of the stream, then validation, then training: with one seed, a
    /// study that changes the number of training pairs keeps its test set.
    /// </summary>
    /// <exception cref="PerenosException">More pairs are asked for than the grammar reliably gives.</exception>
    public static WeatherSplit Split(ulong seed, int train, int validation, int test)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(train);
        ArgumentOutOfRangeException.ThrowIfNegative(validation);
        ArgumentOutOfRangeException.ThrowIfNegative(test);
        var all = Sample(seed, checked(train + validation + test));
        return new WeatherSplit([.. all.Skip(test + validation)], [.. all.Skip(test).Take(validation)], [.. all.Take(test)]);
    }

    private static SentencePair Speak(WeatherDraw draw)
    {
        var clause = draw.Any(WeatherClauses.All)(draw);
        return new(Written(clause.English), Written(clause.French));
    }

    private static string Written(string clause) => char.ToUpperInvariant(clause[0]) + clause[1..] + ".";

    private static string WithoutNumbers(string sentence)
    {
        var text = new StringBuilder(sentence.Length);
        foreach (char letter in sentence)
        {
            if (!char.IsAsciiDigit(letter))
                text.Append(letter);
            else if (text.Length == 0 || text[^1] != '#')
                text.Append('#');
        }

        return text.ToString();
    }
}
