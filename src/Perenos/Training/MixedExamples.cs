using Perenos.Runs;
using Perenos.Text.Data;

namespace Perenos.Training;

/// <summary>
/// Examples that are learnt beside the data: one seeded order of all of them after the other, without end, so that none comes again before
/// all the others came. Each epoch takes the next ones until their learnt tokens, counted from the start of the run, are enough: which ones
/// is a pure function of seed and epoch.
/// </summary>
public sealed class MixedExamples
{
    private readonly int[] _learnt;
    private readonly ulong _seed;
    private (long Round, int[] Order) _current = (-1, []);

    /// <summary>Plans the draw.</summary>
    /// <param name="name">The source, for its user.</param>
    /// <param name="examples">The examples; each has something to learn.</param>
    /// <param name="share">Wanted share of all learnt tokens.</param>
    /// <param name="tokensPerEpoch">Learnt tokens that an epoch takes for that.</param>
    /// <param name="seed">Seed of the orders.</param>
    public MixedExamples(string name, IReadOnlyList<Example> examples, double share, long tokensPerEpoch, ulong seed)
    {
        (Name, Examples, Share, TokensPerEpoch, _seed) = (name, examples, share, tokensPerEpoch, seed);
        _learnt = StoredExamples.LearntOf(examples);
        Tokens = StoredExamples.LengthsOf(examples).Sum(length => (long)length) * examples[0].Rows.Count;
        LearntTokens = _learnt.Sum(tokens => (long)tokens);
        ArgumentOutOfRangeException.ThrowIfZero(LearntTokens, nameof(examples));
    }

    /// <summary>The source, for its user.</summary>
    public string Name { get; }

    /// <summary>All of them, each once.</summary>
    public IReadOnlyList<Example> Examples { get; }

    /// <summary>Wanted share of all learnt tokens.</summary>
    public double Share { get; }

    /// <summary>Learnt tokens that an epoch takes.</summary>
    public long TokensPerEpoch { get; }

    /// <summary>Tokens of all examples once.</summary>
    public long Tokens { get; }

    /// <summary>Learnt tokens of all examples once.</summary>
    public long LearntTokens { get; }

    /// <summary>Places in <see cref="Examples"/> of those that an epoch takes, the first epoch being 0.</summary>
    public IEnumerable<int> Of(int epoch)
    {
        var (round, place) = After(epoch * TokensPerEpoch);
        for (var end = After((epoch + 1) * TokensPerEpoch); (round, place) != end;)
        {
            yield return OrderOf(round)[place];
            (round, place) = place + 1 < _learnt.Length ? (round, place + 1) : (round + 1, 0);
        }
    }

    // The first place that has so many learnt tokens before it.
    private (long Round, int Place) After(long tokens)
    {
        var (round, left) = Math.DivRem(tokens, LearntTokens);
        int place = 0;
        for (; left > 0; place++)
            left -= _learnt[OrderOf(round)[place]];
        return place < _learnt.Length ? (round, place) : (round + 1, 0);
    }

    private int[] OrderOf(long round)
    {
        if (_current.Round != round)
            _current = (round, Seed.Permutation(Seed.Of(_seed, Name, (ulong)round), "round", _learnt.Length));
        return _current.Order;
    }
}
