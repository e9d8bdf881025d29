using Perenos.Models;
using Perenos.Runs;
using Perenos.Text.Data;
using Perenos.Training;
using static TorchSharp.torch;

namespace Perenos.Transfer;

/// <summary>How the diagonal of the Fisher information is estimated.</summary>
public enum FisherEstimator
{
    /// <summary>
    /// Labels drawn from the model, one backward a batch with the summed loss, squared: the scores of different tokens are
    /// independent and have mean 0, so their products vanish in the mean. Unbiased for any size of the batch.
    /// </summary>
    Sampled,

    /// <summary>The true labels, token by token: not the Fisher information of a model that does not fit the text.</summary>
    EmpiricalPerToken,

    /// <summary>The true labels, text by text: holds products of different tokens too.</summary>
    EmpiricalPerSequence,
}

/// <summary>
/// F = E[(∂ ln p / ∂θ)²] of every weight, the mean over predicted tokens, in nats² per token and squared unit of the weight: to
/// second order, moving the weights by Δ raises the loss of this text by ½ Σ F Δ² nats per token.
/// </summary>
/// <param name="Importance">F by the weights' names, float32.</param>
/// <param name="Tokens">Predicted tokens that it is the mean over.</param>
/// <param name="Passes">Backward passes: the more, the less noise in a sampled estimate (about √(2 / passes) of each value).</param>
public sealed record FisherInformation(IReadOnlyDictionary<string, Tensor> Importance, long Tokens, long Passes) : IDisposable
{
    // Rows of logits that are held in float64 at once.
    private const int SampledRows = 64;

    /// <summary>Rows of a <see cref="FisherSketch"/> by the weights' names, (R, n / 7) float32; none where none was asked for.</summary>
    public IReadOnlyDictionary<string, Tensor>? Sketch { get; private set; }

    /// <summary>Estimates it on examples; the weights stay as they are.</summary>
    /// <param name="model">The model, without adapters.</param>
    /// <param name="examples">What it shall remember.</param>
    /// <param name="estimator">How.</param>
    /// <param name="batchSize">Examples in a backward pass of the sampled form.</param>
    /// <param name="seed">Seed of the drawn labels.</param>
    /// <param name="sketchRows">Rows of the sketch, at most; 0 for none. True labels have none: their scores do not vanish in the mean.</param>
    /// <param name="progress">Told how many passes are done.</param>
    /// <param name="stop">Asks to stop.</param>
    /// <exception cref="PerenosException">The examples predict nothing.</exception>
    public static FisherInformation Estimate(
        CausalModel model, IReadOnlyList<Example> examples, FisherEstimator estimator, int batchSize, ulong seed, int sketchRows = 0, Action<int, int>? progress = null, CancellationToken stop = default)
    {
        var passes = Units(examples, estimator, batchSize);
        if (passes.Count == 0)
            throw new PerenosException("The text predicts no token.", "Give texts of at least two tokens.");
        var weights = model.Parts.Weights;
        int rows = estimator == FisherEstimator.Sampled ? Math.Min(sketchRows, passes.Count) : 0;
        var sums = new OrderedDictionary<string, Tensor>();
        var sketch = new Dictionary<string, Tensor>();
        long[] rowTokens = new long[rows];
        foreach (var (name, weight) in weights)
        {
            sums.Add(name, zeros(weight.shape, ScalarType.Float32, weight.device).DetachFromDisposeScope());
            if (rows > 0)
                sketch.Add(name, zeros([rows, FisherSketch.ThinnedCount(weight.numel())], ScalarType.Float32).DetachFromDisposeScope());
            weight.requires_grad = true;
        }

        try
        {
            long tokens = 0;
            int all = rows > 0 ? 2 * passes.Count : passes.Count;
            for (int pass = 0; pass < passes.Count; pass++)
            {
                stop.ThrowIfCancellationRequested();
                Differentiate(model, passes[pass], estimator == FisherEstimator.Sampled ? Seed.Of(seed, "labels", (ulong)pass) : null,
                    (name, gradient) => sums[name].Increase(gradient.square()));
                tokens += passes[pass].Targets.Length;
                progress?.Invoke(pass + 1, all);
            }

            // Labels of its own: a pull spares the weights that the first labels happened to reach, so along these labels it would seem to move most.
            for (int pass = 0; pass < all - passes.Count; pass++)
            {
                stop.ThrowIfCancellationRequested();
                int row = pass % rows;
                Differentiate(model, passes[pass], Seed.Of(seed, "labels of the sketch", (ulong)pass),
                    (name, gradient) => sketch[name][row].Increase(FisherSketch.Thinned(gradient).cpu()));
                rowTokens[row] += passes[pass].Targets.Length;
                progress?.Invoke(passes.Count + pass + 1, all);
            }

            using var quiet = no_grad();
            foreach (var sum in sums.Values)
                sum.Scale(1.0 / tokens);
            foreach (var parts in sketch.Values)
                ToMean(parts, rowTokens);
            return new FisherInformation(sums, tokens, passes.Count) { Sketch = rows == 0 ? null : sketch };
        }
        catch
        {
            foreach (var sum in sums.Values.Concat(sketch.Values))
                sum.Dispose();
            throw;
        }
        finally
        {
            foreach (var weight in weights.Values)
                weight.requires_grad = false;
        }
    }

    /// <summary>Adds what was kept of earlier tasks: F + decay · F of before, weight by weight (Schwarz et al. 2018, https://arxiv.org/abs/1805.06370).</summary>
    /// <param name="before">F of the earlier tasks.</param>
    /// <param name="decay">Their weight.</param>
    /// <param name="sketchBefore">Rows of their sketch, which are put beside these; where either has none, the sum has none.</param>
    public void Add(IReadOnlyDictionary<string, Tensor> before, double decay, IReadOnlyDictionary<string, Tensor>? sketchBefore = null)
    {
        using var quiet = no_grad();
        foreach (var (name, importance) in Importance)
            importance.Increase(before[name], decay);
        var own = Sketch;
        Sketch = own is null || sketchBefore is null ? null : own.ToDictionary(rows => rows.Key, rows => Beside(rows.Value, sketchBefore[rows.Key], Math.Sqrt(decay)));
        foreach (var rows in own?.Values ?? [])
            rows.Dispose();
    }

    /// <summary>Frees the tensors.</summary>
    public void Dispose()
    {
        foreach (var values in Importance.Values.Concat(Sketch?.Values ?? []))
            values.Dispose();
    }

    // Sums become what squares to a mean: row r by 1 / √(R · its tokens).
    private static void ToMean(Tensor rows, long[] tokens)
    {
        using var scope = NewDisposeScope();
        foreach (var (row, count) in tokens.Index())
            rows[row].Scale(1 / Math.Sqrt((double)tokens.Length * count));
    }

    private static Tensor Beside(Tensor rows, Tensor before, double weight)
    {
        using var scope = NewDisposeScope();
        return cat([rows, before.to(ScalarType.Float32).Times(weight)], 0).DetachFromDisposeScope();
    }

    // One backward each: a batch, a text, or a token with what stands before it.
    private static List<Batch> Units(IReadOnlyList<Example> examples, FisherEstimator estimator, int batchSize)
    {
        var units = estimator switch
        {
            FisherEstimator.Sampled => examples.Chunk(batchSize).Select(Batch.Of),
            FisherEstimator.EmpiricalPerSequence => examples.Select(example => Batch.Of([example])),
            FisherEstimator.EmpiricalPerToken => examples.SelectMany(Tokenwise).Select(example => Batch.Of([example])),
            _ => throw new InvalidOperationException($"Unknown estimator {estimator}."),
        };
        return [.. units.Where(batch => batch.Targets.Length > 0)];
    }

    private static IEnumerable<Example> Tokenwise(Example example) =>
        Enumerable.Range(0, example.Ids.Length).Where(place => example.IsLearnt[place]).Select(place =>
            example with { Ids = example.Ids[..(place + 1)], IsLearnt = [.. Enumerable.Range(0, place + 1).Select(other => other == place)] });

    // One backward of the summed loss; the labels are drawn where there is a seed, else the true ones.
    private static void Differentiate(CausalModel model, Batch batch, ulong? seed, Action<string, Tensor> take)
    {
        using var scope = NewDisposeScope();
        var hidden = BatchLoss.LearntStates(model, batch);
        if (seed is { } value)
            batch = batch.Labelled(Draw(model, hidden, value));
        BatchLoss.Sum(model, hidden, batch, scale: 1).backward();
        using var quiet = no_grad();
        foreach (var (name, weight) in model.Parts.Weights)
        {
            using var gradient = weight.grad;
            if (gradient is not null)
                take(name, gradient.to(ScalarType.Float32));
            weight.grad = null;
        }
    }

    // A token of each position's own distribution, by inversion in float64: a float32 sum over a large vocabulary loses its tail.
    private static long[] Draw(CausalModel model, Tensor hidden, ulong seed)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        using var generator = new Generator(seed);
        var drawn = hidden.detach().split(SampledRows).Select(rows =>
        {
            using var inner = NewDisposeScope();
            var cumulative = model.Logits(rows).to(ScalarType.Float64).softmax(-1).cumsum(-1); // (n, V)
            var threshold = rand([rows.shape[0], 1], ScalarType.Float64, generator: generator).to(rows.device) * cumulative.narrow(1, cumulative.shape[1] - 1, 1);
            return cumulative.lt(threshold).sum(1).MoveToOuterDisposeScope();
        });
        return cat([.. drawn]).cpu().data<long>().ToArray();
    }
}
