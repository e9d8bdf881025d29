using Perenos.Runs;
using Perenos.Runs.Config;
using static TorchSharp.torch;

namespace Perenos.Training;

/// <summary>The walk over all tensors that learn: each moves by its gradient as the chosen rule says, then the gradient is forgotten.</summary>
public sealed class Optimizer : IDisposable
{
    private readonly TrainingConfig _settings;
    private readonly IUpdateRule _rule;
    private readonly IWeightPull? _pull;
    private readonly IReadOnlyList<Trainable> _trainables;
    private readonly OrderedDictionary<string, Slot> _slots = [];

    /// <summary>Fresh state for every tensor. One held in bfloat16 gets a float32 master copy, which is what moves, unless the settings keep none.</summary>
    /// <param name="trainables">What learns.</param>
    /// <param name="settings">Rule, decay.</param>
    /// <param name="pull">What keeps the weights near their start, or none; the caller owns it.</param>
    /// <param name="learns">Which of the tensors learn at first; all by default.</param>
    public Optimizer(IReadOnlyList<Trainable> trainables, TrainingConfig settings, IWeightPull? pull = null, Func<Trainable, bool>? learns = null)
    {
        (_trainables, _settings, _rule, _pull) = (trainables, settings, RuleOf(settings.Optimizer), pull);
        foreach (var trainable in trainables.Where(learns ?? (_ => true)))
            Start(trainable, since: 0);
    }

    /// <summary>Steps taken.</summary>
    public long StepCount { get; set; }

    /// <summary>Moves every tensor by its gradient times <paramref name="gradientScale"/>, then forgets the gradient.</summary>
    public void Step(double learningRate, double gradientScale)
    {
        StepCount++;
        foreach (var trainable in _trainables)
            Update(trainable, learningRate, gradientScale);
    }

    /// <summary>Moves one tensor by its gradient in the step that <see cref="StepCount"/> counts, then forgets the gradient.</summary>
    public void Update(Trainable trainable, double learningRate, double gradientScale)
    {
        using var quiet = no_grad();
        using var gradient = trainable.Tensor.grad;
        if (gradient is null)
            return;
        var slot = _slots[trainable.Name];
        var step = new UpdateStep(learningRate * trainable.RateFactor, trainable.Decays ? _settings.WeightDecay : 0, StepCount - slot.Since, gradientScale,
            Seed.Of((ulong)StepCount, trainable.Name));
        var (held, copy) = (slot.Master ?? trainable.Tensor, slot.Master is null ? null : trainable.Tensor);
        _rule.Update(held, gradient, slot.State, step, copy);
        _pull?.AfterUpdate(trainable, held, copy, step.LearningRate, step.RoundingSeed);
        trainable.Tensor.grad = null;
    }

    /// <summary>Forgets the state of tensors, and gives those among them that learn from now on a fresh one, whose steps count from <paramref name="since"/>.</summary>
    public void Exchange(IEnumerable<Trainable> gone, Func<Trainable, bool> learns, long since)
    {
        foreach (var trainable in gone)
        {
            if (_slots.Remove(trainable.Name, out var slot))
                slot.Dispose();
            if (learns(trainable))
                Start(trainable, since);
        }
    }

    /// <summary>Everything that a later step depends on beside the weights themselves, by name.</summary>
    public IEnumerable<(string Name, Tensor Tensor)> State()
    {
        foreach (var (name, slot) in _slots)
        {
            foreach (var (kind, tensor) in slot.Names.Zip(slot.State))
                yield return ($"{kind}.{name}", tensor);
            if (slot.Master is not null)
                yield return ($"master.{name}", slot.Master);
        }

        foreach (var part in _pull?.State() ?? [])
            yield return part;
    }

    /// <summary>Frees state and master copies.</summary>
    public void Dispose()
    {
        foreach (var slot in _slots.Values)
            slot.Dispose();
    }

    private void Start(Trainable trainable, long since)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        var tensor = trainable.Tensor;
        bool isHeld = tensor.dtype == ScalarType.Float32 || !_settings.Optimizer.KeepsMaster;
        var master = isHeld ? null : tensor.detach().to(ScalarType.Float32).DetachFromDisposeScope();
        var state = _rule.Start(trainable);
        foreach (var (_, part) in state)
            part.DetachFromDisposeScope();
        _slots.Add(trainable.Name, new Slot([.. state.Select(part => part.Name)], [.. state.Select(part => part.Tensor)], master, since));
    }

    private static IUpdateRule RuleOf(OptimizerConfig settings) => settings switch
    {
        AdamWConfig adamW => new AdamW(adamW),
        AdamW8BitConfig adamW => new AdamW8Bit(adamW),
        AdafactorConfig adafactor => new Adafactor(adafactor),
        LionConfig lion => new Lion(lion),
        SgdConfig sgd => new Sgd(sgd),
        _ => throw new InvalidOperationException($"Unknown optimizer {settings}."),
    };

    private sealed record Slot(IReadOnlyList<string> Names, IReadOnlyList<Tensor> State, Tensor? Master, long Since) : IDisposable
    {
        public void Dispose()
        {
            foreach (var tensor in State)
                tensor.Dispose();
            Master?.Dispose();
        }
    }
}
