using Perenos.Text.Data;

namespace Perenos.Training;

/// <summary>Examples side by side, padded on the right; what is learnt is kept as positions, so padding needs no mask and no label.</summary>
public sealed class Batch
{
    private Batch(long[] tokens, int rows, int width, long[] positions, long[] targets)
        => (Tokens, Rows, Width, Positions, Targets) = (tokens, rows, width, positions, targets);

    /// <summary>(B, T) row by row; 0 on padding.</summary>
    public long[] Tokens { get; }

    /// <summary>B.</summary>
    public int Rows { get; }

    /// <summary>T, the longest example less its last token, which has nothing to predict.</summary>
    public int Width { get; }

    /// <summary>Places in B · T from which a learnt token is predicted.</summary>
    public long[] Positions { get; }

    /// <summary>The token predicted from each place.</summary>
    public long[] Targets { get; }

    /// <summary>The same places with other tokens to be predicted, in the same order; the inputs stay.</summary>
    public Batch Labelled(long[] targets) => targets.Length == Targets.Length
        ? new Batch(Tokens, Rows, Width, Positions, targets)
        : throw new ArgumentException($"{targets.Length} tokens for {Targets.Length} places.", nameof(targets));

    /// <summary>Puts examples side by side.</summary>
    public static Batch Of(IReadOnlyList<Example> examples)
    {
        int width = Math.Max(1, examples.Max(example => example.Ids.Length) - 1);
        var tokens = new long[examples.Count * width];
        List<long> positions = [], targets = [];
        for (int row = 0; row < examples.Count; row++)
        {
            var example = examples[row];
            for (int time = 0; time < example.Ids.Length; time++)
            {
                if (time < width)
                    tokens[row * width + time] = example.Ids[time];
                if (time > 0 && example.IsLearnt[time])
                {
                    positions.Add(row * width + time - 1);
                    targets.Add(example.Ids[time]);
                }
            }
        }

        return new Batch(tokens, examples.Count, width, [.. positions], [.. targets]);
    }
}
