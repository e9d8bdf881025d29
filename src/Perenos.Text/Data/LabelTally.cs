using Perenos.Runs;

namespace Perenos.Text.Data;

/// <summary>The audit of examples that are seen one at a time: what they hold, and which of them would train nothing or the wrong thing.</summary>
/// <param name="stopIds">Tokens at which generation stops.</param>
/// <param name="maximumLength">The most tokens that an example may have.</param>
public sealed class LabelTally(IReadOnlySet<int> stopIds, int maximumLength)
{
    private readonly Fault[] _faults =
    [
        new("have nothing to learn: no token is a label", "An empty completion, or a conversation without a reply. Remove these rows, or check --prompt and --completion."),
        new($"are longer than {maximumLength} tokens and would be cut off", "Raise the maximum length, or let the prompts be shortened."),
        new("have a reply that does not end in a stop token, so the model would learn not to stop", "Check that the tokenizer, the chat template and the stop token belong to one model."),
    ];

    private readonly Fault _neverStops = new("never have a stop token among their labels, so the model would learn not to stop", "Check which token ends a text for this model (eos_token_id).");
    private bool _stops;
    private int _examples;
    private int _truncated;
    private int _longest;
    private long _tokens;
    private long _learnt;

    /// <summary>Looks at one more.</summary>
    public void Add(Example example)
    {
        ArgumentNullException.ThrowIfNull(example);
        int learnt = example.LearntTokens;
        (_examples, _tokens, _learnt, _longest) = (_examples + 1, _tokens + example.Ids.Length, _learnt + learnt, Math.Max(_longest, example.Ids.Length));
        _truncated += example.IsTruncated ? 1 : 0;
        _stops |= example.Ids.Zip(example.IsLearnt).Any(token => token.Second && stopIds.Contains(token.First));
        _neverStops.Rows.Add(example.Source);
        if (learnt == 0)
            _faults[0].Rows.Add(example.Source);
        if (example.Ids.Length > maximumLength)
            _faults[1].Rows.Add(example.Source);
        if (!example.IsText && HasCutReply(example))
            _faults[2].Rows.Add(example.Source);
    }

    /// <summary>What all of them hold.</summary>
    /// <param name="dropped">Records that <see cref="LengthLimit"/> left out.</param>
    /// <exception cref="PerenosException">There are none, or some have a fault; the message names up to five rows.</exception>
    public LabelReport Report(int dropped = 0)
    {
        if (_examples == 0)
        {
            throw new PerenosException(dropped == 0 ? "There are no examples." : $"There are no examples: all {dropped} completions are longer than {maximumLength} tokens.",
                dropped == 0 ? "Check that the file has records." : "Raise the maximum length, or shorten the completions.");
        }

        foreach (var fault in _faults.Append(_neverStops).Where(fault => fault.Rows.Count > 0 && !(fault == _neverStops && _stops)))
            throw new PerenosException($"{fault.Rows.Count} of {_examples} examples {fault.What}: {fault.Rows}.", fault.Hint);
        return new LabelReport(_examples, _tokens, _learnt, _truncated, dropped, _longest);
    }

    private bool HasCutReply(Example example) =>
        Enumerable.Range(0, example.Ids.Length).Any(i => example.IsLearnt[i] && (i + 1 == example.Ids.Length || !example.IsLearnt[i + 1]) && !stopIds.Contains(example.Ids[i]));

    private sealed record Fault(string What, string Hint)
    {
        public NamedRows Rows { get; } = new();
    }
}
