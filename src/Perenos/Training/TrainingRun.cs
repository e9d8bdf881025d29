using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;

namespace Perenos.Training;

/// <summary>How a training ended.</summary>
public enum TrainingEnd
{
    /// <summary>All steps were taken.</summary>
    Completed,

    /// <summary>Validation stopped improving.</summary>
    StoppedEarly,

    /// <summary>The user asked to stop; everything is saved.</summary>
    Interrupted,
}

/// <summary>
/// A training inside a run's folder: steps, validations, checkpoints, the best state, resuming. Everything that happens is told
/// as an event; nothing here draws or judges.
/// </summary>
/// <param name="model">The model.</param>
/// <param name="trainables">What learns.</param>
/// <param name="settings">The loop's settings, with a learning rate.</param>
/// <param name="order">Batches by step.</param>
/// <param name="validation">Examples for validation; may be empty.</param>
/// <param name="folder">Where checkpoints go.</param>
/// <param name="clock">Measures seconds.</param>
/// <param name="tell">Told of every event.</param>
/// <param name="pull">What keeps the weights near their start, or none.</param>
/// <param name="objective">What is minimised; by default the cross-entropy.</param>
/// <param name="sampling">Which layers learn when, where not all do.</param>
public sealed class TrainingRun(
    CausalModel model,
    IReadOnlyList<Trainable> trainables,
    TrainingConfig settings,
    BatchOrder order,
    IReadOnlyList<Example> validation,
    RunFolder folder,
    TimeProvider clock,
    Action<RunEvent> tell,
    IWeightPull? pull = null,
    Objective? objective = null,
    LayerSampling? sampling = null) : IDisposable
{
    // Validation keeps no graph, so its batches may be larger than those of training.
    internal const int ValidationBatchTokens = 8192;

    private Trainer? _trainer;
    private TrainingState _state = new();

    /// <summary>Called before each step with its number, for what is random in it (dropout).</summary>
    public Action<int>? BeforeStep { get; init; }

    /// <summary>Called after each step: what is validated and judged is not random.</summary>
    public Action? AfterStep { get; init; }

    /// <summary>Mean loss of examples, computed in batches of about so many tokens; by default nats per learnt token.</summary>
    public Func<IReadOnlyList<Example>, int, double>? ValidationLoss { get; init; }

    /// <summary>Where the training stands.</summary>
    public TrainingState State => _state;

    private bool IsStuck => settings.Patience is { } patience && _state.ValidationsWithoutGain >= patience;

    // Made when it is needed: what a run does before its training, a rehearsal above all, has the memory of the optimizer's state for itself.
    private Trainer Trainer => _trainer ??= new Trainer(model, trainables, settings, LearningRate.Of(settings, order.TotalSteps), pull, objective, sampling);

    private string Best => Path.Combine(folder.Checkpoints, "best");

    /// <summary>Goes on from a checkpoint.</summary>
    public void Resume(string checkpoint) => _state = TrainingCheckpoint.Load(checkpoint, Trainer);

    /// <summary>Trains to the end, or until <paramref name="stop"/> is asked for; then the best state is put back.</summary>
    /// <param name="stop">Asks to stop after the present step.</param>
    /// <param name="pauseAt">Step at which to validate, save and leave, as if interrupted; the schedule stays that of all steps.</param>
    public TrainingEnd Go(CancellationToken stop, int? pauseAt = null)
    {
        var calendar = new TrainingCalendar(settings, order.StepsPerEpoch, Math.Min(pauseAt ?? order.TotalSteps, order.TotalSteps));
        if (_state.BestLoss is null && validation.Count > 0)
            Validate();
        while (_state.Step < calendar.End && !IsStuck)
        {
            if (stop.IsCancellationRequested)
            {
                Save();
                return TrainingEnd.Interrupted;
            }

            Step();
            if (validation.Count > 0 && calendar.ValidatesAfter(_state.Step))
                Validate();
            if (IsStuck || calendar.SavesAfter(_state.Step))
                Save();
        }

        if (pauseAt is not null)
            return TrainingEnd.Interrupted;
        PutBestBack();
        return IsStuck ? TrainingEnd.StoppedEarly : TrainingEnd.Completed;
    }

    /// <summary>Frees the optimizer's state.</summary>
    public void Dispose() => _trainer?.Dispose();

    private void Step()
    {
        long start = clock.GetTimestamp();
        BeforeStep?.Invoke(_state.Step);
        var report = Trainer.TakeStep(order.At(_state.Step));
        AfterStep?.Invoke();
        double seconds = clock.GetElapsedTime(start).TotalSeconds;
        _state = _state with { Step = report.Step, Seconds = _state.Seconds + seconds, Tokens = _state.Tokens + report.Tokens };
        tell(new RunEvent.Step(report.Step, report.Loss, report.GradientNorm, report.LearningRate, report.Tokens, seconds, report.Tokens / seconds)
        {
            Forecast = report.Pull?.Forecast,
            Strength = report.Pull?.Strength,
            RewardMargin = report.Preference?.Margin,
            RewardAccuracy = report.Preference?.Accuracy,
        });
    }

    private void Validate()
    {
        double loss = 0;
        Trainer.Show(() => loss = ValidationLoss?.Invoke(validation, ValidationBatchTokens) ?? BatchLoss.Mean(model, validation, ValidationBatchTokens));
        bool isBest = _state.BestLoss is not { } best || loss < best;
        _state = isBest
            ? _state with { BestLoss = loss, BestStep = _state.Step, ValidationsWithoutGain = 0 }
            : _state with { ValidationsWithoutGain = _state.ValidationsWithoutGain + 1 };
        if (isBest)
        {
            Directory.CreateDirectory(folder.Checkpoints);
            Trainer.Show(() => TrainingCheckpoint.SaveBest(Best, trainables));
        }

        tell(new RunEvent.Validation(_state.Step, loss, isBest));
    }

    private void Save()
    {
        string path = folder.CheckpointAt(_state.Step);
        // A resumed run that is stopped at once: replacing the checkpoint would leave a moment without any.
        if (Directory.Exists(path))
            return;
        // Told first: the log on disk then always reaches as far as the newest checkpoint.
        tell(new RunEvent.Checkpoint(_state.Step, Path.GetFileName(path)));
        Directory.CreateDirectory(folder.Checkpoints);
        TrainingCheckpoint.Save(path, Trainer, _state);
        // The newest is enough: it is complete before an older one goes.
        foreach (var (step, older) in folder.SavedCheckpoints())
        {
            if (step != _state.Step)
                Directory.Delete(older, recursive: true);
        }
    }

    private void PutBestBack()
    {
        if (_state.BestLoss is null || _state.BestStep == _state.Step)
            Trainer.KeepAverage();
        else
            TrainingCheckpoint.LoadWeights(Best, trainables);
    }
}
