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
            var prompts = Answered.Select(record => Fit(Renderer.RenderPrompt(record), model)).ToList();
            var generator = new TextGenerator(model, Settings.Generation, Renderer.StopIds);
            answers = [.. generator
                .Generate(prompts, done => Tell("answering", done, prompts.Count), cancellation)
                .Select(ids => tokenizer.Decode(ids).Trim())];
        }

        int window = (int)Math.Min(MaximumLength, model.MaximumLength);
        var reference = new RollingLikelihood(model, tokenizer, prefix, window)
            .Score(Reference, done => Tell("reading general text", done, Reference.Count));
        return new Judgement { Answers = answers, Expected = Answers, Losses = Losses(model, Tell), Reference = reference };
    }

    /// <summary>Scores of a judgement, each with its interval.</summary>
    public IReadOnlyList<Metric> Scores(Judgement judgement) => judgement.Scores(Settings.Resamples);

    /// <summary>Changes from one judgement to another, over the very same items, each with its interval.</summary>
    public IReadOnlyList<Metric> Changes(Judgement before, Judgement after) => before.ChangesTo(after, Settings.Resamples);

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
