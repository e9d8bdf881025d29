namespace Perenos.Training;

/// <summary>Seconds of many pieces of work from some of them.</summary>
internal static class SampledTime
{
    /// <summary>
    /// Measures the middle piece of each of so many equal stretches of all pieces by rising weight. Within a stretch, where weights are alike, time
    /// is taken to grow with them; over all it may grow as it likes.
    /// </summary>
    /// <param name="weights">About what each piece costs, in any unit.</param>
    /// <param name="stretches">Pieces measured, where there are as many.</param>
    /// <param name="measure">Does a piece and gives its seconds.</param>
    public static double Of(IReadOnlyList<double> weights, int stretches, Func<int, double> measure)
    {
        int[] order = [.. Enumerable.Range(0, weights.Count).OrderBy(piece => weights[piece])];
        double seconds = 0;
        stretches = Math.Min(stretches, order.Length);
        for (int stretch = 0; stretch < stretches; stretch++)
        {
            var pieces = order[(stretch * order.Length / stretches)..((stretch + 1) * order.Length / stretches)];
            int middle = pieces[pieces.Length / 2];
            seconds += measure(middle) / weights[middle] * pieces.Sum(piece => weights[piece]);
        }

        return seconds;
    }

    /// <summary>
    /// Measures so many pieces that follow each other, where they weigh on average most nearly what all do. Unlike pieces from here and there they
    /// find of what earlier ones prepared (compiled kernels of a shape, memory in caches) as much as all will. A fixed cost of every piece is seen rightly.
    /// </summary>
    /// <param name="weights">About what each piece costs, in any unit, in the order in which they will be done.</param>
    /// <param name="count">Pieces measured, where there are as many.</param>
    /// <param name="measure">Does a piece and gives its seconds.</param>
    public static double OfStretch(IReadOnlyList<double> weights, int count, Func<int, double> measure)
    {
        if (weights.Count == 0)
            return 0;
        count = Math.Min(count, weights.Count);
        double average = weights.Average();
        double Distance(int first) => Math.Abs(weights.Skip(first).Take(count).Average() - average);
        var pieces = Enumerable.Range(Enumerable.Range(0, weights.Count - count + 1).MinBy(Distance), count).ToList();
        return pieces.Sum(measure) / pieces.Sum(piece => weights[piece]) * weights.Sum();
    }
}
