using System.Globalization;
using System.Text.Json.Serialization;

namespace Perenos.Runs;

/// <summary>Something that happened in a run: one line of <c>events.jsonl</c>, told apart by <c>kind</c>.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "kind")]
[JsonDerivedType(typeof(Started), "started")]
[JsonDerivedType(typeof(Planned), "plan")]
[JsonDerivedType(typeof(Step), "step")]
[JsonDerivedType(typeof(Validation), "validation")]
[JsonDerivedType(typeof(VirtualTokens), "virtual_tokens")]
[JsonDerivedType(typeof(Checkpoint), "checkpoint")]
[JsonDerivedType(typeof(Sample), "sample")]
[JsonDerivedType(typeof(Evaluation), "evaluation")]
[JsonDerivedType(typeof(Finished), "finished")]
[JsonDerivedType(typeof(Interrupted), "interrupted")]
[JsonDerivedType(typeof(Failed), "failed")]
public abstract record RunEvent
{
    private RunEvent()
    {
    }

    /// <summary>The optimizer step after which it happened, or null for what belongs to the run as a whole.</summary>
    [JsonIgnore]
    public virtual long? AtStep => null;

    /// <summary>The run began; <c>At</c> is the wall clock.</summary>
    public sealed record Started(string Recipe, string Model, string Data, DateTimeOffset At) : RunEvent;

    /// <summary>What the run is about to learn, and what that will take: steps, validations and saving. Memory in bytes, time in seconds.</summary>
    public sealed record Planned(string Method, long Steps, long Tokens, long TrainableParameters, long TotalParameters, long EstimatedMemory, double EstimatedSeconds) : RunEvent
    {
        /// <summary>Where what is learnt comes from, the data first; null where they are alone.</summary>
        [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
        public IReadOnlyList<Source>? Sources { get; init; }
    }

    /// <summary>A source of what is learnt: its examples, their learnt tokens, its share of all learnt tokens, and how many times the run comes to each.</summary>
    public sealed record Source(string Name, long Examples, long LearntTokens, double Share, double Times)
    {
        // Up to four times text that comes again is nearly as good as new (Muennighoff et al. 2023, https://arxiv.org/abs/2305.16264).
        private const double MostTimes = 4;

        /// <summary>The source in a line.</summary>
        public override string ToString() => string.Create(CultureInfo.InvariantCulture,
            $"{Name}: {Examples:N0} examples, {LearntTokens:N0} learnt tokens, {Share:P1} of what is learnt, each {Times:0.###} times");

        /// <summary>What to mind of the sources that are mixed in; how often the data themselves come is the number of epochs.</summary>
        public static IEnumerable<string> Warnings(IEnumerable<Source>? sources) => (sources ?? []).Skip(1).Where(source => source.Times > MostTimes).Select(source => string.Create(CultureInfo.InvariantCulture,
            $"{source.Name} comes {source.Times:0.#} times: beyond {MostTimes} times text that comes again teaches little. Give more of it, a smaller share, or fewer epochs."));
    }

    /// <summary>One optimizer step: mean loss in nats per learnt token, gradient norm before clipping, tokens of the step, seconds of the step.</summary>
    [method: JsonConstructor]
    public sealed record Step([property: JsonPropertyName("step")] long Number, double Loss, double GradNorm, double LearningRate, long Tokens, double Seconds, double TokensPerSecond) : RunEvent
    {
        /// <summary>Loss that the guarded text is expected to have gained so far, in nats per token, where a penalty guards it.</summary>
        [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
        public double? Forecast { get; init; }

        /// <summary>Strength of the penalty in this step.</summary>
        [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
        public double? Strength { get; init; }

        /// <summary>Mean reward of the chosen answers less that of the rejected ones, where preferences are learnt.</summary>
        [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
        public double? RewardMargin { get; init; }

        /// <summary>Share of the step's pairs whose chosen answer has the higher reward.</summary>
        [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
        public double? RewardAccuracy { get; init; }

        /// <inheritdoc/>
        [JsonIgnore]
        public override long? AtStep => Number;
    }

    /// <summary>Mean loss in nats per learnt token on examples that are not trained on.</summary>
    public sealed record Validation([property: JsonPropertyName("step")] long Number, double Loss, bool Best) : RunEvent
    {
        /// <inheritdoc/>
        [JsonIgnore]
        public override long? AtStep => Number;
    }

    /// <summary>
    /// Where virtual tokens stand: <c>Moved</c> is the distance from their start in root mean squares of the start, <c>Distance</c> that
    /// to the nearest real tokens, in lengths of those; null for keys and values, which stand among no tokens.
    /// </summary>
    public sealed record VirtualTokens([property: JsonPropertyName("step")] long Number, double Moved, double? Distance) : RunEvent
    {
        /// <inheritdoc/>
        [JsonIgnore]
        public override long? AtStep => Number;
    }

    /// <summary>A training checkpoint is about to become durable: append this first, then save, so that a checkpoint on disk always stands in the log.</summary>
    public sealed record Checkpoint([property: JsonPropertyName("step")] long Number, string Folder) : RunEvent
    {
        /// <inheritdoc/>
        [JsonIgnore]
        public override long? AtStep => Number;
    }

    /// <summary>One held-out example, answered before and after training.</summary>
    public sealed record Sample(string Input, string? Reference, string? Before, string? After) : RunEvent;

    /// <summary>Measured values of one state of the model (<c>before</c> or <c>after</c> training).</summary>
    public sealed record Evaluation(string Name, IReadOnlyList<Metric> Metrics) : RunEvent;

    /// <summary>The run is complete. Peak memory in bytes.</summary>
    public sealed record Finished([property: JsonPropertyName("step")] long Number, double Seconds, long PeakMemory) : RunEvent;

    /// <summary>The user stopped the run; <c>Folder</c> is the checkpoint to go on from, null if none was saved.</summary>
    public sealed record Interrupted([property: JsonPropertyName("step")] long Number, string? Folder) : RunEvent;

    /// <summary>The run could not go on.</summary>
    public sealed record Failed([property: JsonPropertyName("step")] long Number, string Message, string? Hint) : RunEvent;
}
