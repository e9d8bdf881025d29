namespace Perenos.Text.Tokenization;

/// <summary>What becomes of the matches when a text is split at them.</summary>
internal enum SplitBehavior
{
    Removed,
    Isolated,
    MergedWithPrevious,
    MergedWithNext,
    Contiguous,
}

/// <summary>
/// Turns the matches of a pattern into pieces
/// (https://github.com/huggingface/tokenizers/blob/main/tokenizers/src/tokenizer/normalizer.rs, NormalizedString::split).
/// </summary>
internal static class Splitting
{
    /// <summary>Appends the pieces of <paramref name="text"/>; empty ones are left out.</summary>
    public static void Split(ReadOnlySpan<char> text, TextPattern pattern, SplitBehavior behavior, bool invert, List<TextRange> pieces)
    {
        if (text.IsEmpty)
            return;
        if (pattern is TilingPattern && behavior == SplitBehavior.Isolated)
        {
            pattern.FindMatches(text, pieces); // nothing lies between the matches
            return;
        }

        var matches = new List<TextRange>();
        pattern.FindMatches(text, matches);
        var parts = Cover(text.Length, matches, invert);
        if (behavior == SplitBehavior.MergedWithNext)
            parts.Reverse();

        bool previousIsMatch = false;
        int first = pieces.Count;
        foreach (var (range, isMatch) in parts)
        {
            bool joins = behavior switch
            {
                SplitBehavior.Contiguous => isMatch == previousIsMatch,
                SplitBehavior.MergedWithPrevious or SplitBehavior.MergedWithNext => isMatch && !previousIsMatch,
                _ => false,
            };
            previousIsMatch = isMatch;
            if (joins && pieces.Count > first)
                pieces[^1] = new TextRange(Math.Min(pieces[^1].Start, range.Start), Math.Max(pieces[^1].End, range.End));
            else if (behavior != SplitBehavior.Removed || !isMatch)
                pieces.Add(range);
        }

        if (behavior == SplitBehavior.MergedWithNext)
            pieces.Reverse(first, pieces.Count - first);
        int kept = first;
        for (int index = first; index < pieces.Count; index++)
        {
            if (pieces[index].Length > 0)
                pieces[kept++] = pieces[index];
        }

        pieces.RemoveRange(kept, pieces.Count - kept);
    }

    private static List<(TextRange Range, bool IsMatch)> Cover(int length, List<TextRange> matches, bool invert)
    {
        var parts = new List<(TextRange, bool)>(2 * matches.Count + 1);
        int last = 0;
        foreach (var match in matches)
        {
            if (last != match.Start)
                parts.Add((new TextRange(last, match.Start), invert));
            parts.Add((match, !invert));
            last = match.End;
        }

        if (last != length)
            parts.Add((new TextRange(last, length), invert));
        return parts;
    }
}
