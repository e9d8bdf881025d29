using static TorchSharp.torch;

namespace Perenos.Transfer;

/// <summary>
/// What the diagonal of the Fisher information leaves out: how weights act together. Training moves many weights in step, so that
/// ½ Δᵀ F Δ is tens to thousands of times the diagonal's ½ Σ F Δ². F = E[s sᵀ] with s the gradient of ln p(drawn label), and sums of
/// s over parts of the text have the same mean, for scores of different tokens are independent. So a few such sums s₁ … s_R give
/// ½ Σ (s_r · Δ)², without bias. They are kept of every seventh weight: the rest is scaled up, and what that adds in the mean,
/// six times the diagonal's energy, is taken off.
/// </summary>
public sealed class FisherSketch : IDisposable
{
    /// <summary>Sums that are kept by default: a forecast's standard error is then about √(2 / 16), a third.</summary>
    public const int DefaultRows = 16;

    // Prime, and no width of a layer is a multiple of it: every column and row of a matrix is reached.
    private const int Every = 7;
    private const int First = 3;

    private readonly IReadOnlyDictionary<string, Tensor> _rows;
    private readonly IDisposable? _source;

    /// <summary>Takes rows as they are kept.</summary>
    /// <param name="rows">By the weights' names, (R, n / 7) bfloat16 or float32; freed with this.</param>
    /// <param name="source">What they lie in, closed with this; or none.</param>
    internal FisherSketch(IReadOnlyDictionary<string, Tensor> rows, IDisposable? source = null) => (_rows, _source) = (rows, source);

    /// <summary>½ Δᵀ F Δ, in nats per token; never less than the diagonal's share.</summary>
    /// <param name="moved">The weights that have moved, and what makes Δ of each, in its shape.</param>
    /// <param name="diagonal">½ Σ F Δ².</param>
    public double Energy(IEnumerable<(string Weight, Func<Tensor> Change)> moved, double diagonal)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        Tensor? sums = null;
        foreach (var (weight, change) in moved)
        {
            using var inner = NewDisposeScope();
            var product = _rows[weight].to(ScalarType.Float32).matmul(Thinned(change()).to(ScalarType.Float32, CPU)).to(ScalarType.Float64);
            sums = (sums?.Plus(product) ?? product).MoveToOuterDisposeScope();
        }

        double whole = sums is null ? 0 : Every * Every * sums.square().sum().item<double>() / 2;
        return Math.Max(diagonal, whole - (Every - 1) * diagonal);
    }

    /// <summary>Frees the rows.</summary>
    public void Dispose()
    {
        foreach (var rows in _rows.Values)
            rows.Dispose();
        _source?.Dispose();
    }

    /// <summary>Every seventh number of a tensor, (n / 7), of the same memory where that is in order.</summary>
    internal static Tensor Thinned(Tensor values)
    {
        using var scope = NewDisposeScope();
        return values.flatten().slice(0, Math.Min(First, values.numel()), values.numel(), Every).MoveToOuterDisposeScope();
    }

    /// <summary>How many numbers of so many are kept.</summary>
    internal static long ThinnedCount(long count) => count <= First ? 0 : (count - First + Every - 1) / Every;
}
