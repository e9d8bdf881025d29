namespace Perenos.Text.Data;

/// <summary>A record as tokens, with the mask of what is learnt.</summary>
/// <param name="Ids">The tokens.</param>
/// <param name="IsLearnt">Whether token i is a label, predicted from the tokens before it; so the first token never is.</param>
/// <param name="Source">The record, as "file.jsonl:17".</param>
public sealed record Example(int[] Ids, bool[] IsLearnt, string Source)
{
    /// <summary>Whether all of it is learnt, so that it may be split into windows; otherwise only replies are.</summary>
    public bool IsText { get; init; }

    /// <summary>Whether the first token is the model's start token, which truncation keeps.</summary>
    public bool HasStart { get; init; }

    /// <summary>Whether the prompt lost tokens from its left.</summary>
    public bool IsTruncated { get; init; }

    /// <summary>The answer to the same prompt that this one is preferred to, where pairs are learnt from.</summary>
    public Example? Rejected { get; init; }

    /// <summary>Tokens of the example, or of the longer one of a pair.</summary>
    public int Length => Math.Max(Ids.Length, Rejected?.Ids.Length ?? 0);

    /// <summary>The rows that it takes in a batch: itself, and behind it what it is preferred to.</summary>
    public IReadOnlyList<Example> Rows => Rejected is null ? [this] : [this, Rejected];

    /// <summary>Number of labels.</summary>
    public int LearntTokens => IsLearnt.Count(isLearnt => isLearnt);
}
