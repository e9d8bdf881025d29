namespace Perenos.Generation;

/// <summary>What answering prompts costs, from the beginning of it.</summary>
internal sealed class AnsweringTime
{
    // Tokens that a batch is answered with at least: the first, which reads the prompts, and some that are timed.
    private const int LeastTokens = 8;

    private readonly TextGenerator _generator;
    private readonly IReadOnlyList<int[]> _prompts;
    private readonly int[][] _batches;
    private readonly int[] _heaviest;
    private readonly Dictionary<int, Pace> _paceOfRows = [];

    /// <summary>Answers the heaviest batch until all its answers have ended or a share of the work is done, and begins with one of each other size.</summary>
    /// <param name="generator">What will answer.</param>
    /// <param name="prompts">All prompts.</param>
    /// <param name="clock">Measures seconds.</param>
    /// <param name="share">Share of what answering all prompts to the limit would take.</param>
    /// <param name="stop">Asks to stop.</param>
    public AnsweringTime(TextGenerator generator, IReadOnlyList<int[]> prompts, TimeProvider clock, double share, CancellationToken stop)
    {
        (_generator, _prompts, _batches) = (generator, prompts, [.. TextGenerator.Together(prompts)]);
        _heaviest = _batches.MaxBy(PromptTokens)!;
        // Not used: code generation.
        Begin([_heaviest[0]], clock, LeastTokens, stop);
        int wanted = (int)(share * _batches.Sum(batch => (long)batch.Length * Limit(batch)) / _heaviest.Length);
        (Tokens, HasEnded) = Begin(_heaviest, clock, Math.Max(LeastTokens, wanted), stop);
        foreach (var batch in _batches.Where(batch => batch.Length != _heaviest.Length).DistinctBy(batch => batch.Length))
            Begin(batch, clock, LeastTokens, stop);
    }

    /// <summary>Tokens that the heaviest batch was answered with.</summary>
    public int Tokens { get; }

    /// <summary>Whether all its answers had ended by then.</summary>
    public bool HasEnded { get; }

    /// <summary>Seconds where every batch goes on to the limit.</summary>
    public double Most => Seconds(Limit);

    /// <summary>Seconds of all batches.</summary>
    /// <param name="tokens">Of the prompts of a batch, by their number: tokens until the last answer has ended.</param>
    public double Seconds(Func<int[], int> tokens) => _batches.Sum(batch =>
    {
        var pace = _paceOfRows[batch.Length];
        return pace.PromptToken * PromptTokens(batch) + pace.Token * Math.Max(0, Math.Min(tokens(batch), Limit(batch)) - 1);
    });

    private int Limit(int[] batch) => batch.Max(row => _generator.Room(_prompts[row].Length));

    private long PromptTokens(int[] batch) => (long)batch.Length * batch.Max(row => _prompts[row].Length);

    private (int Tokens, bool HasEnded) Begin(int[] batch, TimeProvider clock, int most, CancellationToken stop)
    {
        using var session = _generator.Start([.. batch.Select(row => _prompts[row])], batch);
        var isOpen = batch.Select(_ => true).ToArray();
        List<double> seconds = [];
        while (isOpen.Contains(true) && seconds.Count < most)
        {
            stop.ThrowIfCancellationRequested();
            long start = clock.GetTimestamp();
            var tokens = session.Next();
            seconds.Add(clock.GetElapsedTime(start).TotalSeconds);
            for (int row = 0; row < batch.Length; row++)
                isOpen[row] &= !_generator.Ends(tokens[row]) && seconds.Count < _generator.Room(_prompts[batch[row]].Length);
        }

        // The median: one token that waited for something else says nothing of the others.
        double[] later = [.. seconds.Skip(1).Order()];
        _paceOfRows[batch.Length] = new Pace(seconds[0] / PromptTokens(batch), later.Length == 0 ? seconds[0] : later[later.Length / 2]);
        if (isOpen.Contains(true))
            session.FillCache();
        return (seconds.Count, !isOpen.Contains(true));
    }

    private readonly record struct Pace(double PromptToken, double Token);
}
