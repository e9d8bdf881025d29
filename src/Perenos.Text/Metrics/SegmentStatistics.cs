using Perenos.Runs;

namespace Perenos.Text.Metrics;

/// <summary>Gives the score of a corpus from the sums of its segments' statistics.</summary>
public delegate double ScoreOfSums(ReadOnlySpan<double> sums);

/// <summary>
/// What a corpus metric needs to know of each segment, a few numbers that add up: with them a corpus made of any resampled
/// segments is scored without looking at the text again.
/// </summary>
public sealed class SegmentStatistics
{
    private readonly double[] _values;
    private readonly ScoreOfSums _score;

    /// <summary>Takes one row of <paramref name="width"/> numbers per segment, in one array, and the score of their sums.</summary>
    public SegmentStatistics(int width, double[] values, ScoreOfSums score, string signature)
    {
        ArgumentNullException.ThrowIfNull(values);
        ArgumentNullException.ThrowIfNull(score);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(width);
        if (values.Length == 0 || values.Length % width != 0)
            throw new PerenosException("There is nothing to score: the list of segments is empty.", "check that the data and the outputs hold records.");
        (Width, _values, _score, Signature) = (width, values, score, signature);
    }

    /// <summary>Numbers per segment.</summary>
    public int Width { get; }

    /// <summary>Segments (sentences, documents or items): what the bootstrap resamples.</summary>
    public int Segments => _values.Length / Width;

    /// <summary>How the score was computed, in sacreBLEU's form where the metric has one.</summary>
    public string Signature { get; }

    /// <summary>The score of the whole corpus.</summary>
    public double Score => _score(Sums());

    /// <summary>The mean of one value per segment; accuracy and exact match are means of zeros and ones.</summary>
    public static SegmentStatistics Mean(IReadOnlyList<double> values, string signature = "mean")
    {
        ArgumentNullException.ThrowIfNull(values);
        return Ratio(values, [.. values.Select(_ => 1.0)], signature);
    }

    /// <summary>
    /// The sum of numerators over the sum of denominators, resampled by document: nats per token over documents of unequal length
    /// is Σ nats / Σ tokens, not the mean of the documents' ratios.
    /// </summary>
    /// <exception cref="PerenosException">A denominator is not positive, or the lists differ in length.</exception>
    public static SegmentStatistics Ratio(IReadOnlyList<double> numerators, IReadOnlyList<double> denominators, string signature = "ratio of sums")
    {
        ArgumentNullException.ThrowIfNull(numerators);
        ArgumentNullException.ThrowIfNull(denominators);
        if (numerators.Count != denominators.Count)
        {
            throw new PerenosException(
                $"{numerators.Count:N0} numerators but {denominators.Count:N0} denominators.", "give one of each per document.");
        }

        double[] values = new double[2 * numerators.Count];
        for (int index = 0; index < numerators.Count; index++)
        {
            if (!(denominators[index] > 0) || !double.IsFinite(denominators[index]) || !double.IsFinite(numerators[index]))
            {
                throw new PerenosException(
                    $"Document {index + 1} has the ratio {numerators[index]} / {denominators[index]}.",
                    "leave out documents without tokens, and look for the cause of values that are not finite.");
            }

            (values[2 * index], values[(2 * index) + 1]) = (numerators[index], denominators[index]);
        }

        return new SegmentStatistics(2, values, sums => sums[0] / sums[1], signature);
    }

    /// <summary>The numbers of one segment.</summary>
    public ReadOnlySpan<double> this[int segment] => _values.AsSpan(segment * Width, Width);

    /// <summary>The score of a corpus with these sums.</summary>
    public double ScoreOf(ReadOnlySpan<double> sums) => _score(sums);

    /// <summary>The statistics of the whole corpus.</summary>
    public double[] Sums()
    {
        double[] sums = new double[Width];
        for (int segment = 0; segment < Segments; segment++)
            AddTo(sums, segment);
        return sums;
    }

    internal void AddTo(Span<double> sums, int segment)
    {
        var row = this[segment];
        for (int column = 0; column < row.Length; column++)
            sums[column] += row[column];
    }
}
