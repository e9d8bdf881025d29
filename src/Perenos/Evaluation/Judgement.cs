using System.Text.Json;
using Perenos.Runs;
using Perenos.Text.Metrics;

namespace Perenos.Evaluation;

/// <summary>Nats and learnt tokens of one test record.</summary>
public readonly record struct RecordLoss(double Nats, long Tokens);

/// <summary>Everything measured of one state of a model, item by item, so that states can be compared in pairs later.</summary>
public sealed record Judgement
{
    private static readonly JsonSerializerOptions Json = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    /// <summary>Answers to the test prompts; empty where there is nothing to answer.</summary>
    public IReadOnlyList<string> Answers { get; init; } = [];

    /// <summary>The right answers.</summary>
    public required IReadOnlyList<string> Expected { get; init; }

    /// <summary>Loss of every test record.</summary>
    public IReadOnlyList<RecordLoss> Losses { get; init; } = [];

    /// <summary>Likelihood of every general document.</summary>
    public IReadOnlyList<DocumentLikelihood> Reference { get; init; } = [];

    /// <summary>Reads what <see cref="Write"/> wrote.</summary>
    /// <exception cref="PerenosException">The file is damaged.</exception>
    public static Judgement Read(string path)
    {
        try
        {
            return JsonSerializer.Deserialize<Judgement>(File.ReadAllText(path), Json) ?? throw new JsonException("empty");
        }
        catch (JsonException problem)
        {
            throw new PerenosException($"{path} is damaged: {problem.Message}", "Delete it; it is measured again.", problem);
        }
    }

    /// <summary>Keeps the judgement for a process that goes on later.</summary>
    public void Write(string path) => AtomicFile.WriteText(path, JsonSerializer.Serialize(this, Json));

    /// <summary>Scores, each with its interval.</summary>
    /// <param name="resamples">Resamples behind an interval.</param>
    public IReadOnlyList<Metric> Scores(int resamples)
    {
        var options = new BootstrapOptions { Resamples = resamples };
        return [.. Statistics().Select(entry => Describe(entry.Name, entry.Statistics, Bootstrap.Interval(entry.Statistics, options), entry.Factor))];
    }

    /// <summary>Changes from this state to another, over the very same items, each with the interval of the paired difference.</summary>
    /// <param name="after">The other state, judged by the same test.</param>
    /// <param name="resamples">Resamples behind an interval.</param>
    public IReadOnlyList<Metric> ChangesTo(Judgement after, int resamples)
    {
        var options = new BootstrapOptions { Resamples = resamples };
        return [.. Statistics().Zip(after.Statistics(), (first, second) =>
            Describe(first.Name, first.Statistics, Bootstrap.Difference(first.Statistics, second.Statistics, options), first.Factor))];
    }

    /// <summary>Whether both were judged by the same records and texts, token for token: then their items pair.</summary>
    public bool HasSameTest(Judgement other) =>
        Expected.SequenceEqual(other.Expected)
        && Losses.Select(loss => loss.Tokens).SequenceEqual(other.Losses.Select(loss => loss.Tokens))
        && Reference.Select(document => (document.Tokens, document.Bytes)).SequenceEqual(other.Reference.Select(document => (document.Tokens, document.Bytes)));

    private static Metric Describe(string name, SegmentStatistics statistics, ConfidenceInterval interval, double factor) =>
        new(name, interval.Value * factor, interval.Lower * factor, interval.Upper * factor, statistics.Signature);

    private IEnumerable<(string Name, SegmentStatistics Statistics, double Factor)> Statistics()
    {
        if (Answers.Count > 0)
        {
            yield return (Names.Bleu, new Bleu().Measure(Answers, Expected), 1);
            yield return (Names.ChrF, new ChrF().Measure(Answers, Expected), 1);
            yield return (Names.ExactMatch, ExactMatch.Measure(Answers, Expected, ExactMatchNormalization.Trimmed), 100);
        }

        if (Losses.Count > 0)
            yield return (Names.TestLoss, SegmentStatistics.Ratio([.. Losses.Select(loss => loss.Nats)], [.. Losses.Select(loss => (double)loss.Tokens)], "nats per learnt token"), 1);
        if (Reference.Count > 0)
            yield return (Names.GeneralLoss, SegmentStatistics.Ratio([.. Reference.Select(document => document.Nats)], [.. Reference.Select(document => (double)document.Tokens)], "nats per token"), 1);
    }

    /// <summary>Names of metrics, the same in every judgement.</summary>
    public static class Names
    {
        /// <summary>Corpus BLEU.</summary>
        public const string Bleu = "BLEU";

        /// <summary>Corpus chrF.</summary>
        public const string ChrF = "chrF";

        /// <summary>Share of answers equal to the reference, in per cent.</summary>
        public const string ExactMatch = "exact match";

        /// <summary>Nats per learnt token of the test records.</summary>
        public const string TestLoss = "test loss";

        /// <summary>Nats per token of general text.</summary>
        public const string GeneralLoss = "general text";
    }
}
