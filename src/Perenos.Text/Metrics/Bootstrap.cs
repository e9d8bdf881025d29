using Perenos.Runs;

namespace Perenos.Text.Metrics;

/// <summary>How a bootstrap is drawn.</summary>
public sealed record BootstrapOptions
{
    /// <summary>Corpora drawn with replacement.</summary>
    public int Resamples { get; init; } = 1000;

    /// <summary>The share of resampled scores that the interval holds.</summary>
    public double Level { get; init; } = 0.95;

    /// <summary>Seed of the resamples; sacreBLEU's default number, though not its generator.</summary>
    public ulong Seed { get; init; } = 12345;
}

/// <summary>A value with the interval that its bootstrap gives.</summary>
/// <param name="Value">The value on the data as they are.</param>
/// <param name="Lower">The lower end.</param>
/// <param name="Upper">The upper end.</param>
/// <param name="Level">The share of resamples between the ends, 0.95 for example.</param>
public readonly record struct ConfidenceInterval(double Value, double Lower, double Upper, double Level)
{
    /// <summary>True where the interval lies wholly on one side of zero: the verdict on a difference.</summary>
    public bool ExcludesZero => Lower > 0 || Upper < 0;

    /// <summary>True where the two intervals share a point.</summary>
    public bool Overlaps(ConfidenceInterval other) => Lower <= other.Upper && other.Lower <= Upper;

    /// <summary>97.0 [96.0, 97.9].</summary>
    public override string ToString() => $"{Value:F1} [{Lower:F1}, {Upper:F1}]";
}

/// <summary>
/// The percentile bootstrap over segments (Efron and Tibshirani 1993; for translation Koehn 2004,
/// https://aclanthology.org/W04-3250). Resample r of a seed holds the segments CounterRandom(seed, r) names at 0, 1, 2, …, so two
/// systems on the same segments are resampled alike, and any resample can be drawn again alone.
/// </summary>
public static class Bootstrap
{
    /// <summary>The score with its percentile interval.</summary>
    public static ConfidenceInterval Interval(SegmentStatistics statistics, BootstrapOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(statistics);
        options = Checked(options);
        return Interval(statistics.Score, Scores(statistics, options), options.Level);
    }

    /// <summary>
    /// The second score minus the first, with the interval of the paired difference: both are scored on the same resamples.
    /// </summary>
    /// <exception cref="PerenosException">The two have different numbers of segments.</exception>
    public static ConfidenceInterval Difference(SegmentStatistics first, SegmentStatistics second, BootstrapOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(first);
        ArgumentNullException.ThrowIfNull(second);
        options = Checked(options);
        CheckPaired(first, second);
        double[] before = Scores(first, options);
        double[] after = Scores(second, options);
        return Interval(second.Score - first.Score, [.. after.Zip(before, (b, a) => b - a)], options.Level);
    }

    /// <summary>The scores of all resamples, by number.</summary>
    public static double[] Scores(SegmentStatistics statistics, BootstrapOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(statistics);
        options = Checked(options);
        double[] scores = new double[options.Resamples];
        double[] sums = new double[statistics.Width];
        for (int resample = 0; resample < scores.Length; resample++)
        {
            Array.Clear(sums);
            var random = new CounterRandom(options.Seed, (ulong)resample);
            for (int draw = 0; draw < statistics.Segments; draw++)
                statistics.AddTo(sums, random.Below(statistics.Segments, (ulong)draw));
            scores[resample] = statistics.ScoreOf(sums);
        }

        return scores;
    }

    /// <summary>
    /// A quantile of sorted numbers by linear interpolation between order statistics (Hyndman and Fan's type 7, numpy's default).
    /// </summary>
    internal static double Quantile(double[] sorted, double share)
    {
        double position = share * (sorted.Length - 1);
        int below = Math.Min((int)position, sorted.Length - 2);
        return sorted.Length == 1 ? sorted[0] : sorted[below] + ((position - below) * (sorted[below + 1] - sorted[below]));
    }

    internal static void CheckPaired(SegmentStatistics first, SegmentStatistics second)
    {
        if (first.Segments != second.Segments)
        {
            throw new PerenosException(
                $"A paired comparison needs the same segments: {first.Segments:N0} and {second.Segments:N0} were given.",
                "score both systems on the same test set, in the same order.");
        }
    }

    internal static BootstrapOptions Checked(BootstrapOptions? options)
    {
        options ??= new BootstrapOptions();
        if (options.Resamples is < 1 or > 10_000_000)
            throw new PerenosException($"A bootstrap cannot take {options.Resamples:N0} resamples.", "1,000 is usual; 10,000 gives steadier ends.");
        if (options.Level is not (> 0 and < 1))
            throw new PerenosException($"The level of an interval cannot be {options.Level}.", "choose a share between 0 and 1, such as 0.95.");
        return options;
    }

    private static ConfidenceInterval Interval(double value, double[] scores, double level)
    {
        Array.Sort(scores);
        double tail = (1 - level) / 2;
        return new ConfidenceInterval(value, Quantile(scores, tail), Quantile(scores, 1 - tail), level);
    }
}
