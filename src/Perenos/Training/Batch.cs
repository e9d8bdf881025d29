using Perenos.Text.Data;

namespace Perenos.Training;

/// <summary>Examples side by side, padded on the right; what is learnt is kept as positions, so padding needs no mask and no label.</summary>
public sealed class Batch
{
    private Batch(long[] tokens, bool[] isReal, int rows, int width, long[] positions, long[] targets)
        => (Tokens, IsReal, Rows, Width, Positions, Targets) = (tokens, isReal, rows, width, positions, targets);

    /// <summary>(B, T) row by row; 0 on padding.</summary>
    public long[] Tokens { get; }

    /// <summary>Of each token, whether it is an example's and not padding.</summary>
    public bool[] IsReal { get; }

    /// <summary>Of each token, the number of its text in its row, where several share one; otherwise null.</summary>
    public long[]? Texts { get; private init; }

    /// <summary>Of each token, its position in its text, where several share a row; otherwise null.</summary>
    public long[]? Places { get; private init; }

    /// <summary>B.</summary>
    public int Rows { get; }

    /// <summary>T, the longest example less its last token, which has nothing to predict.</summary>
    public int Width { get; }

    /// <summary>Places in B · T from which a learnt token is predicted.</summary>
    public long[] Positions { get; }

    /// <summary>The token predicted from each place.</summary>
    public long[] Targets { get; }

    /// <summary>Whether rows 2 i and 2 i + 1 are a chosen and a rejected answer to one prompt.</summary>
    public bool IsPaired { get; private init; }

    /// <summary>What the loss is a mean over: pairs, otherwise learnt tokens.</summary>
    public int Units => IsPaired ? Rows / 2 : Targets.Length;

    /// <summary>The same places with other tokens to be predicted, in the same order; the inputs stay.</summary>
    public Batch Labelled(long[] targets) => targets.Length == Targets.Length
        ? new Batch(Tokens, IsReal, Rows, Width, Positions, targets) { Texts = Texts, Places = Places }
        : throw new ArgumentException($"{targets.Length} tokens for {Targets.Length} places.", nameof(targets));

    /// <summary>Puts examples side by side; a pair takes two rows.</summary>
    public static Batch Of(IReadOnlyList<Example> examples)
    {
        bool isPaired = examples.All(example => example.Rejected is not null);
        if (isPaired)
            examples = [.. examples.SelectMany(example => example.Rows)];
        int width = Math.Max(1, examples.Max(example => example.Ids.Length) - 1);
        var tokens = new long[examples.Count * width];
        var isReal = new bool[tokens.Length];
        List<long> positions = [], targets = [];
        for (int row = 0; row < examples.Count; row++)
        {
            var example = examples[row];
            for (int time = 0; time < example.Ids.Length; time++)
            {
                if (time < width)
                    (tokens[row * width + time], isReal[row * width + time]) = (example.Ids[time], true);
                if (time > 0 && example.IsLearnt[time])
                {
                    positions.Add(row * width + time - 1);
                    targets.Add(example.Ids[time]);
                }
            }
        }

        return new Batch(tokens, isReal, examples.Count, width, [.. positions], [.. targets]) { IsPaired = isPaired };
    }

    /// <summary>Puts several examples into a row where they fit, the longest first; none sees another, and each begins at position 0.</summary>
    /// <param name="examples">The examples.</param>
    /// <param name="width">Most tokens of a row; a longer example gets a row as long as itself.</param>
    public static Batch Pack(IReadOnlyList<Example> examples, int width)
    {
        width = Math.Max(width, examples.Max(example => example.Ids.Length - 1));
        var rows = Fill([.. examples.Select(example => example.Ids.Length)], width).Select(row => row.Select(index => examples[index]).ToList()).ToList();
        width = Math.Max(1, rows.Max(row => row.Sum(example => example.Ids.Length - 1)));
        var (tokens, isReal, texts, places) = (new long[rows.Count * width], new bool[rows.Count * width], new long[rows.Count * width], new long[rows.Count * width]);
        List<long> positions = [], targets = [];
        for (int row = 0; row < rows.Count; row++)
        {
            int place = row * width;
            foreach (var (text, example) in rows[row].Index())
            {
                for (int time = 0; time < example.Ids.Length; time++)
                {
                    // Nothing is predicted from the last token, so it takes no place.
                    if (time < example.Ids.Length - 1)
                        (tokens[place + time], isReal[place + time], texts[place + time], places[place + time]) = (example.Ids[time], true, text + 1, time);
                    if (time > 0 && example.IsLearnt[time])
                    {
                        positions.Add(place + time - 1);
                        targets.Add(example.Ids[time]);
                    }
                }

                place += example.Ids.Length - 1;
            }
        }

        return new Batch(tokens, isReal, rows.Count, width, [.. positions], [.. targets]) { Texts = texts, Places = places };
    }

    /// <summary>Which examples share a row, by their lengths: first fit, the longest first.</summary>
    internal static List<List<int>> Fill(IReadOnlyList<int> lengths, int width)
    {
        List<List<int>> rows = [];
        List<int> room = [];
        foreach (int index in Enumerable.Range(0, lengths.Count).OrderByDescending(index => lengths[index]))
        {
            int row = room.FindIndex(left => left >= lengths[index] - 1);
            if (row < 0)
            {
                row = rows.Count;
                rows.Add([]);
                room.Add(width);
            }

            rows[row].Add(index);
            room[row] -= lengths[index] - 1;
        }

        return rows;
    }
}
