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
    /// <summary>Counts the examples, and refuses them where labels are missing, are cut off, or never hold a stop token.</summary>
    /// <param name="examples">The examples as they will be trained on.</param>
    /// <param name="stopIds">Tokens at which generation stops.</param>
    /// <param name="maximumLength">The most tokens that an example may have.</param>
    /// <param name="dropped">Records that <see cref="LengthLimit"/> left out.</param>
    /// <exception cref="PerenosException">The message names up to five rows.</exception>
    public static LabelReport Check(IReadOnlyList<Example> examples, IReadOnlySet<int> stopIds, int maximumLength, int dropped = 0)
    {
        ArgumentNullException.ThrowIfNull(examples);
        var tally = new LabelTally(stopIds, maximumLength);
        foreach (var example in examples)
            tally.Add(example);
        return tally.Report(dropped);
    }

    /// <summary>The tokens one by one; <paramref name="text"/> gives the text of one token.</summary>
    public static IReadOnlyList<PreviewToken> Preview(Example example, Func<int, string> text)
    {
        ArgumentNullException.ThrowIfNull(example);
        ArgumentNullException.ThrowIfNull(text);
        return [.. example.Ids.Zip(example.IsLearnt, (id, isLearnt) => new PreviewToken(id, text(id), isLearnt))];
    }
}
