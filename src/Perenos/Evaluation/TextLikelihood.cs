using Perenos.Runs;
using Perenos.Text.Metrics;

namespace Perenos.Evaluation;

/// <summary>
/// Perplexities and bits per byte of a set of documents: sums over all documents first, then the ratio, as the field's harness
/// counts (https://github.com/EleutherAI/lm-evaluation-harness, weighted_mean and bits_per_byte).
/// </summary>
public static class TextLikelihood
{
    /// <summary>One metric each, with an interval by bootstrap over documents where there are several.</summary>
    public static List<Metric> Scores(IReadOnlyList<DocumentLikelihood> documents, string signature)
    {
        Metric Ratio(string name, Func<DocumentLikelihood, double> per, Func<double, double> scale)
        {
            var statistics = SegmentStatistics.Ratio([.. documents.Select(document => document.Nats)], [.. documents.Select(per)]);
            if (documents.Count < 2)
                return new Metric(name, scale(statistics.Score), Signature: signature);
            var interval = Bootstrap.Interval(statistics);
            return new Metric(name, scale(interval.Value), scale(interval.Lower), scale(interval.Upper), signature);
        }

        return
        [
            Ratio("nats per token", document => document.Tokens, value => value),
            Ratio("perplexity per token", document => document.Tokens, Math.Exp),
            Ratio("perplexity per word", document => document.Words, Math.Exp),
            Ratio("perplexity per byte", document => document.Bytes, Math.Exp),
            Ratio("bits per byte", document => document.Bytes, value => value / Math.Log(2)),
        ];
    }
}
