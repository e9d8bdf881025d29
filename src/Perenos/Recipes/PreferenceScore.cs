using Perenos.Runs;
using Perenos.Text.Metrics;

namespace Perenos.Recipes;

/// <summary>What was learnt of preferences, on pairs that were not learnt from.</summary>
/// <param name="Accuracy">Per cent of the pairs whose chosen answer has gained more likelihood on the base than the rejected one; a tie counts half.</param>
/// <param name="Margin">Mean reward of the chosen answers less that of the rejected ones.</param>
public sealed record PreferenceScore(Metric Accuracy, Metric Margin)
{
    // Tokens computed at once where nothing is kept for backward.
    private const int BatchTokens = 4096;

    internal IReadOnlyList<Metric> Metrics => [Accuracy, Margin];

    internal static PreferenceScore? Of(PreparedRun run)
    {
        if (run.Preference is null || run.Data.TestPairs.Count == 0)
            return null;
        var margins = run.Preference.Margins(run.Data.TestPairs, BatchTokens);
        Metric Mean(string name, IEnumerable<double> values)
        {
            var interval = Bootstrap.Interval(SegmentStatistics.Mean([.. values]), new BootstrapOptions { Resamples = run.Config.Evaluation.Resamples });
            return new Metric(name, interval.Value, interval.Lower, interval.Upper, $"mean over {margins.Count} pairs");
        }

        return new PreferenceScore(Mean("preference accuracy", margins.Select(margin => 50.0 * (1 + Math.Sign(margin)))), Mean("reward margin", margins));
    }
}
