using Perenos.Runs;

namespace Perenos.Text.Data;

/// <summary>
/// Makes examples fit a model's length: a prompt loses tokens from its left, a completion never loses any, plain text is split into windows.
/// </summary>
public sealed class LengthLimit
{
    /// <summary>A limit of at least two tokens: one to look at and one to learn.</summary>
    public LengthLimit(int maximum)
    {
        if (maximum < 2)
            throw new PerenosException($"A maximum length of {maximum} tokens leaves nothing to learn.", "Set it to at least 2; some hundreds are usual.");
        Maximum = maximum;
    }

    /// <summary>The most tokens that an example may have.</summary>
    public int Maximum { get; }

    /// <summary>Examples whose prompt was shortened so far.</summary>
    public int Truncated { get; private set; }

    /// <summary>Examples left out so far because their completion alone does not fit.</summary>
    public int Dropped { get; private set; }

    /// <summary>The example as it is, shortened, as several windows, or not at all.</summary>
    public IEnumerable<Example> Apply(Example example)
    {
        ArgumentNullException.ThrowIfNull(example);
        if (example.Length <= Maximum)
            return [example];
        return example.IsText ? Windows(example) : Shorten(example) is { } shortened ? [shortened] : [];
    }

    /// <summary>The examples that remain of many, in order.</summary>
    public IEnumerable<Example> Apply(IEnumerable<Example> examples) => examples.SelectMany(Apply);

    /// <summary>The end of a prompt for generation, with its start token, in at most <paramref name="maximum"/> tokens.</summary>
    public static int[] ShortenPrompt(int[] ids, int maximum, int? startId)
    {
        ArgumentNullException.ThrowIfNull(ids);
        ArgumentOutOfRangeException.ThrowIfLessThan(maximum, 1);
        if (ids.Length <= maximum)
            return ids;
        return ids[0] == startId && maximum > 1 ? [ids[0], .. ids[^(maximum - 1)..]] : ids[^maximum..];
    }

    // Neighbours share one token, the last of one being the context of the next, so that every token but the first is learnt once.
    private List<Example> Windows(Example example)
    {
        var windows = new List<Example>();
        for (int start = 0; start + 1 < example.Ids.Length; start += Maximum - 1)
        {
            int end = Math.Min(start + Maximum, example.Ids.Length);
            bool[] isLearnt = example.IsLearnt[start..end];
            isLearnt[0] = false;
            windows.Add(example with { Ids = example.Ids[start..end], IsLearnt = isLearnt, HasStart = example.HasStart && start == 0 });
        }

        return windows;
    }

    // Of a pair both prompts lose the same tokens.
    private Example? Shorten(Example example)
    {
        int excess = example.Length - Maximum;
        var rows = example.Rows.Select(row => ShortenPrompt(row, row.Ids.Length - excess)).ToList();
        if (rows.Contains(null))
        {
            Dropped++;
            return null;
        }

        Truncated++;
        return rows[0]! with { Rejected = rows.ElementAtOrDefault(1) };
    }

    private static Example? ShortenPrompt(Example example, int maximum)
    {
        // What must stay is the last reply; earlier ones of a conversation belong to its prompt.
        int lastReply = example.IsLearnt.Length;
        while (lastReply > 0 && !example.IsLearnt[lastReply - 1])
            lastReply--;
        int replyEnd = lastReply;
        while (lastReply > 0 && example.IsLearnt[lastReply - 1])
            lastReply--;

        int kept = example.HasStart ? 1 : 0;
        int length = replyEnd - lastReply;
        if (length == 0 || Math.Max(kept, 1) + length > maximum)
            return null;

        // What follows the last reply teaches nothing and goes first.
        int start = Math.Max(kept, replyEnd - (maximum - kept));
        bool[] isLearnt = example.IsLearnt[start..replyEnd];
        for (int i = 0; start > kept && i < isLearnt.Length && isLearnt[i] && example.IsLearnt[start - 1]; i++)
            isLearnt[i] = false; // the rest of a reply whose beginning is gone
        if (kept == 0)
            isLearnt[0] = false;
        return example with { Ids = [.. example.Ids[..kept], .. example.Ids[start..replyEnd]], IsLearnt = [.. example.IsLearnt[..kept], .. isLearnt], IsTruncated = true };
    }
}
