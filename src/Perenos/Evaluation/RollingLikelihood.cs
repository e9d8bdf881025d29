using Perenos.Models;
using Perenos.Text.Data;
using Perenos.Text.Tokenization;
using Perenos.Training;

namespace Perenos.Evaluation;

/// <summary>How well a model predicts one document.</summary>
/// <param name="Nats">Σ −ln p over its tokens.</param>
/// <param name="Tokens">Tokens predicted.</param>
/// <param name="Bytes">Length in UTF-8.</param>
/// <param name="Words">Pieces between white space.</param>
public readonly record struct DocumentLikelihood(double Nats, long Tokens, long Bytes, long Words);

/// <summary>
/// Likelihood of whole documents by sliding windows, each token predicted once, as the field's evaluation harness slides them
/// (https://github.com/EleutherAI/lm-evaluation-harness, get_rolling_token_windows): a prefix token stands before the first.
/// </summary>
/// <param name="Model">The model that predicts.</param>
/// <param name="Tokenizer">Its tokenizer.</param>
/// <param name="Prefix">Token before the first of a document; none leaves the first token unpredicted.</param>
/// <param name="Window">Most tokens predicted from one forward call.</param>
/// <param name="Context">Least tokens of left context in every window after the first; 1 makes windows disjoint.</param>
public sealed record RollingLikelihood(CausalModel Model, Tokenizer Tokenizer, int? Prefix, int Window, int Context = 1)
{
    // Tokens computed at once: enough to fill the processor, little memory.
    private const int BatchTokens = 2048;

    /// <summary>One value a document, in their order.</summary>
    public IReadOnlyList<DocumentLikelihood> Score(IReadOnlyList<string> documents, Action<int>? onFinished = null)
    {
        int[][] ids = [.. documents.Select(text => Tokenizer.Encode(text))];
        var batches = Batches(ids);
        var results = new DocumentLikelihood[documents.Count];
        for (int index = 0; index < documents.Count; index++)
        {
            string text = documents[index];
            results[index] = new DocumentLikelihood(0, Prefix is null ? Math.Max(0, ids[index].Length - 1) : ids[index].Length,
                System.Text.Encoding.UTF8.GetByteCount(text), CountWords(text));
        }

        int done = 0, total = batches.Sum(batch => batch.Length);
        foreach (var batch in batches)
        {
            using var losses = BatchLoss.NegativeLogLikelihood(Model, Batch.Of([.. batch.Select(entry => entry.Window)]));
            using var onProcessor = losses.cpu();
            var values = onProcessor.data<float>().ToArray();
            int place = 0;
            foreach (var (document, window) in batch)
            {
                double nats = 0;
                for (int count = window.IsLearnt.Count(isLearnt => isLearnt); count > 0; count--)
                    nats += values[place++];
                results[document] = results[document] with { Nats = results[document].Nats + nats };
            }

            done += batch.Length;
            onFinished?.Invoke(done * documents.Count / total);
        }

        return results;
    }

    /// <summary>The windows that are read together, in their order.</summary>
    internal IReadOnlyList<IReadOnlyList<Example>> WindowsTogether(IReadOnlyList<string> documents) =>
        [.. Batches([.. documents.Select(text => Tokenizer.Encode(text))]).Select(batch => batch.Select(entry => entry.Window).ToList())];

    /// <summary>The windows of a document: what stands before, and which tokens are predicted.</summary>
    internal IEnumerable<Example> Windows(int[] ids, string source)
    {
        if (ids.Length == 0)
            yield break;
        int first = Math.Min(Window, ids.Length);
        int[] start = Prefix is { } prefix ? [prefix, .. ids[..first]] : ids[..first];
        if (start.Length > 1)
            yield return Predicting(start, Prefix is null ? first - 1 : first, source);
        for (int predicted = first; predicted < ids.Length;)
        {
            int count = Math.Min(ids.Length - predicted, Window - Context + 1);
            int end = predicted + count;
            yield return Predicting(ids[Math.Max(0, end - Window - 1)..end], count, source);
            predicted = end;
        }
    }

    private static Example Predicting(int[] ids, int last, string source) =>
        new(ids, [.. ids.Select((_, place) => place >= ids.Length - last)], source);

    // Windows of a batch have one length, so that no document's value depends on its neighbours' padding.
    private List<(int Document, Example Window)[]> Batches(int[][] documents) =>
        [.. documents.SelectMany((ids, document) => Windows(ids, $"document {document + 1}").Select(window => (Document: document, Window: window)))
            .GroupBy(entry => entry.Window.Ids.Length).OrderBy(group => group.Key)
            .SelectMany(group => group.Chunk(Math.Max(1, BatchTokens / group.Key)))];

    // The harness counts the pieces of a split at \s+: leading or trailing white space counts an empty piece.
    private static long CountWords(string text) => System.Text.RegularExpressions.Regex.Count(text, @"\s+") + 1;
}
