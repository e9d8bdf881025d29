using Perenos.Generation;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;
using Perenos.Text.Templates;
using Perenos.Text.Tokenization;
using Perenos.Training;

namespace Perenos.Evaluation;

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

    /// <summary>The records that have an answer; none if they are plain text.</summary>
    public IReadOnlyList<Record> Answered { get; } = [.. Records.Where(record => AnswerOf(record) is not null)];

    /// <summary>The right answers to <see cref="Answered"/>: completions, or last replies.</summary>
    public IReadOnlyList<string> Answers { get; } = [.. Records.Select(AnswerOf).OfType<string>()];

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
            var prompts = Prompts(model);
            answers = [.. Generator(model)
                .Generate(prompts, done => Tell("answering", done, prompts.Count), cancellation)
                .Select(ids => tokenizer.Decode(ids).Trim())];
        }

        var reference = ReferenceReading(model, tokenizer, prefix)
            .Score(Reference, done => Tell("reading general text", done, Reference.Count));
        return new Judgement { Answers = answers, Expected = Answers, Losses = Losses(model, Tell), Reference = reference };
    }

    /// <summary>Scores of a judgement, each with its interval.</summary>
    public IReadOnlyList<Metric> Scores(Judgement judgement) => judgement.Scores(Settings.Resamples);

    /// <summary>Changes from one judgement to another, over the very same items, each with its interval.</summary>
    public IReadOnlyList<Metric> Changes(Judgement before, Judgement after) => before.ChangesTo(after, Settings.Resamples);

    /// <summary>The prompts of <see cref="Answered"/>.</summary>
    internal IReadOnlyList<int[]> Prompts(CausalModel model) => [.. Answered.Select(record => Fit(Renderer.RenderPrompt(record), model))];

    /// <summary>What answers them.</summary>
    internal TextGenerator Generator(CausalModel model) => new(model, Settings.Generation, Renderer.StopIds);

    /// <summary>What reads <see cref="Reference"/>.</summary>
    internal RollingLikelihood ReferenceReading(CausalModel model, Tokenizer tokenizer, int? prefix) => new(model, tokenizer, prefix, LongestOf(model));

    /// <summary>The test examples that are read together, each with the number of its record.</summary>
    internal IReadOnlyList<IReadOnlyList<(int Record, Example Example)>> TestBatches(CausalModel model)
    {
        var limit = new LengthLimit(LongestOf(model));
        var examples = Records.SelectMany((record, index) => limit.Apply(Renderer.Render(record)).Select(example => (index, example))).ToList();
        int longest = examples.Select(entry => entry.example.Ids.Length).DefaultIfEmpty(1).Max();
        return [.. examples.OrderBy(entry => entry.example.Ids.Length).Chunk(Math.Max(1, BatchTokens / Math.Max(1, longest)))];
    }

    private int LongestOf(CausalModel model) => (int)Math.Min(MaximumLength, model.MaximumLength);

    private List<RecordLoss> Losses(CausalModel model, Action<string, int, int> tell)
    {
        var batches = TestBatches(model);
        int total = batches.Sum(batch => batch.Count);
        var nats = new double[Records.Count];
        var tokens = new long[Records.Count];
        int done = 0;
        foreach (var group in batches)
        {
            using var losses = BatchLoss.NegativeLogLikelihood(model, Batch.Of([.. group.Select(entry => entry.Example)]));
            using var onProcessor = losses.cpu();
            var values = onProcessor.data<float>().ToArray();
            int place = 0;
            foreach (var (index, example) in group)
            {
                for (int count = example.LearntTokens; count > 0; count--)
                    nats[index] += values[place++];
                tokens[index] += example.LearntTokens;
            }

            done += group.Count;
            tell("reading the test", done, total);
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
