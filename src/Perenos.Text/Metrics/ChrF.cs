using System.Buffers;
using Perenos.Runs;

namespace Perenos.Text.Metrics;

/// <summary>The settings of chrF; the defaults are sacreBLEU's chrF2, and <see cref="WordOrder"/> 2 makes it chrF++.</summary>
public sealed record ChrFOptions
{
    /// <summary>The longest n-gram of characters (code points).</summary>
    public int CharacterOrder { get; init; } = 6;

    /// <summary>The longest n-gram of words; 0 leaves words out.</summary>
    public int WordOrder { get; init; }

    /// <summary>Recall counts beta times as much as precision.</summary>
    public int Beta { get; init; } = 2;

    /// <summary>Compares without regard to case.</summary>
    public bool Lowercase { get; init; }

    /// <summary>Counts white space as characters; otherwise n-grams of characters run across words.</summary>
    public bool Whitespace { get; init; }

    /// <summary>Averages F over all orders with a tiny constant for empty ones, as the first implementation did.</summary>
    public bool EpsilonSmoothing { get; init; }
}

/// <summary>
/// chrF (Popović 2015, https://aclanthology.org/W15-3049) and chrF++ (Popović 2017, https://aclanthology.org/W17-4770) as sacreBLEU
/// defines them: F-beta of the mean precision and the mean recall over the orders that both sides are long enough for.
/// </summary>
public sealed class ChrF
{
    private const double Epsilon = 1e-16;
    private static readonly SearchValues<char> Punctuation = SearchValues.Create("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~");

    private readonly ChrFOptions _options;

    /// <summary>chrF with these settings.</summary>
    /// <exception cref="PerenosException">An order or beta is out of range.</exception>
    public ChrF(ChrFOptions? options = null)
    {
        _options = options ?? new ChrFOptions();
        if (_options.CharacterOrder is < 1 or > 32 || _options.WordOrder is < 0 or > 16 || _options.Beta < 1)
        {
            throw new PerenosException(
                $"chrF cannot use character order {_options.CharacterOrder}, word order {_options.WordOrder} and beta {_options.Beta}.",
                "character order 1 to 32, word order 0 to 16, beta 1 or more; the usual values are 6, 0 and 2.");
        }
    }

    /// <summary>chrF2, chrF2++, and so on by the settings.</summary>
    public string Name => $"chrF{_options.Beta}{new string('+', _options.WordOrder)}";

    /// <summary>The score of a corpus, 0 to 100; one reference per segment.</summary>
    public double Corpus(IReadOnlyList<string> hypotheses, IReadOnlyList<string> references) => Measure(hypotheses, references).Score;

    /// <summary>The score of a corpus, 0 to 100.</summary>
    public double Corpus(IReadOnlyList<string> hypotheses, IReadOnlyList<IReadOnlyList<string>> references) =>
        Measure(hypotheses, references).Score;

    /// <summary>The score of one sentence, 0 to 100.</summary>
    public double Sentence(string hypothesis, params IReadOnlyList<string> references) => Measure([hypothesis], [references]).Score;

    /// <summary>The statistics of each segment, for scores of resampled corpora; one reference per segment.</summary>
    public SegmentStatistics Measure(IReadOnlyList<string> hypotheses, IReadOnlyList<string> references) =>
        Measure(hypotheses, References.Single(references));

    /// <summary>
    /// The statistics of each segment: for each order n-grams of the output, of the reference, and matches. Of several references
    /// the one with the best F of the sentence enters the corpus, the first of equals.
    /// </summary>
    /// <exception cref="PerenosException">The lists are empty or differ in length, or a segment has no reference.</exception>
    public SegmentStatistics Measure(IReadOnlyList<string> hypotheses, IReadOnlyList<IReadOnlyList<string>> references)
    {
        References.Check(hypotheses, references);
        int width = 3 * (_options.CharacterOrder + _options.WordOrder);
        double[] values = new double[hypotheses.Count * width];
        for (int segment = 0; segment < hypotheses.Count; segment++)
            Count(hypotheses[segment], references[segment], values.AsSpan(segment * width, width));
        return new SegmentStatistics(width, values, ScoreOf, Signature(references));
    }

    /// <summary>The score of a corpus whose segments' statistics add up to <paramref name="sums"/>.</summary>
    public double ScoreOf(ReadOnlySpan<double> sums)
    {
        double factor = (double)_options.Beta * _options.Beta;
        double smoothed = 0, precisions = 0, recalls = 0;
        int effective = 0;
        for (int order = 0; order < sums.Length; order += 3)
        {
            var (output, reference, match) = (sums[order], sums[order + 1], sums[order + 2]);
            double precision = output > 0 ? match / output : Epsilon;
            double recall = reference > 0 ? match / reference : Epsilon;
            double denominator = (factor * precision) + recall;
            smoothed += denominator > 0 ? (1 + factor) * precision * recall / denominator : Epsilon;
            if (output > 0 && reference > 0)
            {
                precisions += precision;
                recalls += recall;
                effective++;
            }
        }

        if (_options.EpsilonSmoothing)
            return 100 * smoothed / (sums.Length / 3);
        if (precisions + recalls == 0)
            return 0;
        var (meanPrecision, meanRecall) = (precisions / effective, recalls / effective);
        return 100 * ((1 + factor) * meanPrecision * meanRecall / ((factor * meanPrecision) + meanRecall));
    }

    private void Count(string hypothesis, IReadOnlyList<string> references, Span<double> row)
    {
        var characterCounter = new NgramCounter(_options.CharacterOrder);
        var wordCounter = new NgramCounter(_options.WordOrder);
        var output = Read(hypothesis, characterCounter, wordCounter);
        double[] candidate = new double[row.Length];
        double best = -1;
        foreach (string text in references)
        {
            var reference = Read(text, characterCounter, wordCounter);
            int border = 3 * _options.CharacterOrder;
            Compare(characterCounter, output.Characters, reference.Characters, candidate.AsSpan(0, border));
            Compare(wordCounter, output.Words, reference.Words, candidate.AsSpan(border));
            double score = ScoreOf(candidate);
            if (score > best)
            {
                best = score;
                candidate.CopyTo(row);
            }
        }
    }

    private static void Compare(NgramCounter counter, Sequence output, Sequence reference, Span<double> row)
    {
        double[] matches = new double[row.Length / 3];
        counter.Match(output.Counts, reference.Counts, matches);
        for (int order = 0; order < matches.Length; order++)
        {
            int expected = NgramCounter.Total(reference.Length, order + 1);

            // An order that the reference is too short for does not count against the output.
            row[3 * order] = expected == 0 ? 0 : NgramCounter.Total(output.Length, order + 1);
            row[(3 * order) + 1] = expected;
            row[(3 * order) + 2] = matches[order];
        }
    }

    private (Sequence Characters, Sequence Words) Read(string text, NgramCounter characterCounter, NgramCounter wordCounter)
    {
        if (_options.Lowercase)
            text = MetricText.Lower(text);
        var characters = MetricText.CodePoints(text);
        if (!_options.Whitespace)
            characters.RemoveAll(MetricText.IsSpace);
        int[] words = _options.WordOrder == 0 ? [] : wordCounter.Number(Words(text));
        return (new(characters.Count, characterCounter.Count([.. characters])), new(words.Length, wordCounter.Count(words)));
    }

    /// <summary>Words with one ASCII punctuation mark cut off: the last character, or else the first.</summary>
    internal static List<string> Words(string text)
    {
        var words = new List<string>();
        foreach (string word in MetricText.Split(text))
        {
            bool isSingle = word.Length == 1 || (word.Length == 2 && char.IsSurrogatePair(word, 0));
            if (isSingle)
                words.Add(word);
            else if (Punctuation.Contains(word[^1]))
                words.AddRange([word[..^1], word[^1..]]);
            else if (Punctuation.Contains(word[0]))
                words.AddRange([word[..1], word[1..]]);
            else
                words.Add(word);
        }

        return words;
    }

    private string Signature(IReadOnlyList<IReadOnlyList<string>> references) =>
        $"{References.CountOf(references)}|case:{(_options.Lowercase ? "lc" : "mixed")}|eff:{(_options.EpsilonSmoothing ? "no" : "yes")}"
        + $"|nc:{_options.CharacterOrder}|nw:{_options.WordOrder}|space:{(_options.Whitespace ? "yes" : "no")}|{References.Version}";

    private readonly record struct Sequence(int Length, Dictionary<int, int> Counts);
}
