namespace Perenos.Runs;

/// <summary>How far a run has come.</summary>
public enum RunStatus
{
    /// <summary>Begun; if its process is gone, it was killed and can be resumed.</summary>
    Running,

    /// <summary>Complete.</summary>
    Finished,

    /// <summary>Stopped by the user; can be resumed.</summary>
    Interrupted,

    /// <summary>Ended by an error.</summary>
    Failed,
}

/// <summary>One run in a few values, kept in <c>summary.json</c> for listing and comparing runs.</summary>
public sealed record RunSummary
{
    /// <summary>Name of the run's folder.</summary>
    public required string Name { get; init; }

    /// <summary>The recipe: tune, pretrain, evaluate.</summary>
    public required string Kind { get; init; }

    /// <summary>Model or checkpoint it started from.</summary>
    public required string Model { get; init; }

    /// <summary>What it was trained or measured on.</summary>
    public required string Data { get; init; }

    /// <summary>full, lora, or another method; null where nothing is trained.</summary>
    public string? Method { get; init; }

    /// <summary>How far it has come.</summary>
    public required RunStatus Status { get; init; }

    /// <summary>When it began, with the offset of that machine.</summary>
    public required DateTimeOffset Started { get; init; }

    /// <summary>Optimizer steps taken.</summary>
    public long Steps { get; init; }

    /// <summary>Training loss of the first step, nats per learnt token.</summary>
    public double? FirstLoss { get; init; }

    /// <summary>Training loss of the last step, nats per learnt token.</summary>
    public double? LastLoss { get; init; }

    /// <summary>Lowest validation loss, nats per learnt token.</summary>
    public double? BestValidationLoss { get; init; }

    /// <summary>What was measured at the end.</summary>
    public IReadOnlyList<Metric> Metrics { get; init; } = [];

    /// <summary>Change of nats per token on general text; positive means forgotten.</summary>
    public Metric? Forgetting { get; init; }

    /// <summary>Wall time so far.</summary>
    public double Seconds { get; init; }

    /// <summary>Largest resident memory of the process, bytes; 0 where unknown.</summary>
    public long PeakMemory { get; init; }

    /// <summary>What each finished stage came to, where the run has stages; all against the model that the first began with.</summary>
    public IReadOnlyList<StageSummary> Stages { get; init; } = [];

    /// <summary>Writes the summary in one atomic step.</summary>
    /// <exception cref="PerenosException">The folder cannot be written to, or the disk is full.</exception>
    public void Write(RunFolder folder) => ConfigFile.WriteMeasurements(folder.Summary, this);

    /// <summary>The summary of a run, or null if none was written yet.</summary>
    /// <exception cref="PerenosException">The file is malformed.</exception>
    public static RunSummary? Read(RunFolder folder) =>
        File.Exists(folder.Summary) ? ConfigFile.ReadMeasurements<RunSummary>(folder.Summary) : null;
}

/// <summary>One stage of several, measured on the target of the whole.</summary>
public sealed record StageSummary
{
    /// <summary>Its name; where an adapter was taken off afterwards, with a word about that.</summary>
    public required string Name { get; init; }

    /// <summary>Its folder, itself a run.</summary>
    public required string Folder { get; init; }

    /// <summary>What learnt.</summary>
    public required string Method { get; init; }

    /// <summary>The target after it.</summary>
    public IReadOnlyList<Metric> Metrics { get; init; } = [];

    /// <summary>Change of nats per token on general text since the base.</summary>
    public Metric? Forgetting { get; init; }

    /// <summary>Wall time of its training and judging.</summary>
    public double Seconds { get; init; }
}
