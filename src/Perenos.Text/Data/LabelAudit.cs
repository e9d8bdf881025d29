using Perenos.Runs;

namespace Perenos.Text.Data;

/// <summary>What a set of examples holds.</summary>
/// <param name="Examples">Examples that remain.</param>
/// <param name="Tokens">All their tokens.</param>
/// <param name="LearntTokens">Labels among them.</param>
/// <param name="Truncated">Examples whose prompt was shortened.</param>
/// <param name="Dropped">Records left out because their completion does not fit.</param>
/// <param name="Longest">Tokens of the longest example.</param>
public sealed record LabelReport(int Examples, long Tokens, long LearntTokens, int Truncated, int Dropped, int Longest)
{
    /// <summary>Share of the tokens that are learnt.</summary>
    public double LearntShare => Tokens == 0 ? 0 : (double)LearntTokens / Tokens;
}

/// <summary>A token for the user to look at.</summary>
public readonly record struct PreviewToken(int Id, string Text, bool IsLearnt);

/// <summary>
/// Refuses data that would train nothing or teach a model never to stop, before the training: the commonest silent failures of fine-tuning
/// (https://github.com/huggingface/trl/issues/6668, https://github.com/huggingface/transformers/issues/34494).
/// </summary>
public static class LabelAudit
{
    private const int RowsNamed = 5;

    /// <summary>Counts the examples, and refuses them where labels are missing, are cut off, or never hold a stop token.</summary>
    /// <param name="examples">The examples as they will be trained on.</param>
    /// <param name="stopIds">Tokens at which generation stops.</param>
    /// <param name="maximumLength">The most tokens that an example may have.</param>
    /// <param name="dropped">Records that <see cref="LengthLimit"/> left out.</param>
    /// <exception cref="PerenosException">The message names up to five rows.</exception>
    public static LabelReport Check(IReadOnlyList<Example> examples, IReadOnlySet<int> stopIds, int maximumLength, int dropped = 0)
    {
        ArgumentNullException.ThrowIfNull(examples);
        ArgumentNullException.ThrowIfNull(stopIds);
        if (examples.Count == 0)
        {
            throw new PerenosException(dropped == 0 ? "There are no examples." : $"There are no examples: all {dropped} completions are longer than {maximumLength} tokens.",
                dropped == 0 ? "Check that the file has records." : "Raise the maximum length, or shorten the completions.");
        }

        Refuse(examples, example => example.LearntTokens == 0, "have nothing to learn: no token is a label",
            "An empty completion, or a conversation without a reply. Remove these rows, or check --prompt and --completion.");
        Refuse(examples, example => example.Ids.Length > maximumLength, $"are longer than {maximumLength} tokens and would be cut off",
            "Raise the maximum length, or let the prompts be shortened.");
        Refuse(examples, example => !example.IsText && HasCutReply(example, stopIds), "have a reply that does not end in a stop token, so the model would learn not to stop",
            "Check that the tokenizer, the chat template and the stop token belong to one model.");
        if (!examples.Any(example => example.Ids.Zip(example.IsLearnt).Any(token => token.Second && stopIds.Contains(token.First))))
            Refuse(examples, _ => true, "never have a stop token among their labels, so the model would learn not to stop", "Check which token ends a text for this model (eos_token_id).");

        return new LabelReport(examples.Count, examples.Sum(example => (long)example.Ids.Length), examples.Sum(example => (long)example.LearntTokens),
            examples.Count(example => example.IsTruncated), dropped, examples.Max(example => example.Ids.Length));
    }

    /// <summary>The tokens one by one; <paramref name="text"/> gives the text of one token.</summary>
    public static IReadOnlyList<PreviewToken> Preview(Example example, Func<int, string> text)
    {
        ArgumentNullException.ThrowIfNull(example);
        ArgumentNullException.ThrowIfNull(text);
        return [.. example.Ids.Zip(example.IsLearnt, (id, isLearnt) => new PreviewToken(id, text(id), isLearnt))];
    }

    private static bool HasCutReply(Example example, IReadOnlySet<int> stopIds) =>
        Enumerable.Range(0, example.Ids.Length).Any(i => example.IsLearnt[i] && (i + 1 == example.Ids.Length || !example.IsLearnt[i + 1]) && !stopIds.Contains(example.Ids[i]));

    private static void Refuse(IReadOnlyList<Example> examples, Func<Example, bool> isWrong, string what, string hint)
    {
        int count = examples.Count(isWrong);
        if (count == 0)
            return;
        string rows = string.Join(", ", examples.Where(isWrong).Take(RowsNamed).Select(example => example.Source));
        throw new PerenosException($"{count} of {examples.Count} examples {what}: {rows}{(count > RowsNamed ? ", …" : "")}.", hint);
    }
}
