using Perenos.Runs;

namespace Perenos.Text.Metrics;

/// <summary>What BLEU does where a longer n-gram never matches.</summary>
public enum BleuSmoothing
{
    /// <summary>The k-th order without a match gets the precision 100 / (2^k · total); the default.</summary>
    Exponential,

    /// <summary>A count of zero becomes <see cref="BleuOptions.SmoothingValue"/> (0.1).</summary>
    Floor,

    /// <summary><see cref="BleuOptions.SmoothingValue"/> (1) is added to counts and totals from order 2 on.</summary>
    AddK,

    /// <summary>One order without a match makes the score 0.</summary>
    None,
}

/// <summary>The settings of BLEU; the defaults are sacreBLEU's.</summary>
public sealed record BleuOptions
{
    /// <summary>How text is cut into tokens.</summary>
    public BleuTokenization Tokenization { get; init; } = BleuTokenization.Wmt13a;

    /// <summary>Compares without regard to case.</summary>
    public bool Lowercase { get; init; }

    /// <summary>What happens at orders without a match.</summary>
    public BleuSmoothing Smoothing { get; init; } = BleuSmoothing.Exponential;

    /// <summary>The constant of floor and add-k; null means 0.1 and 1.</summary>
    public double? SmoothingValue { get; init; }

    /// <summary>The longest n-gram, in tokens.</summary>
    public int MaxOrder { get; init; } = 4;

    /// <summary>Averages only over orders that the output is long enough for: advisable for single sentences.</summary>
    public bool EffectiveOrder { get; init; }
}

/// <summary>A BLEU score with the parts that make it; it prints as sacreBLEU prints it.</summary>
/// <param name="Score">0 to 100; not clamped, so a perfect score may be 100.00000000000004.</param>
/// <param name="Precisions">Percent, by order.</param>
/// <param name="Counts">Matching n-grams by order, after smoothing by add-k.</param>
/// <param name="Totals">N-grams of the output by order, after smoothing by add-k.</param>
/// <param name="BrevityPenalty">1, or exp(1 - reference length / output length) for output that is too short.</param>
/// <param name="HypothesisLength">Tokens of the output.</param>
/// <param name="ReferenceLength">Tokens of the references, of each segment the one closest in length.</param>
public sealed record BleuScore(
    double Score,
    IReadOnlyList<double> Precisions,
    IReadOnlyList<double> Counts,
    IReadOnlyList<double> Totals,
    double BrevityPenalty,
    long HypothesisLength,
    long ReferenceLength)
{
    /// <summary>BLEU = 58.08 100.0/83.2/68.6/56.9 (BP = 0.770 ratio = 0.792 hyp_len = 1416 ref_len = 1787).</summary>
    public override string ToString()
    {
        double ratio = ReferenceLength == 0 ? 0 : (double)HypothesisLength / ReferenceLength;
        string precisions = string.Join('/', Precisions.Select(precision => MetricText.Fixed(precision, 1)));
        return $"BLEU = {MetricText.Fixed(Score, 2)} {precisions} (BP = {MetricText.Fixed(BrevityPenalty, 3)} "
            + $"ratio = {MetricText.Fixed(ratio, 3)} hyp_len = {HypothesisLength} ref_len = {ReferenceLength})";
    }
}

/// <summary>
/// BLEU (Papineni et al. 2002, https://aclanthology.org/P02-1040) as sacreBLEU defines it (Post 2018,
/// https://aclanthology.org/W18-6319): its tokenizers, smoothing, lengths and signature.
/// </summary>
public sealed class Bleu
{
    // Python's stand-in for log 0: finite, so that one empty order gives 0 and not a NaN.
    private const double LogOfZero = -9999999999;

    private readonly BleuOptions _options;

    /// <summary>BLEU with these settings.</summary>
    /// <exception cref="PerenosException">The longest n-gram is outside 1 to 16.</exception>
    public Bleu(BleuOptions? options = null)
    {
        _options = options ?? new BleuOptions();
        if (_options.MaxOrder is < 1 or > 16)
            throw new PerenosException($"BLEU cannot count n-grams up to order {_options.MaxOrder}.", "choose 1 to 16; the usual order is 4.");
    }

    /// <summary>The score of a corpus with one reference per segment.</summary>
    /// <exception cref="PerenosException">The lists are empty or differ in length.</exception>
    public BleuScore Corpus(IReadOnlyList<string> hypotheses, IReadOnlyList<string> references) =>
        Corpus(hypotheses, References.Single(references));

    /// <summary>The score of a corpus with one or several references per segment.</summary>
    /// <exception cref="PerenosException">The lists are empty or differ in length, or a segment has no reference.</exception>
    public BleuScore Corpus(IReadOnlyList<string> hypotheses, IReadOnlyList<IReadOnlyList<string>> references) =>
        ScoreOf(Measure(hypotheses, references).Sums());

    /// <summary>The score of one sentence; set <see cref="BleuOptions.EffectiveOrder"/>, or short sentences get 0.</summary>
    public BleuScore Sentence(string hypothesis, params IReadOnlyList<string> references) => Corpus([hypothesis], [references]);

    /// <summary>The statistics of each segment, for scores of resampled corpora; one reference per segment.</summary>
    public SegmentStatistics Measure(IReadOnlyList<string> hypotheses, IReadOnlyList<string> references) =>
        Measure(hypotheses, References.Single(references));

    /// <summary>
    /// The statistics of each segment: output length, closest reference length, matches by order, totals by order.
    /// </summary>
    /// <exception cref="PerenosException">The lists are empty or differ in length, or a segment has no reference.</exception>
    public SegmentStatistics Measure(IReadOnlyList<string> hypotheses, IReadOnlyList<IReadOnlyList<string>> references)
    {
        References.Check(hypotheses, references);
        int width = 2 + (2 * _options.MaxOrder);
        double[] values = new double[hypotheses.Count * width];
        for (int segment = 0; segment < hypotheses.Count; segment++)
            Count(hypotheses[segment], references[segment], values.AsSpan(segment * width, width));
        return new SegmentStatistics(width, values, sums => ScoreOf(sums).Score, Signature(references));
    }

    /// <summary>The score of a corpus whose segments' statistics add up to <paramref name="sums"/>.</summary>
    public BleuScore ScoreOf(ReadOnlySpan<double> sums)
    {
        int orders = _options.MaxOrder;
        var (length, reference) = (sums[0], sums[1]);
        double[] counts = sums.Slice(2, orders).ToArray();
        double[] totals = sums.Slice(2 + orders, orders).ToArray();
        double[] precisions = new double[orders];
        double brevity = length >= reference ? 1 : length > 0 ? Math.Exp(1 - (reference / length)) : 0;
        double score = Array.TrueForAll(counts, count => count == 0) ? 0 : brevity * GeometricMean(counts, totals, precisions);
        return new BleuScore(score, precisions, counts, totals, brevity, (long)length, (long)reference);
    }

    private double GeometricMean(double[] counts, double[] totals, double[] precisions)
    {
        double smoothing = _options.SmoothingValue ?? (_options.Smoothing == BleuSmoothing.Floor ? 0.1 : 1);
        double halved = 1;
        int effective = counts.Length;
        for (int order = 0; order < counts.Length; order++)
        {
            if (_options.Smoothing == BleuSmoothing.AddK && order > 0)
            {
                counts[order] += smoothing;
                totals[order] += smoothing;
            }

            if (totals[order] == 0)
                break;
            if (_options.EffectiveOrder)
                effective = order + 1;
            if (counts[order] != 0)
                precisions[order] = 100 * counts[order] / totals[order];
            else if (_options.Smoothing == BleuSmoothing.Exponential)
                precisions[order] = 100 / ((halved *= 2) * totals[order]);
            else if (_options.Smoothing == BleuSmoothing.Floor)
                precisions[order] = 100 * smoothing / totals[order];
        }

        double logs = precisions.Take(effective).Sum(precision => precision == 0 ? LogOfZero : Math.Log(precision));
        return Math.Exp(logs / effective);
    }

    private void Count(string hypothesis, IReadOnlyList<string> references, Span<double> row)
    {
        int orders = _options.MaxOrder;
        var counter = new NgramCounter(orders);
        int[] symbols = counter.Number(Tokens(hypothesis));
        var clipped = new Dictionary<int, int>();
        int closest = -1;
        foreach (string reference in references)
        {
            int[] other = counter.Number(Tokens(reference));

            // The closest length; of two equally close ones the shorter.
            if (closest < 0 || (Math.Abs(other.Length - symbols.Length), other.Length)
                .CompareTo((Math.Abs(closest - symbols.Length), closest)) < 0)
                closest = other.Length;
            foreach (var (node, count) in counter.Count(other))
                clipped[node] = Math.Max(count, clipped.GetValueOrDefault(node));
        }

        (row[0], row[1]) = (symbols.Length, closest);
        counter.Match(counter.Count(symbols), clipped, row.Slice(2, orders));
        for (int order = 1; order <= orders; order++)
            row[1 + orders + order] = NgramCounter.Total(symbols.Length, order);
    }

    private List<string> Tokens(string text) =>
        BleuTokenizer.Tokenize(_options.Lowercase ? MetricText.Lower(text) : text, _options.Tokenization);

    private string Signature(IReadOnlyList<IReadOnlyList<string>> references)
    {
        string smoothing = _options.Smoothing switch
        {
            BleuSmoothing.Exponential => "exp",
            BleuSmoothing.Floor => $"floor[{_options.SmoothingValue ?? 0.1:F2}]",
            BleuSmoothing.AddK => $"add-k[{_options.SmoothingValue ?? 1:F2}]",
            _ => "none",
        };
        return $"{References.CountOf(references)}|case:{(_options.Lowercase ? "lc" : "mixed")}|eff:{(_options.EffectiveOrder ? "yes" : "no")}"
            + $"|tok:{BleuTokenizer.NameOf(_options.Tokenization)}|smooth:{smoothing}|{References.Version}";
    }
}
