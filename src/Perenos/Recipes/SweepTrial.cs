using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Training;

namespace Perenos.Recipes;

/// <summary>How a trial stands.</summary>
public enum SweepStatus
{
    /// <summary>Its turn comes.</summary>
    Waiting,

    /// <summary>Steps are being taken.</summary>
    Training,

    /// <summary>Better trials went on.</summary>
    Dropped,

    /// <summary>It could not go on, as when its loss is no number.</summary>
    Failed,

    /// <summary>The best of all.</summary>
    Best,
}

/// <summary>One setting that a sweep tries: an ordinary run, in a folder of its own below the sweep's.</summary>
/// <param name="Name">Name of its folder.</param>
/// <param name="Config">What it runs.</param>
public sealed record SweepTrial(string Name, RunConfig Config)
{
    /// <summary>Highest learning rate.</summary>
    public double LearningRate => Config.Training.LearningRate!.Value;

    /// <summary>Rank, where ranks are tried.</summary>
    public int? Rank { get; init; }

    /// <summary>How it stands.</summary>
    public SweepStatus Status { get; init; }

    /// <summary>Steps taken.</summary>
    public long Step { get; init; }

    /// <summary>Every validation, in order.</summary>
    public IReadOnlyList<(long Step, double Loss)> Validations { get; init; } = [];

    /// <summary>Why it failed.</summary>
    public string? Problem { get; init; }

    /// <summary>The setting in words.</summary>
    public string Label => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{LearningRate:G3}{(Rank is null ? "" : $", rank {Rank}")}").ToLowerInvariant();

    /// <summary>Lowest validation loss up to a step, which is what a run keeps; null where it was not reached, infinite where the trial failed before.</summary>
    public double? LossAt(int step)
    {
        if (Status == SweepStatus.Failed && Step < step)
            return double.PositiveInfinity;
        return Reached(step) ? Validations.Where(validation => validation.Step <= step && double.IsFinite(validation.Loss)).Select(validation => validation.Loss).DefaultIfEmpty(double.PositiveInfinity).Min() : null;
    }

    // Up to the rung, or stopped early on the way: then nothing better comes.
    internal bool Reached(int step) => Step >= step || StoppedAt is not null;

    /// <summary>Step at which the trial's patience ended.</summary>
    internal long? StoppedAt { get; init; }

    /// <summary>The trial as its folder shows it: everything that a resumed sweep has to know.</summary>
    internal SweepTrial AsOnDisk(string root)
    {
        string path = Path.Combine(root, Name);
        if (!File.Exists(Path.Combine(path, "config.json")))
            return this;
        using var folder = RunFolder.Open(path);
        if (folder.SavedCheckpoints() is not [.., var newest])
            return this;
        var state = TrainingCheckpoint.StateOf(newest.Path);
        return this with
        {
            Step = newest.Step,
            Validations = [.. EventLog.Read(folder.Events).OfType<RunEvent.Validation>().Where(validation => validation.Number <= newest.Step).Select(validation => (validation.Number, validation.Loss))],
            StoppedAt = state.ValidationsWithoutGain >= Config.Training.Patience ? newest.Step : null,
        };
    }
}
