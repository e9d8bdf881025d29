using Perenos.Runs;

namespace Perenos.Text.Metrics;

/// <summary>What is left out of account before two texts are compared for equality.</summary>
public enum ExactMatchNormalization
{
    /// <summary>Nothing: every character counts.</summary>
    None,

    /// <summary>White space at both ends.</summary>
    Trimmed,
}

/// <summary>Exact match: the share of outputs, 0 to 1, that equal one of their references character by character.</summary>
public static class ExactMatch
{
    /// <summary>One zero or one per segment; one reference each.</summary>
    /// <exception cref="PerenosException">The lists are empty or differ in length.</exception>
    public static SegmentStatistics Measure(
        IReadOnlyList<string> hypotheses,
        IReadOnlyList<string> references,
        ExactMatchNormalization normalization = ExactMatchNormalization.Trimmed) =>
        Measure(hypotheses, References.Single(references), normalization);

    /// <summary>One zero or one per segment; any of its references may be met.</summary>
    /// <exception cref="PerenosException">The lists are empty or differ in length, or a segment has no reference.</exception>
    public static SegmentStatistics Measure(
        IReadOnlyList<string> hypotheses,
        IReadOnlyList<IReadOnlyList<string>> references,
        ExactMatchNormalization normalization = ExactMatchNormalization.Trimmed)
    {
        References.Check(hypotheses, references);
        string Read(string text) => normalization == ExactMatchNormalization.Trimmed ? MetricText.Trim(text) : text;
        var hits = hypotheses.Select((text, segment) =>
            references[segment].Any(reference => string.Equals(Read(reference), Read(text), StringComparison.Ordinal)) ? 1.0 : 0.0);
        string name = normalization == ExactMatchNormalization.Trimmed ? "trimmed" : "none";
        return SegmentStatistics.Mean([.. hits], $"exact_match|{References.CountOf(references)}|norm:{name}|{References.Version}");
    }
}
