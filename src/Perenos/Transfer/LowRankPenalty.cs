using Perenos.Adapters;
using Perenos.Layers;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Training;
using static TorchSharp.torch;

namespace Perenos.Transfer;

/// <summary>
/// (λ/2) Σ F (s B A)²: the pull of <see cref="AnchorPenalty"/> on the weights that a LoRA changes, with F of the base's weights. The
/// factors by themselves have no importance of use: B starts at 0, where the loss does not depend on A, so its Fisher information is 0.
/// In the loss its gradients are s (λ F ⊙ s B A) Aᵀ and s Bᵀ (λ F ⊙ s B A). After the step it is the proximal step of each factor with
/// the other held: a row b of B becomes (I + rate λ s² Σ F a aᵀ)⁻¹ b, a column of A likewise, which no strength can make diverge.
/// </summary>
public sealed class LowRankPenalty : IWeightPull
{
    // Stronger pulls change nothing more: float64 would lose the unit matrix beside them.
    private const double GreatestPull = 1e10;

    private readonly PenaltyForm _form;
    private readonly PenaltyStrength _strength;
    private readonly FisherSketch? _sketch;
    private readonly List<Pair> _pairs = [];

    /// <summary>Holds the importance of the adapted layers, in bfloat16.</summary>
    /// <param name="adapter">A LoRA whose pieces are low-rank updates of layers, and nothing else.</param>
    /// <param name="importance">F by the names of the base's weights, which is copied; none for 1 everywhere (L2-SP).</param>
    /// <param name="settings">Strength, budget and form.</param>
    /// <param name="sketch">What the weights do together, for the forecast; freed with this. None leaves the diagonal's forecast.</param>
    /// <exception cref="PerenosException">The adapter changes the base in another way too.</exception>
    public LowRankPenalty(Adapter adapter, IReadOnlyDictionary<string, Tensor>? importance, PenaltyConfig settings, FisherSketch? sketch = null)
    {
        (_form, _strength, _sketch) = (settings.Form, new PenaltyStrength(settings), sketch);
        using var quiet = no_grad();
        foreach (var (target, update) in PairsOf(adapter))
        {
            using var scope = NewDisposeScope();
            var share = importance?[WeightOf(target)].to(ScalarType.BFloat16, update.Up.device, copy: true);
            share = target.IsTransposed ? share?.t() : share;
            _pairs.Add(new Pair(target, update, share?.contiguous().DetachFromDisposeScope()));
        }
    }

    /// <inheritdoc/>
    public double Strength => _strength.Value;

    /// <summary>The base's weights that an adapter of low-rank updates changes, by name.</summary>
    /// <exception cref="PerenosException">The adapter changes the base in another way too.</exception>
    internal static Dictionary<string, Tensor> WeightsOf(Adapter adapter) =>
        PairsOf(adapter).ToDictionary(pair => WeightOf(pair.Target), pair => pair.Target.Weight);

    /// <inheritdoc/>
    public double Energy() => _pairs.Sum(pair => pair.Energy());

    /// <inheritdoc/>
    public double Forecast() => Forecast(Energy());

    /// <inheritdoc/>
    public double AddToGradients()
    {
        if (_form != PenaltyForm.InLoss || Strength == 0)
            return 0;
        using var quiet = no_grad();
        foreach (var (_, update, importance) in _pairs)
        {
            using var scope = NewDisposeScope();
            // λ s F ⊙ (s B A), [outputs, inputs]
            var pull = update.Up.detach().matmul(update.Down.detach()).Times(Strength * update.Scale * update.Scale);
            if (importance is not null)
                pull = pull * importance.to(ScalarType.Float32);
            Add(update.Up, pull.matmul(update.Down.detach().t()));
            Add(update.Down, update.Up.detach().t().matmul(pull));
        }

        return Strength * Energy();
    }

    /// <inheritdoc/>
    public void AfterUpdate(Trainable trainable, Tensor held, Tensor? computeCopy, double rate, ulong roundingSeed)
    {
        // At rate 0 it leaves every number as it is, and takes its time all the same: a rehearsal measures it.
        double strength = rate * Strength;
        if (_form != PenaltyForm.Decoupled || Strength == 0)
            return;
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        var pair = _pairs.Find(pair => ReferenceEquals(pair.Update.Up, trainable.Tensor) || ReferenceEquals(pair.Update.Down, trainable.Tensor))!;
        var (_, update, importance) = pair;
        var share = importance?.to(ScalarType.Float32) ?? Arithmetic.Filled([1], 1, ScalarType.Float32).expand(update.Up.shape[0], update.Down.shape[1]);
        bool isUp = ReferenceEquals(update.Up, trainable.Tensor);
        var moved = isUp
            ? Nearer(held, share, update.Down.detach().t(), strength * update.Scale * update.Scale)
            : Nearer(held.t(), share.t(), update.Up.detach(), strength * update.Scale * update.Scale).t();
        held.copy_(moved);
        computeCopy?.copy_(moved);
    }

    /// <inheritdoc/>
    public PullReport EndStep() => _strength.EndStep(Energy(), Forecast);

    /// <inheritdoc/>
    public IEnumerable<(string Name, Tensor Tensor)> State() => _strength.State;

    /// <summary>Frees the importance.</summary>
    public void Dispose()
    {
        foreach (var pair in _pairs)
            pair.Importance?.Dispose();
        _strength.Dispose();
        _sketch?.Dispose();
    }

    private double Forecast(double energy) => _sketch?.Energy(_pairs.Select(pair => (WeightOf(pair.Target), (Func<Tensor>)pair.Change)), energy) ?? energy;

    // Rows [n, r] of one factor, each pulled by what it multiplies: (I + strength · Σ_j F_nj o_j o_jᵀ)⁻¹ row, with others [m, r], F [n, m].
    private static Tensor Nearer(Tensor rows, Tensor share, Tensor others, double strength)
    {
        long rank = others.shape[1];
        var wide = others.to(ScalarType.Float64);
        var products = wide.unsqueeze(2).mul(wide.unsqueeze(1)).flatten(1); // (m, r · r)
        // float64: what float32 rounds off a sum can make its least eigenvalue negative, and a great strength multiplies it.
        var pull = share.to(ScalarType.Float64).matmul(products).view(-1, rank, rank); // (n, r, r)
        var most = pull.diagonal(dim1: 1, dim2: 2).amax([1]); // (n)
        var factor = most.reciprocal().Times(GreatestPull).minimum(Arithmetic.Filled([1], strength, ScalarType.Float64, pull.device)).view(-1, 1, 1);
        var unit = eye(rank, dtype: ScalarType.Float64, device: pull.device);
        return linalg.solve(unit.Plus(factor * pull), rows.to(ScalarType.Float64).unsqueeze(2)).squeeze(2).to(rows.dtype);
    }

    private static void Add(Tensor factor, Tensor pull)
    {
        if (factor.grad is { } gradient)
            gradient.Increase(pull.to(gradient.dtype));
        else
            factor.grad = pull.to(factor.dtype);
    }

    private static string WeightOf(Projection target) => $"{target.Path}.weight";

    private static IEnumerable<(Projection Target, LoraUpdate Update)> PairsOf(Adapter adapter)
    {
        foreach (var part in adapter.Parts)
        {
            if (part is not ProjectionPart { Update: LoraUpdate { Bias: null } update, Target: { IsTied: false } target })
                throw new PerenosException($"retention.penalty reaches the low-rank updates of linear layers, and {part.Path} changes in another way.", "Leave it out of the method's targets, or remove the penalty.");
            yield return (target, update);
        }
    }

    private sealed record Pair(Projection Target, LoraUpdate Update, Tensor? Importance)
    {
        /// <summary>s B A in the shape of the base's weight.</summary>
        public Tensor Change()
        {
            var change = Update.Update().detach();
            return Target.IsTransposed ? change.t() : change;
        }

        /// <summary>½ Σ F (s B A)².</summary>
        public double Energy()
        {
            using var quiet = no_grad();
            using var scope = NewDisposeScope();
            var squares = Update.Update().detach().square();
            return (Importance is null ? squares : squares * Importance).sum(ScalarType.Float64).item<double>() / 2;
        }
    }
}
