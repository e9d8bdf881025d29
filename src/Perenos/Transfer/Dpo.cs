using Perenos.Models;
using Perenos.Runs.Config;
using Perenos.Text.Data;
using Perenos.Training;
using static TorchSharp.torch;

namespace Perenos.Transfer;

/// <summary>
/// Direct preference optimization (Rafailov et al. 2023, https://arxiv.org/abs/2305.18290, equation 7): the mean over pairs of
/// −ln σ(margin), where margin = r(chosen) − r(rejected) and the reward r(y) = β (ln p(y) − ln p_base(y)) sums over the answer's tokens.
/// </summary>
/// <param name="model">The model that learns.</param>
/// <param name="reference">The frozen base; the model itself where an adapter can be taken off.</param>
/// <param name="settings">β.</param>
/// <param name="asReference">Makes the reference of what it is called on, until it is disposed: takes the model's adapter off.</param>
public sealed class Dpo(CausalModel model, CausalModel reference, DpoConfig settings, Func<IDisposable?> asReference)
{
    /// <summary>The objective for the loop; the batch holds pairs.</summary>
    public Tensor Backward(Batch batch, double scale)
    {
        using var scope = NewDisposeScope();
        double[] theirs = ReferenceSums(batch);
        var hidden = BatchLoss.LearntStates(model, batch); // (N, C)
        // Apart from the graph below it, so that the head's work is done answer by answer and no logits are kept.
        var states = hidden.detach().requires_grad_();
        var targets = tensor(batch.Targets, device: model.Device);
        double[] margins = Margins(Sums(batch, BatchLoss.NegativeLogLikelihood(model, states, targets)), theirs);
        foreach (var (row, (start, count)) in Answers(batch).Index())
        {
            using var inner = NewDisposeScope();
            // d loss / d ln p(chosen) = −β σ(−margin); the opposite for the rejected answer.
            double weight = scale * settings.Beta / (1 + Math.Exp(margins[row / 2])) * (row % 2 == 0 ? 1 : -1);
            BatchLoss.Sum(model, states.narrow(0, start, count), targets.narrow(0, start, count), weight).backward();
        }

        // What the states' gradient says goes on below them.
        var below = (hidden * states.grad!).sum();
        if (below.requires_grad)
            below.backward();
        float[] measured = [(float)(margins.Sum(Loss) * scale), (float)(margins.Sum() * scale), (float)(margins.Count(margin => margin > 0) * scale)];
        return tensor(measured, device: model.Device).MoveToOuterDisposeScope();
    }

    /// <summary>−ln σ(margin), the mean over pairs, computed in batches of about <paramref name="batchTokens"/> tokens.</summary>
    public double MeanLoss(IReadOnlyList<Example> pairs, int batchTokens) => Margins(pairs, batchTokens).Average(Loss);

    /// <summary>The margin of each pair, the short ones first.</summary>
    public IReadOnlyList<double> Margins(IReadOnlyList<Example> pairs, int batchTokens)
    {
        List<double> margins = [];
        foreach (var batch in BatchLoss.InBatches(pairs, batchTokens))
        {
            using var scope = NewDisposeScope();
            margins.AddRange(Margins(Sums(batch, BatchLoss.NegativeLogLikelihood(model, batch)), ReferenceSums(batch)));
        }

        return margins;
    }

    // −ln σ(m) = ln(1 + e^−m), without overflow.
    private static double Loss(double margin) => Math.Max(0, -margin) + double.LogP1(Math.Exp(-Math.Abs(margin)));

    private double[] Margins(double[] ours, double[] theirs)
    {
        double Gain(int row) => theirs[row] - ours[row];
        return [.. Enumerable.Range(0, ours.Length / 2).Select(pair => settings.Beta * (Gain(2 * pair) - Gain(2 * pair + 1)))];
    }

    private double[] ReferenceSums(Batch batch)
    {
        using var off = asReference();
        return Sums(batch, BatchLoss.NegativeLogLikelihood(reference, batch));
    }

    // −ln p of each answer. Waits for the device: the weights of the gradients depend on it.
    private static double[] Sums(Batch batch, Tensor losses)
    {
        float[] values = losses.cpu().to(ScalarType.Float32).data<float>().ToArray();
        return [.. Answers(batch).Select(answer => values.Skip(answer.Start).Take(answer.Count).Sum(value => (double)value))];
    }

    // Row by row, where its learnt tokens stand among all of the batch.
    private static List<(int Start, int Count)> Answers(Batch batch)
    {
        var counts = new int[batch.Rows];
        foreach (long position in batch.Positions)
            counts[position / batch.Width]++;
        List<(int Start, int Count)> answers = [];
        foreach (int count in counts)
            answers.Add((answers.Count == 0 ? 0 : answers[^1].Start + answers[^1].Count, count));
        return answers;
    }
}
