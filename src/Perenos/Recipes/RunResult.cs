using Perenos.Evaluation;
using Perenos.Reports;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Training;

namespace Perenos.Recipes;

/// <summary>How a run ended and what it showed; the parts of its report.</summary>
public sealed record RunResult
{
    /// <summary>How training ended.</summary>
    public required TrainingEnd End { get; init; }

    /// <summary>The configuration with every default filled in.</summary>
    public required RunConfig Config { get; init; }

    /// <summary>What <c>perenos runs</c> lists.</summary>
    public required RunSummary Summary { get; init; }

    /// <summary>Everything for the report.</summary>
    public ReportModel? Report { get; init; }

    /// <summary>The test that was taken.</summary>
    public Examination? Examination { get; init; }

    /// <summary>The model as it was.</summary>
    public Judgement? Before { get; init; }

    /// <summary>The model as it became.</summary>
    public Judgement? After { get; init; }

    /// <summary>Scores of <see cref="Before"/>, each with its interval.</summary>
    public IReadOnlyList<Metric> ScoresBefore { get; init; } = [];

    /// <summary>Scores of <see cref="After"/>.</summary>
    public IReadOnlyList<Metric> ScoresAfter { get; init; } = [];

    /// <summary>What changed from the one to the other, with the intervals of the paired differences.</summary>
    public IReadOnlyList<Metric> Changes { get; init; } = [];

    /// <summary>The real token nearest to each virtual one, with the cosine; empty without virtual tokens among the embeddings.</summary>
    public IReadOnlyList<string> NearestTokens { get; init; } = [];

    /// <summary>What elastic weight consolidation expects the guarded text to have lost, in nats per token; null without it.</summary>
    public double? Forecast { get; init; }

    /// <summary>How well held-out preferences are told; null where none were learnt.</summary>
    public PreferenceScore? Preference { get; init; }
}

/// <summary>Who listens to a run.</summary>
/// <param name="Clock">Tells the time.</param>
/// <param name="Event">Told of every event, after it is in the log.</param>
/// <param name="Progress">Told how far a long phase is: its name, done, of how many.</param>
public sealed record RunListener(TimeProvider Clock, Action<RunEvent> Event, Action<string, int, int> Progress);
