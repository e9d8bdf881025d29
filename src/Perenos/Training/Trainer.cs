using Perenos.Kernels;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using static TorchSharp.torch;

namespace Perenos.Training;

/// <summary>What one optimizer step did.</summary>
/// <param name="Step">Steps taken, this one included.</param>
/// <param name="Loss">Nats per learnt token, before the step.</param>
/// <param name="GradientNorm">Global norm before clipping.</param>
/// <param name="LearningRate">Rate used.</param>
/// <param name="Tokens">Tokens computed, padding included.</param>
/// <param name="Targets">Tokens learnt from.</param>
public readonly record struct StepReport(int Step, double Loss, double GradientNorm, double LearningRate, long Tokens, long Targets)
{
    /// <summary>Value of a penalty in the loss, which <see cref="Loss"/> leaves out.</summary>
    public double Penalty { get; init; }

    /// <summary>What a pull of the weights did; null without one.</summary>
    public PullReport? Pull { get; init; }

    /// <summary>How well preferred answers were told from rejected ones; null where none are learnt.</summary>
    public PreferenceReport? Preference { get; init; }
}

/// <summary>Mean over the pairs of a step, before the step.</summary>
/// <param name="Margin">Reward of the chosen answer less that of the rejected one.</param>
/// <param name="Accuracy">Share of the pairs where it is above 0.</param>
public readonly record struct PreferenceReport(double Margin, double Accuracy);

/// <summary>The loop: forward, loss, backward, clip, update. Whatever else happens in a run happens between its steps.</summary>
public sealed class Trainer : IDisposable
{
    private readonly CausalModel _model;
    private readonly IReadOnlyList<Trainable> _trainables;
    private readonly TrainingConfig _settings;
    private readonly LearningRate _rate;
    private readonly IWeightPull? _pull;
    private readonly Objective _objective;
    private readonly WeightAverage? _average;
    private readonly BackwardUpdates? _backward;
    private readonly LayerSampling? _sampling;
    private int _drawnAt = -1;

    /// <summary>Prepares a run over <paramref name="trainables"/>; everything else of the model stays as it is.</summary>
    public Trainer(CausalModel model, IReadOnlyList<Trainable> trainables, TrainingConfig settings, LearningRate rate, IWeightPull? pull = null, Objective? objective = null, LayerSampling? sampling = null)
    {
        (_model, _trainables, _settings, _rate, _pull, _sampling) = (model, trainables, settings, rate, pull, sampling);
        Optimizer = new Optimizer(trainables, settings, pull, trainable => sampling is null || !LayerSampling.IsSampled(trainable));
        _backward = settings.OptimizerInBackward ? new BackwardUpdates(trainables, model.Embedding.Weight, Optimizer) : null;
        _objective = _backward is not null ? Recomputation.Of(model, _backward.Arrived) : objective ?? CrossEntropy.Of(model);
        Draw(0);
        _average = settings.AverageDecay is { } decay ? new WeightAverage(trainables, decay) : null;
    }

    /// <summary>What moves the weights.</summary>
    public Optimizer Optimizer { get; }

    /// <summary>Tensors that learn.</summary>
    public IReadOnlyList<Trainable> Trainables => _trainables;

    /// <summary>Everything that a later step depends on beside the weights themselves, by name.</summary>
    public IEnumerable<(string Name, Tensor Tensor)> State() => Optimizer.State().Concat(_average?.State() ?? []);

    /// <summary>Steps taken.</summary>
    public int StepsTaken { get; private set; }

    /// <summary>Stands where a run stood after so many steps: what is saved has its names and shapes from then, for its numbers to be put in.</summary>
    public void StandAt(int steps)
    {
        (StepsTaken, Optimizer.StepCount) = (steps, steps);
        Draw(Math.Max(0, steps - 1));
    }

    /// <summary>One optimizer step over its micro-batches. The gradient is that of the mean over all their learnt tokens, however they are cut.</summary>
    /// <param name="microBatches">The step's examples, cut.</param>
    /// <param name="givenRate">A rate in place of the schedule's.</param>
    /// <exception cref="PerenosException">The loss or the gradient is not finite; the weights are as before the step.</exception>
    public StepReport TakeStep(IReadOnlyList<Batch> microBatches, double? givenRate = null)
    {
        using var scope = NewDisposeScope();
        Draw(StepsTaken);
        double rate = givenRate ?? _rate.At(StepsTaken);
        _backward?.Begin(rate);
        long units = microBatches.Sum(batch => (long)batch.Units);
        var measured = zeros(1, device: _model.Device);
        foreach (var batch in microBatches.Where(batch => batch.Targets.Length > 0))
            measured = measured.Plus(_objective(batch, 1.0 / units));

        float[] values = measured.cpu().to(ScalarType.Float32).data<float>().ToArray();
        double loss = values[0];
        double penalty = _pull?.AddToGradients() ?? 0;
        double norm = _backward?.Norm ?? GradientNorm.Of(_trainables.Select(trainable => trainable.Tensor.grad).OfType<Tensor>());
        if (!double.IsFinite(loss) || !double.IsFinite(norm))
        {
            ForgetGradients();
            throw new PerenosException(
                $"Step {StepsTaken + 1}: the loss is {loss:G4} and the gradient's norm {norm:G4}.",
                "The weights of the last checkpoint are kept. Lower training.learning_rate, or look at the rows of this step.");
        }

        double clip = _settings.GradientClip > 0 ? Math.Min(1, _settings.GradientClip / (norm + 1e-6)) : 1;
        if (_backward is null)
            Optimizer.Step(rate, clip);
        StepsTaken++;
        _average?.Add(StepsTaken);
        return new StepReport(StepsTaken, loss, norm, rate, microBatches.Sum(batch => (long)batch.Tokens.Length), microBatches.Sum(batch => (long)batch.Targets.Length))
        {
            Preference = values.Length > 1 ? new PreferenceReport(values[1], values[2]) : null,
            Penalty = penalty,
            Pull = _pull?.EndStep(),
        };
    }

    /// <summary>Runs with the weights that will be kept: their moving average where one is asked for, otherwise the present ones.</summary>
    public void Show(Action look)
    {
        if (_average is null)
            look();
        else
            _average.Show(look);
    }

    /// <summary>Makes the weights that will be kept the model's for good.</summary>
    public void KeepAverage() => _average?.Apply();

    /// <summary>Frees the optimizer's state.</summary>
    public void Dispose()
    {
        _average?.Dispose();
        Optimizer.Dispose();
    }

    // Where layers are drawn, those that learn change from stretch to stretch.
    private void Draw(int step)
    {
        if (_sampling is null || _sampling.StartOf(step) == _drawnAt)
            return;
        _drawnAt = _sampling.StartOf(step);
        Optimizer.Exchange(_trainables.Where(LayerSampling.IsSampled), trainable => _sampling.Learns(trainable, step), _drawnAt);
        foreach (var trainable in _trainables)
            trainable.Tensor.requires_grad = _sampling.Learns(trainable, step);
    }

    // A refused step leaves nothing behind for the next one to add to.
    private void ForgetGradients()
    {
        foreach (var trainable in _trainables)
        {
            using var gradient = trainable.Tensor.grad;
            trainable.Tensor.grad = null;
        }
    }
}
