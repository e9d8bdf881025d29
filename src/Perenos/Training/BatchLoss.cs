using Perenos.Kernels;
using Perenos.Layers;
using Perenos.Models;
using Perenos.Text.Data;
using static TorchSharp.torch;

namespace Perenos.Training;

/// <summary>From a batch to its loss, without ever holding the logits of all its tokens.</summary>
public static class BatchLoss
{
    // Rows whose logits are held at once where an adapter sits on the head.
    private const int AdaptedHeadRows = 256;

    /// <summary>What training descends: scale · Σ −ln p(target), and the experts' balance where the model's configuration gives it a weight.</summary>
    /// <param name="model">The model that learns.</param>
    /// <param name="batch">A micro-batch.</param>
    /// <param name="scale">One over the learnt tokens of the step; the balance of a micro-batch counts by its share of them.</param>
    public static Tensor Training(CausalModel model, Batch batch, double scale)
    {
        using var scope = NewDisposeScope();
        if (model.BalanceWeight == 0)
            return Sum(model, LearntStates(model, batch), batch, scale).MoveToOuterDisposeScope();
        using var balance = new RouterBalance(tensor(batch.IsReal, [batch.Rows, batch.Width], device: model.Device));
        var loss = Sum(model, LearntStates(model, batch, balance), batch, scale);
        return loss.Plus(balance.Loss().Times(model.BalanceWeight * batch.Targets.Length * scale)).MoveToOuterDisposeScope();
    }

    /// <summary>Hidden states (N, C) from which the batch's learnt tokens are predicted.</summary>
    public static Tensor LearntStates(CausalModel model, Batch batch, RouterBalance? balance = null)
    {
        using var scope = NewDisposeScope();
        Tensor InRows(long[] numbers) => tensor(numbers, [batch.Rows, batch.Width], device: model.Device);
        var hidden = batch is { Texts: { } texts, Places: { } places }
            ? model.Hidden(InRows(batch.Tokens), positions: InRows(places), balance: balance, texts: InRows(texts))
            : model.Hidden(InRows(batch.Tokens), balance: balance); // (B, T, C)
        return hidden.view(-1, hidden.shape[^1]).index_select(0, tensor(batch.Positions, device: model.Device)).MoveToOuterDisposeScope();
    }

    /// <summary>scale · Σ −ln p(target) over hidden states (N, C): a scalar to call backward on.</summary>
    public static Tensor Sum(CausalModel model, Tensor hidden, Batch batch, double scale)
    {
        using var scope = NewDisposeScope();
        return Sum(model, hidden, tensor(batch.Targets, device: model.Device), scale).MoveToOuterDisposeScope();
    }

    /// <summary>The same of any hidden states (N, C) with what follows each, (N) int64.</summary>
    internal static Tensor Sum(CausalModel model, Tensor hidden, Tensor targets, double scale)
    {
        using var scope = NewDisposeScope();
        if (!model.Head.IsAdapted)
            return TokenLoss.Sum(model.HeadInput(hidden), model.Head.Weight, model.Head.Bias, targets, scale, model.LogitCap).MoveToOuterDisposeScope();
        var sum = zeros(1, device: model.Device);
        foreach (var (rows, wanted) in hidden.split(AdaptedHeadRows).Zip(targets.split(AdaptedHeadRows)))
        {
            var logits = model.Logits(rows).to(ScalarType.Float32);
            sum = sum.Plus(nn.functional.cross_entropy(logits, wanted, reduction: nn.Reduction.Sum));
        }

        return sum.Times(scale).sum().MoveToOuterDisposeScope();
    }

    /// <summary>−ln p of each learnt token, (N) float32, in the batch's order; nothing is kept for backward.</summary>
    public static Tensor NegativeLogLikelihood(CausalModel model, Batch batch)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        return NegativeLogLikelihood(model, LearntStates(model, batch), tensor(batch.Targets, device: model.Device)).MoveToOuterDisposeScope();
    }

    /// <summary>The same of any hidden states (N, C) with what follows each, (N) int64.</summary>
    internal static Tensor NegativeLogLikelihood(CausalModel model, Tensor hidden, Tensor targets)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        if (!model.Head.IsAdapted)
            return TokenLoss.NegativeLogLikelihood(model.HeadInput(hidden), model.Head.Weight, model.Head.Bias, targets, model.LogitCap).MoveToOuterDisposeScope();
        var parts = hidden.split(AdaptedHeadRows).Zip(targets.split(AdaptedHeadRows)).Select(part =>
            nn.functional.cross_entropy(model.Logits(part.First).to(ScalarType.Float32), part.Second, reduction: nn.Reduction.None));
        return cat([.. parts]).MoveToOuterDisposeScope();
    }

    /// <summary>Mean nats per learnt token of examples, computed in batches of about <paramref name="batchTokens"/> tokens.</summary>
    public static double Mean(CausalModel model, IReadOnlyList<Example> examples, int batchTokens)
    {
        double sum = 0;
        long count = 0;
        foreach (var batch in InBatches(examples, batchTokens))
        {
            if (batch.Targets.Length == 0)
                continue;
            using var losses = NegativeLogLikelihood(model, batch);
            using var total = losses.sum(ScalarType.Float64);
            sum += total.item<double>();
            count += batch.Targets.Length;
        }

        return sum / Math.Max(1, count);
    }

    /// <summary>Examples of like length side by side, about so many tokens at once.</summary>
    internal static IEnumerable<Batch> InBatches(IReadOnlyList<Example> examples, int batchTokens) => Together(examples, batchTokens).Select(Batch.Of);

    /// <summary>The examples of each of these batches.</summary>
    internal static IEnumerable<List<Example>> Together(IReadOnlyList<Example> examples, int batchTokens)
    {
        List<Example> rows = [];
        foreach (var example in examples.OrderBy(example => example.Length))
        {
            if (rows.Count > 0 && (rows.Count + 1) * example.Length * example.Rows.Count > batchTokens)
            {
                yield return rows;
                rows = [];
            }

            rows.Add(example);
        }

        if (rows.Count > 0)
            yield return rows;
    }
}
