using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;

namespace Perenos.Generation;

/// <summary>Continues prompts, one or many at a time.</summary>
public sealed class TextGenerator
{
    // Rows generated together: more fill the processor better, fewer waste less on rows that ended early.
    private const int RowsAtOnce = 32;

    private readonly CausalModel _model;
    private readonly GenerationConfig _settings;
    private readonly HashSet<int> _stops;

    /// <summary>Prepares generation that ends a row at any of <paramref name="stops"/>.</summary>
    public TextGenerator(CausalModel model, GenerationConfig settings, IEnumerable<int> stops)
        => (_model, _settings, _stops) = (model, settings.Checked(), [.. stops]);

    /// <summary>New tokens one at a time, the stop token not included. No dispose scope is open while the caller has control.</summary>
    public IEnumerable<int> Stream(IReadOnlyList<int> prompt)
    {
        using var session = Start([prompt], [0]);
        for (int count = 0; count < Room(prompt.Count); count++)
        {
            int token = session.Next()[0];
            if (Ends(token))
                yield break;
            yield return token;
        }
    }

    /// <summary>
    /// New tokens of every prompt, in the prompts' order, stop tokens not included; prompts of like length share a batch. What is
    /// sampled for a prompt depends on the seed and its place in the list, not on its neighbours.
    /// </summary>
    /// <param name="prompts">Token ids, none of them empty.</param>
    /// <param name="onFinished">Told how many prompts are done.</param>
    /// <param name="cancellation">Checked at every token.</param>
    public IReadOnlyList<int[]> Generate(IReadOnlyList<int[]> prompts, Action<int>? onFinished = null, CancellationToken cancellation = default)
    {
        var results = new int[prompts.Count][];
        int finished = 0;
        foreach (int[] rows in Together(prompts))
        {
            var texts = GenerateTogether([.. rows.Select(row => prompts[row])], rows, cancellation);
            for (int index = 0; index < rows.Length; index++)
                results[rows[index]] = texts[index];
            finished += rows.Length;
            onFinished?.Invoke(finished);
        }

        return results;
    }

    /// <summary>Numbers of the prompts that are answered together, batch by batch.</summary>
    internal static IEnumerable<int[]> Together(IReadOnlyList<int[]> prompts) =>
        Enumerable.Range(0, prompts.Count).OrderBy(row => prompts[row].Length).Chunk(RowsAtOnce);

    /// <summary>Whether a token ends an answer.</summary>
    internal bool Ends(int token) => _stops.Contains(token);

    /// <summary>Most tokens of an answer.</summary>
    internal int Room(int promptLength) => (int)Math.Min(_settings.MaxNewTokens, _model.MaximumLength - promptLength);

    private int[][] GenerateTogether(IReadOnlyList<int[]> prompts, IReadOnlyList<int> numbers, CancellationToken cancellation)
    {
        var texts = prompts.Select(_ => new List<int>()).ToArray();
        var isOpen = prompts.Select(_ => true).ToArray();
        using var session = Start(prompts, numbers);
        for (int count = 0; isOpen.Contains(true); count++)
        {
            cancellation.ThrowIfCancellationRequested();
            var tokens = session.Next();
            for (int row = 0; row < texts.Length; row++)
            {
                isOpen[row] &= !Ends(tokens[row]);
                if (isOpen[row])
                    texts[row].Add(tokens[row]);
                isOpen[row] &= count + 1 < Room(prompts[row].Length);
            }
        }

        return [.. texts.Select(text => text.ToArray())];
    }

    internal GenerationSession Start(IReadOnlyList<IReadOnlyList<int>> prompts, IReadOnlyList<int> numbers)
    {
        if (prompts.Any(prompt => prompt.Count == 0))
            throw new PerenosException("A prompt is empty.", "Give at least one token to continue from.");
        long longest = prompts.Max(prompt => prompt.Count);
        if (longest >= _model.MaximumLength)
        {
            throw new PerenosException(
                $"A prompt has {longest} tokens, but the model was made for {_model.MaximumLength}.", "Shorten the prompt.");
        }

        return new GenerationSession(_model, prompts, numbers, prompts.Max(prompt => Room(prompt.Count)), new Sampler(_settings));
    }
}
