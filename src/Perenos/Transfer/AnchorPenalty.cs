using Perenos.Kernels;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Training;
using static TorchSharp.torch;

namespace Perenos.Transfer;

/// <summary>
/// (λ/2) Σ F (θ − θ*)² with θ* the weights at the start. With F the diagonal Fisher information it is elastic weight consolidation
/// (Kirkpatrick et al. 2017, https://arxiv.org/abs/1612.00796); with F = 1 it is L2-SP (Li et al. 2018,
/// https://arxiv.org/abs/1802.01483). Never part of the graph: it acts after the optimizer's step, or on the gradients before clipping.
/// </summary>
public sealed class AnchorPenalty : IWeightPull
{
    private readonly IReadOnlyList<Trainable> _trainables;
    private readonly PenaltyConfig _settings;
    private readonly Dictionary<string, Held> _held = [];
    private readonly PenaltyStrength _strength;
    private readonly FisherSketch? _sketch;

    /// <summary>Holds importance and anchor: the anchor exactly, in bfloat16 where that holds them.</summary>
    /// <param name="trainables">What learns.</param>
    /// <param name="importance">F of every tensor by name, which is copied; none for L2-SP.</param>
    /// <param name="settings">Strength, budget and form.</param>
    /// <param name="anchor">Another anchor than the present weights; copied.</param>
    /// <param name="sketch">What the weights do together, for the forecast; freed with this. None leaves the diagonal's forecast.</param>
    /// <param name="importanceType">Type in which F is held: bfloat16 is exact to 0.4 %, and halves the memory.</param>
    public AnchorPenalty(
        IReadOnlyList<Trainable> trainables,
        IReadOnlyDictionary<string, Tensor>? importance,
        PenaltyConfig settings,
        IReadOnlyDictionary<string, Tensor>? anchor = null,
        FisherSketch? sketch = null,
        ScalarType importanceType = ScalarType.BFloat16)
    {
        (_trainables, _settings, _strength, _sketch) = (trainables, settings, new PenaltyStrength(settings), sketch);
        using var quiet = no_grad();
        foreach (var trainable in trainables)
        {
            using var scope = NewDisposeScope();
            var share = importance?[trainable.Name].to(importanceType, trainable.Tensor.device, copy: true).contiguous().DetachFromDisposeScope();
            _held.Add(trainable.Name, new Held(trainable.Tensor, share, AnchorOf(anchor?[trainable.Name] ?? trainable.Tensor).DetachFromDisposeScope()));
        }
    }

    /// <inheritdoc/>
    public double Strength => _strength.Value;

    /// <inheritdoc/>
    public double Energy() => _held.Values.Sum(held => held.Energy());

    /// <inheritdoc/>
    public double Forecast() => Forecast(Energy());

    /// <inheritdoc/>
    public double AddToGradients()
    {
        if (_settings.Form != PenaltyForm.InLoss || Strength == 0)
            return 0;
        using var quiet = no_grad();
        // Where layers are drawn, only those that learn now are pulled.
        foreach (var trainable in _trainables.Where(trainable => trainable.Tensor.requires_grad))
        {
            using var scope = NewDisposeScope();
            var (importance, anchor) = (_held[trainable.Name].Importance, _held[trainable.Name].Anchor);
            var pull = trainable.Tensor.detach().to(ScalarType.Float32) - anchor;
            if (importance is not null)
                pull = pull * importance;
            if (trainable.Tensor.grad is { } gradient)
                gradient.Increase(pull.to(gradient.dtype), Strength);
            else
                trainable.Tensor.grad = pull.Times(Strength).to(trainable.Tensor.dtype);
        }

        return Strength * Energy();
    }

    /// <inheritdoc/>
    public void AfterUpdate(Trainable trainable, Tensor held, Tensor? computeCopy, double rate, ulong roundingSeed)
    {
        double strength = _settings.Form == PenaltyForm.Decoupled ? rate * Strength : 0;
        var guarded = _held[trainable.Name];
        guarded.Moved = AnchorPull.Step(held, computeCopy, guarded.Importance, guarded.Anchor, strength, Seed.Of(roundingSeed, "pull"));
    }

    /// <inheritdoc/>
    public PullReport EndStep()
    {
        double energy = 0;
        foreach (var held in _held.Values)
        {
            // What rests is measured once, as it computes: a resumed run finds the same number.
            held.Resting = held.Moved is null ? held.Resting ?? held.Energy() : null;
            energy += held.Moved ?? held.Resting!.Value;
            held.Moved = null;
        }

        return _strength.EndStep(energy, Forecast);
    }

    /// <inheritdoc/>
    public IEnumerable<(string Name, Tensor Tensor)> State() => _strength.State;

    /// <summary>Frees importance and anchor.</summary>
    public void Dispose()
    {
        foreach (var held in _held.Values)
        {
            held.Importance?.Dispose();
            held.Anchor.Dispose();
        }

        _strength.Dispose();
        _sketch?.Dispose();
    }

    private double Forecast(double energy) => _sketch?.Energy(_held.Select(entry => (entry.Key, (Func<Tensor>)entry.Value.Change)), energy) ?? energy;

    // A checkpoint in bfloat16 is exact in bfloat16, whatever it is opened as.
    private static Tensor AnchorOf(Tensor weight)
    {
        using var scope = NewDisposeScope();
        var (wide, narrow) = (weight.detach().to(ScalarType.Float32), weight.detach().to(ScalarType.BFloat16, copy: true));
        bool isExact = narrow.to(ScalarType.Float32).equal(wide).all().item<bool>();
        return (isExact ? narrow : wide.clone()).contiguous().MoveToOuterDisposeScope();
    }

    private sealed record Held(Tensor Weight, Tensor? Importance, Tensor Anchor)
    {
        /// <summary>Energy after this step's update; null where the step moved nothing.</summary>
        public double? Moved { get; set; }

        /// <summary>Energy since it was moved last; null before it is known.</summary>
        public double? Resting { get; set; }

        public double Energy() => AnchorPull.Step(Weight, null, Importance, Anchor, 0, 0);

        public Tensor Change() => Weight.detach().to(ScalarType.Float32) - Anchor;
    }
}
