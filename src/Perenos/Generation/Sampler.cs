using System.Numerics.Tensors;
using Perenos.Runs;
using Perenos.Runs.Config;

namespace Perenos.Generation;

/// <summary>Chooses the next token from logits, by the settings; a pure function of the seed, the row and the step.</summary>
internal sealed class Sampler(GenerationConfig settings)
{
    public int Choose(Span<float> logits, IReadOnlyList<int> context, int row, int step)
    {
        if (settings.RepetitionPenalty != 1)
            Penalize(logits, context);
        if (settings.Temperature == 0)
            return TensorPrimitives.IndexOfMax<float>(logits);

        // The largest becomes 0 first: e^x of large logits, or of any at a low temperature, is beyond float32.
        TensorPrimitives.Subtract(logits, TensorPrimitives.Max<float>(logits), logits);
        TensorPrimitives.Divide(logits, (float)settings.Temperature, logits);
        TensorPrimitives.SoftMax(logits, logits);
        var candidates = Candidates(logits);
        double total = candidates.Sum(candidate => (double)candidate.Probability);
        double point = (Seed.Of(settings.Seed, $"sample of row {row}", (ulong)step) >> 11) * Math.ScaleB(1, -53) * total;
        foreach (var candidate in candidates)
        {
            point -= candidate.Probability;
            if (point < 0)
                return candidate.Token;
        }

        return candidates[^1].Token;
    }

    private void Penalize(Span<float> logits, IReadOnlyList<int> context)
    {
        foreach (int token in context.Distinct())
        {
            float penalty = (float)settings.RepetitionPenalty;
            logits[token] = logits[token] > 0 ? logits[token] / penalty : logits[token] * penalty;
        }
    }

    // Likeliest first; top_k, then top_p, then min_p, as in transformers.
    private List<(int Token, float Probability)> Candidates(ReadOnlySpan<float> probabilities)
    {
        var sorted = new (int Token, float Probability)[probabilities.Length];
        for (int token = 0; token < sorted.Length; token++)
            sorted[token] = (token, probabilities[token]);
        Array.Sort(sorted, (left, right) =>
        {
            int byProbability = right.Probability.CompareTo(left.Probability);
            return byProbability != 0 ? byProbability : left.Token.CompareTo(right.Token);
        });

        int most = settings.TopK > 0 ? Math.Min(settings.TopK, sorted.Length) : sorted.Length;
        double mass = sorted.Take(most).Sum(candidate => (double)candidate.Probability);
        List<(int Token, float Probability)> kept = [];
        double before = 0;
        foreach (var candidate in sorted.AsSpan(0, most))
        {
            bool isEnough = before >= settings.TopP * mass && kept.Count > 0;
            if (isEnough || candidate.Probability < settings.MinP * sorted[0].Probability)
                break;
            kept.Add(candidate);
            before += candidate.Probability;
        }

        return kept;
    }
}
