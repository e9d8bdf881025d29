using System.Text.Json;
using Perenos.Generation;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;
using Perenos.Text.Metrics;
using Perenos.Text.Templates;
using Perenos.Text.Tokenization;
using Perenos.Training;

namespace Perenos.Evaluation;

/// <summary>Nats and learnt tokens of one test record.</summary>
public readonly record struct RecordLoss(double Nats, long Tokens);

/// <summary>Everything measured of one state of a model, item by item, so that states can be compared in pairs later.</summary>
public sealed record Judgement
{
    private static readonly JsonSerializerOptions Json = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    /// <summary>Answers to the test prompts; empty where there is nothing to answer.</summary>
    public IReadOnlyList<string> Answers { get; init; } = [];

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
}

/// <summary>The test that every state of a model takes.</summary>
/// <param name="Records">Test records.</param>
/// <param name="Renderer">The renderer that training uses.</param>
/// <param name="Reference">General documents for forgetting.</param>
/// <param name="Settings">How to generate and resample.</param>
/// <param name="MaximumLength">Most tokens of an example.</param>
public sealed record Examination(
    IReadOnlyList<Record> Records, ExampleRenderer Renderer, IReadOnlyList<string> Reference, EvaluationConfig Settings, int MaximumLength)
{
    // Tokens computed at once where nothing is kept for backward.
    private const int BatchTokens = 4096;

    private readonly Bleu _bleu = new();
    private readonly ChrF _chrF = new();

    /// <summary>The records that have an answer; none if they are plain text.</summary>
    public IReadOnlyList<Record> Answered { get; } = [.. Records.Where(record => AnswerOf(record) is not null)];

    /// <summary>The right answers to <see cref="Answered"/>: completions, or last replies.</summary>
    public IReadOnlyList<string> Answers { get; } = [.. Records.Select(AnswerOf).OfType<string>()];

    private BootstrapOptions Options => new() { Resamples = Settings.Resamples };

    /// <summary>Measures a model as it is.</summary>
    /// <exception cref="OperationCanceledException">It was asked to stop.</exception>
    public Judgement Take(CausalModel model, Tokenizer tokenizer, int? prefix, Action<string, int, int>? progress = null, CancellationToken cancellation = default)
    {
        void Tell(string phase, int done, int total)
        {
            progress?.Invoke(phase, done, total);
            cancellation.ThrowIfCancellationRequested();
        }

        string[] answers = [];
        if (Answers.Count > 0)
        {
            var prompts = Answered.Select(record => Fit(Renderer.RenderPrompt(record), model)).ToList();
            var generator = new TextGenerator(model, Settings.Generation, Renderer.StopIds);
            answers = [.. generator
                .Generate(prompts, done => Tell("answering", done, prompts.Count), cancellation)
                .Select(ids => tokenizer.Decode(ids).Trim())];
        }

        int window = (int)Math.Min(MaximumLength, model.MaximumLength);
        var reference = new RollingLikelihood(model, tokenizer, prefix, window)
            .Score(Reference, done => Tell("reading general text", done, Reference.Count));
        return new Judgement { Answers = answers, Losses = Losses(model, Tell), Reference = reference };
    }

    /// <summary>Scores of a judgement, each with its interval.</summary>
    public IReadOnlyList<Metric> Scores(Judgement judgement)
    {
        var scores = Statistics(judgement).Select(entry =>
        {
            var interval = Bootstrap.Interval(entry.Statistics, Options);
            return new Metric(entry.Name, interval.Value * entry.Factor, interval.Lower * entry.Factor, interval.Upper * entry.Factor, entry.Statistics.Signature);
        });
        return [.. scores];
    }

    /// <summary>Changes from one judgement to another, over the very same items, each with its interval.</summary>
    public IReadOnlyList<Metric> Changes(Judgement before, Judgement after)
    {
        var changes = Statistics(before).Zip(Statistics(after), (first, second) =>
        {
            var interval = Bootstrap.Difference(first.Statistics, second.Statistics, Options);
            return new Metric(first.Name, interval.Value * first.Factor, interval.Lower * first.Factor, interval.Upper * first.Factor, first.Statistics.Signature);
        });
        return [.. changes];
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

    private IEnumerable<(string Name, SegmentStatistics Statistics, double Factor)> Statistics(Judgement judgement)
    {
        if (judgement.Answers.Count > 0)
        {
            yield return (Names.Bleu, _bleu.Measure(judgement.Answers, Answers), 1);
            yield return (Names.ChrF, _chrF.Measure(judgement.Answers, Answers), 1);
            yield return (Names.ExactMatch, ExactMatch.Measure(judgement.Answers, Answers, ExactMatchNormalization.Trimmed), 100);
        }

        if (judgement.Losses.Count > 0)
            yield return (Names.TestLoss, SegmentStatistics.Ratio([.. judgement.Losses.Select(loss => loss.Nats)], [.. judgement.Losses.Select(loss => (double)loss.Tokens)], "nats per learnt token"), 1);
        if (judgement.Reference.Count > 0)
            yield return (Names.GeneralLoss, SegmentStatistics.Ratio([.. judgement.Reference.Select(document => document.Nats)], [.. judgement.Reference.Select(document => (double)document.Tokens)], "nats per token"), 1);
    }

    private List<RecordLoss> Losses(CausalModel model, Action<string, int, int> tell)
    {
        var limit = new LengthLimit((int)Math.Min(MaximumLength, model.MaximumLength));
        var examples = Records.SelectMany((record, index) => limit.Apply(Renderer.Render(record)).Select(example => (index, example))).ToList();
        var nats = new double[Records.Count];
        var tokens = new long[Records.Count];
        int done = 0;
        foreach (var group in examples.OrderBy(entry => entry.example.Ids.Length).Chunk(Math.Max(1, BatchTokens / Math.Max(1, examples.Count == 0 ? 1 : examples.Max(entry => entry.example.Ids.Length)))))
        {
            using var losses = BatchLoss.NegativeLogLikelihood(model, Batch.Of([.. group.Select(entry => entry.example)]));
            using var onProcessor = losses.cpu();
            var values = onProcessor.data<float>().ToArray();
            int place = 0;
            foreach (var (index, example) in group)
            {
                for (int count = example.LearntTokens; count > 0; count--)
                    nats[index] += values[place++];
                tokens[index] += example.LearntTokens;
            }

            done += group.Length;
            tell("reading the test", done, examples.Count);
        }

        return [.. nats.Zip(tokens, (sum, count) => new RecordLoss(sum, count)).Where(loss => loss.Tokens > 0)];
    }

    // A prompt too long for the model loses its beginning.
    private static int[] Fit(int[] prompt, CausalModel model)
    {
        long room = model.MaximumLength - 1;
        return prompt.Length <= room ? prompt : LengthLimit.ShortenPrompt(prompt, (int)room, startId: null);
    }

    private static string? AnswerOf(Record record) => record switch
    {
        PromptRecord pair => pair.Completion.Trim(),
        ConversationRecord { Messages: [.., { Role: ChatMessage.Assistant } last] } => (last.Content ?? "").Trim(),
        _ => null,
    };
}
