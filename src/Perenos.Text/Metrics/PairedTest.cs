namespace Perenos.Text.Metrics;

/// <summary>
/// sacreBLEU's two paired tests, for comparison with published tables. Their p-values are peculiar: the bootstrap takes absolute
/// differences before it centres them, so two nearly equal systems get about 0.37 and not 1, and identical ones get 1 / (n + 1).
/// A verdict rests on <see cref="Bootstrap.Difference"/>; see
/// https://github.com/mjpost/sacrebleu/blob/master/sacrebleu/significance.py.
/// </summary>
public static class PairedTest
{
    /// <summary>The p-value of paired bootstrap resampling: (1 + #{|d_i| - mean|d| > |d|}) / (n + 1).</summary>
    public static double Bootstrap(SegmentStatistics baseline, SegmentStatistics system, BootstrapOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(baseline);
        ArgumentNullException.ThrowIfNull(system);
        Metrics.Bootstrap.CheckPaired(baseline, system);
        double[] first = Metrics.Bootstrap.Scores(baseline, options);
        double[] second = Metrics.Bootstrap.Scores(system, options);
        double[] differences = [.. second.Zip(first, (b, a) => Math.Abs(b - a))];
        double mean = differences.Average();
        double observed = Math.Abs(system.Score - baseline.Score);
        return (1.0 + differences.Count(difference => difference - mean > observed)) / (differences.Length + 1);
    }

    /// <summary>
    /// The p-value of approximate randomisation (Riezler and Maxwell 2005, https://aclanthology.org/W05-0908): each trial swaps
    /// the two outputs of every segment with probability one half.
    /// </summary>
    public static double Randomisation(SegmentStatistics baseline, SegmentStatistics system, int trials = 10_000, ulong seed = 12345)
    {
        ArgumentNullException.ThrowIfNull(baseline);
        ArgumentNullException.ThrowIfNull(system);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(trials);
        Metrics.Bootstrap.CheckPaired(baseline, system);
        double observed = Math.Abs(system.Score - baseline.Score);
        double[] first = new double[baseline.Width];
        double[] second = new double[system.Width];
        int beyond = 0;
        for (int trial = 0; trial < trials; trial++)
        {
            Array.Clear(first);
            Array.Clear(second);
            var random = new CounterRandom(seed, (ulong)trial);
            for (int segment = 0; segment < baseline.Segments; segment++)
            {
                bool swaps = (random.Bits((ulong)segment) >> 63) != 0;
                baseline.AddTo(swaps ? second : first, segment);
                system.AddTo(swaps ? first : second, segment);
            }

            if (Math.Abs(system.ScoreOf(second) - baseline.ScoreOf(first)) > observed)
                beyond++;
        }

        return (1.0 + beyond) / (trials + 1);
    }
}
