using Perenos.Runs;

namespace Perenos.Reports;

/// <summary>What a report says, before it is drawn. Every part but the title and the question may be missing, and is then left out.</summary>
public sealed record ReportModel
{
    /// <summary>Headline, such as "SmolLM2-135M learns weather bulletins".</summary>
    public required string Title { get; init; }

    /// <summary>What was asked, in one sentence.</summary>
    public required string Question { get; init; }

    /// <summary>When the run ended.</summary>
    public required DateTimeOffset Created { get; init; }

    /// <summary>What was gained and what was forgotten, the most important first.</summary>
    public IReadOnlyList<Finding> Verdict { get; init; } = [];

    /// <summary>What was learnt from.</summary>
    public DataSection? Data { get; init; }

    /// <summary>What was set out to be done.</summary>
    public PlanSection? Plan { get; init; }

    /// <summary>How training went.</summary>
    public CurveSection? Curves { get; init; }

    /// <summary>Other pictures.</summary>
    public IReadOnlyList<Chart> Charts { get; init; } = [];

    /// <summary>Metrics by state of the model.</summary>
    public ResultSection? Results { get; init; }

    /// <summary>Held-out examples with their answers.</summary>
    public IReadOnlyList<ReportSample> Samples { get; init; } = [];

    /// <summary>What general ability was lost.</summary>
    public ForgettingSection? Forgetting { get; init; }

    /// <summary>What was gained for what was forgotten, on the way.</summary>
    public FrontSection? Front { get; init; }

    /// <summary>What it took.</summary>
    public CostSection? Cost { get; init; }

    /// <summary>What to type to get the same again.</summary>
    public IReadOnlyList<ReportCommand> Commands { get; init; } = [];

    /// <summary>Machine and versions.</summary>
    public RunEnvironment? Environment { get; init; }
}

/// <summary>How a finding is meant; it decides the word and the colour beside it.</summary>
public enum FindingTone
{
    /// <summary>Better than before.</summary>
    Gained,

    /// <summary>Worse than before.</summary>
    Lost,

    /// <summary>Neither, such as no measurable change.</summary>
    Neutral,
}

/// <summary>One sentence of the verdict; <c>Figure</c> is its number in short, such as "+91.8 BLEU".</summary>
public sealed record Finding(FindingTone Tone, string Figure, string Sentence);

/// <summary>A labelled value that has no field of its own.</summary>
public sealed record Fact(string Label, string Value);

/// <summary>The data of a run.</summary>
public sealed record DataSection
{
    /// <summary>File or generator it came from.</summary>
    public required string Source { get; init; }

    /// <summary>How records are read: prompt and completion, messages, text, with their placeholders.</summary>
    public required string Schema { get; init; }

    /// <summary>Training, validation and test parts.</summary>
    public IReadOnlyList<DataSplit> Splits { get; init; } = [];

    /// <summary>Anything else worth knowing, such as how it was split or what was left out.</summary>
    public IReadOnlyList<Fact> Facts { get; init; } = [];

    /// <summary>Some records as the user wrote them: prompt and completion.</summary>
    public IReadOnlyList<DataExample> Examples { get; init; } = [];

    /// <summary>One example as the model sees it, token by token.</summary>
    public IReadOnlyList<ReportToken> Tokens { get; init; } = [];
}

/// <summary>A part of the data; <c>LearntTokens</c> are those that carry a label, null where nothing is learnt from it.</summary>
public sealed record DataSplit(string Name, long Records, long Tokens, long? LearntTokens = null);

/// <summary>A record: what the model is given and what it shall answer (null for plain text).</summary>
public sealed record DataExample(string Prompt, string? Completion);

/// <summary>One token's text, and whether the loss counts it.</summary>
public sealed record ReportToken(string Text, bool IsLearnt);

/// <summary>The plan of a run; 0 leaves a value out.</summary>
public sealed record PlanSection
{
    /// <summary>Method in words, such as "LoRA, rank 16, on all linear layers".</summary>
    public required string Method { get; init; }

    /// <summary>Parameters that change.</summary>
    public long TrainableParameters { get; init; }

    /// <summary>All parameters.</summary>
    public long TotalParameters { get; init; }

    /// <summary>Optimizer steps.</summary>
    public long Steps { get; init; }

    /// <summary>Tokens seen in all steps.</summary>
    public long Tokens { get; init; }

    /// <summary>Estimated peak, bytes.</summary>
    public long EstimatedMemory { get; init; }

    /// <summary>Estimated wall time of the training, seconds.</summary>
    public double EstimatedSeconds { get; init; }

    /// <summary>Other settings: batch, schedule, compute type and why.</summary>
    public IReadOnlyList<Fact> Facts { get; init; } = [];
}

/// <summary>A value at an optimizer step.</summary>
public readonly record struct CurvePoint(long Step, double Value);

/// <summary>A named line in the loss plot.</summary>
public sealed record NamedCurve(string Name, IReadOnlyList<CurvePoint> Points);

/// <summary>A named line of a chart; the first lines of a chart are the most important.</summary>
public sealed record ChartLine(string Name, IReadOnlyList<(double X, double Y)> Points);

/// <summary>Lines over an axis; values that are no numbers are left out.</summary>
public sealed record Chart(string Title, string XLabel, string YLabel, IReadOnlyList<ChartLine> Lines)
{
    /// <summary>Whether the horizontal axis is logarithmic.</summary>
    public bool IsLogarithmic { get; init; }

    /// <summary>A place on the horizontal axis that is pointed out.</summary>
    public double? Mark { get; init; }
}

/// <summary>How training went; losses in nats per learnt token.</summary>
public sealed record CurveSection
{
    /// <summary>Training loss of each step.</summary>
    public IReadOnlyList<CurvePoint> TrainingLoss { get; init; } = [];

    /// <summary>Validation losses.</summary>
    public IReadOnlyList<CurvePoint> ValidationLoss { get; init; } = [];

    /// <summary>Learning rate of each step.</summary>
    public IReadOnlyList<CurvePoint> LearningRate { get; init; } = [];

    /// <summary>Losses of other runs for contrast, such as the same training from scratch; drawn smoothed.</summary>
    public IReadOnlyList<NamedCurve> Contrasts { get; init; } = [];

    /// <summary>Takes the curves from a run's events.</summary>
    public static CurveSection From(IEnumerable<RunEvent> events)
    {
        var (loss, rate, validation) = (new List<CurvePoint>(), new List<CurvePoint>(), new List<CurvePoint>());
        foreach (var happened in events)
        {
            if (happened is RunEvent.Step step)
            {
                loss.Add(new CurvePoint(step.Number, step.Loss));
                rate.Add(new CurvePoint(step.Number, step.LearningRate));
            }
            else if (happened is RunEvent.Validation measured)
            {
                validation.Add(new CurvePoint(measured.Number, measured.Loss));
            }
        }

        return new CurveSection { TrainingLoss = loss, LearningRate = rate, ValidationLoss = validation };
    }
}

/// <summary>Metrics as rows, states of the model as columns.</summary>
public sealed record ResultSection
{
    /// <summary>Heading of the section.</summary>
    public string Heading { get; init; } = "Before and after";

    /// <summary>Columns, such as "base as it is", "adapted", "from scratch".</summary>
    public required IReadOnlyList<string> States { get; init; }

    /// <summary>One row per metric.</summary>
    public required IReadOnlyList<ResultRow> Rows { get; init; }

    /// <summary>What was measured on, and how the intervals were computed.</summary>
    public string? Note { get; init; }
}

/// <summary>A metric in every state; <c>Values</c> follow the section's states, null where it was not measured.</summary>
public sealed record ResultRow(string Name, bool IsHigherBetter, IReadOnlyList<Metric?> Values, int Decimals = 1);

/// <summary>A held-out example, answered before and after.</summary>
public sealed record ReportSample(string Source, string? Reference, string? Before, string? After);

/// <summary>A state on the way: its validation loss, the forecast of what it has forgotten (nats per token), the strength of the pull.</summary>
public sealed record FrontPoint(long Step, double Loss, double Forgetting, double Strength);

/// <summary>Gain against forgetting over the states of a run that a penalty guards.</summary>
/// <param name="Points">At every validation, in order.</param>
/// <param name="Budget">Most forgetting that was asked for, or null.</param>
public sealed record FrontSection(IReadOnlyList<FrontPoint> Points, double? Budget)
{
    /// <summary>The states at which a run was validated; null with fewer than two after its start.</summary>
    public static FrontSection? From(IEnumerable<RunEvent> events, double? budget)
    {
        var points = new List<FrontPoint>();
        RunEvent.Step? last = null;
        foreach (var happened in events)
        {
            last = happened as RunEvent.Step ?? last;
            if (happened is RunEvent.Validation measured && last is { Forecast: { } forecast, Strength: { } strength })
                points.Add(new FrontPoint(measured.Number, measured.Loss, forecast, strength));
        }

        return points.Count < 2 ? null : new FrontSection(points, budget);
    }
}

/// <summary>Change on general text.</summary>
public sealed record ForgettingSection
{
    /// <summary>One row per text, or per method on the same text.</summary>
    public required IReadOnlyList<ForgettingRow> Rows { get; init; }

    /// <summary>Which text, how many tokens, how the interval was computed.</summary>
    public string? Note { get; init; }
}

/// <summary>Nats per token before and after, and the change with its 95 % interval.</summary>
public sealed record ForgettingRow(string Name, double Before, double After, double Change, double? Low = null, double? High = null);

/// <summary>What the run took; 0 leaves a value out.</summary>
public sealed record CostSection
{
    /// <summary>Wall time, seconds.</summary>
    public double Seconds { get; init; }

    /// <summary>Tokens per second in training.</summary>
    public double TokensPerSecond { get; init; }

    /// <summary>Largest resident memory, bytes.</summary>
    public long PeakMemory { get; init; }

    /// <summary>Share of the measured peak of matrix multiplication that training reached, 0 to 1.</summary>
    public double? ShareOfPeak { get; init; }

    /// <summary>Other costs, such as the time of each stage.</summary>
    public IReadOnlyList<Fact> Facts { get; init; } = [];
}

/// <summary>A command and what it is for.</summary>
public sealed record ReportCommand(string Purpose, string Command);
