using Perenos.Runs;
using Perenos.Text.Templates;

namespace Perenos.Text.Data;

/// <summary>Which part of a rendered conversation the assistant wrote: where each reply begins and ends in the text, and which tokens that makes.</summary>
internal static class ReplySpans
{
    /// <summary>
    /// The tokens that share at least one character with a span; one that straddles the start of a reply counts as reply,
    /// as in the masks of transformers' return_assistant_tokens_mask.
    /// </summary>
    public static (int First, int After) Overlapping(IReadOnlyList<(int Id, int Start, int End)> tokens, (int Start, int End) span)
    {
        int first = 0;
        while (first < tokens.Count && tokens[first].End <= span.Start)
            first++;
        int after = first;
        while (after < tokens.Count && tokens[after].Start < span.End)
            after++;
        return (first, after);
    }

    /// <summary>Learns a span that the template marks, to the last stop token in it, or with the one right behind it.</summary>
    public static void LearnMarked(IReadOnlyList<(int Id, int Start, int End)> tokens, bool[] isLearnt, (int Start, int End) span, HashSet<int> stops, string source)
    {
        var (first, after) = Overlapping(tokens, span);
        int last = after - 1;
        while (last >= first && !stops.Contains(tokens[last].Id))
            last--;
        if (last < first)
        {
            if (after >= tokens.Count || !stops.Contains(tokens[after].Id))
                throw NeverStops(source);
            last = after;
        }

        isLearnt.AsSpan(first, last - first + 1).Fill(true);
    }

    /// <summary>Learns from the start of a span to its first stop token, which is where generation would end.</summary>
    public static void LearnToFirstStop(IReadOnlyList<(int Id, int Start, int End)> tokens, bool[] isLearnt, (int Start, int End) span, HashSet<int> stops, string source)
    {
        var (first, after) = Overlapping(tokens, span);
        int last = first;
        while (last < after && !stops.Contains(tokens[last].Id))
            last++;
        if (last == after)
            throw NeverStops(source);
        isLearnt.AsSpan(first, last - first + 1).Fill(true);
    }

    /// <summary>
    /// The spans of the replies where the template marks none: a reply begins where the conversation before it, rendered with a generation prompt, ends.
    /// </summary>
    /// <param name="messages">The conversation.</param>
    /// <param name="whole">It, rendered.</param>
    /// <param name="prefix">Renders its first messages, with or without a generation prompt.</param>
    /// <param name="source">The record, for messages.</param>
    public static IEnumerable<(int Start, int End)> Find(IReadOnlyList<ChatMessage> messages, string whole, Func<int, bool, string> prefix, string source)
    {
        for (int i = 0; i < messages.Count; i++)
        {
            if (messages[i].Role != ChatMessage.Assistant)
                continue;
            if (i == 0)
                throw new PerenosException($"{source}: the conversation begins with the assistant, so nothing says where its reply begins.", "Put the user's message first.");
            string before = prefix(i, true);
            if (!whole.StartsWith(before, StringComparison.Ordinal))
            {
                throw new PerenosException($"{source}: the chat template writes the beginning of the conversation otherwise when reply {i + 1} follows, so the reply cannot be told from the prompt.",
                    "Use a template with {% generation %} tags around the assistant's content.");
            }

            yield return (before.Length, End(messages, i, whole, before.Length, prefix, source));
        }
    }

    // The end only has to lie before the next message's content: the first stop token after the start decides.
    private static int End(IReadOnlyList<ChatMessage> messages, int index, string whole, int start, Func<int, bool, string> prefix, string source)
    {
        if (index == messages.Count - 1)
            return whole.Length;
        string through = prefix(index + 1, false);
        if (whole.StartsWith(through, StringComparison.Ordinal) && through.Length >= start)
            return through.Length;

        // Some templates write a past reply shorter than the last one (without its thinking).
        string reply = messages[index].Content?.Trim() ?? "";
        int replyAt = reply.Length == 0 ? start : whole.IndexOf(reply, start, StringComparison.Ordinal);
        int from = replyAt < 0 ? start : replyAt + reply.Length;
        string next = messages[index + 1].Content?.Trim() ?? "";
        int end = next.Length == 0 ? -1 : whole.IndexOf(next, from, StringComparison.Ordinal);
        return end >= 0 ? end : throw new PerenosException($"{source}: the end of reply {index + 1} cannot be found in the text that the chat template makes.",
            "Use a template with {% generation %} tags around the assistant's content.");
    }

    private static PerenosException NeverStops(string source) =>
        new($"{source}: a reply does not end in a stop token, so the model would never learn to stop.", "The chat template must write the model's stop token (eos_token) after each reply; check that template and tokenizer belong together.");
}
