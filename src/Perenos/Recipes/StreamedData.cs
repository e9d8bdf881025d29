using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;

namespace Perenos.Recipes;

/// <summary>Data that are read by streaming: records go through memory one by one, and only their tokens are kept, on the disk.</summary>
internal static class StreamedData
{
    // What a byte of a file may take in memory as records and examples: 10 MB of pairs took 5 times as much as when they were streamed, other kinds take more.
    private const int BytesHeldOfByte = 12;
    private const int CompressedBytes = 4;
    private const string Choosing = "choosing what is held out", Comparing = "looking for repeated prompts";

    /// <summary>What takes longest, for the display.</summary>
    public const string MakingTokens = "making tokens";

    /// <summary>Whether data are streamed: as their recipe says, otherwise where they would fill more than half of the machine's memory.</summary>
    public static bool IsMeant(DataConfig data)
    {
        if (data.Streaming is { } said)
            return said;
        IEnumerable<string> files = RecordSource.All(data, isPreference: false).Concat((data.Mix ?? []).Select(mix => RecordSource.Of(data, mix, isPreference: false))).SelectMany(source => source.Files);
        double bytes = files.Sum(file => DataFile.Of(file).Bytes * (double)(Path.GetExtension(file) is ".gz" or ".parquet" ? CompressedBytes : 1));
        return bytes * BytesHeldOfByte > GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 2.0;
    }

    /// <summary>The split without training records in memory.</summary>
    public static (DataSplit Split, IReadOnlySet<string> HeldOut) SplitOf(IReadOnlyList<RecordSource> sources, SplitSettings settings, DataReading? reading)
    {
        int passes = 0;
        return StreamedSplit.Of(() => reading?.Read(sources, passes++ == 0 ? Choosing : Comparing) ?? sources.SelectMany(source => source.Read()), settings);
    }

    /// <summary>The main data.</summary>
    /// <exception cref="PerenosException">They cannot be read or would teach the wrong thing.</exception>
    public static (DataSplit Split, string Schema, StoredExamples Train, LabelReport Labels, int LeftOut) Read(
        RunConfig config, IReadOnlyList<RecordSource> sources, SplitSettings settings, HeldOut apart, ExampleRenderer renderer, int longest, DataReading reading)
    {
        IEnumerable<Record> Training(Func<IEnumerable<Record>> read, IReadOnlySet<string> groups, Action? leftOut = null) =>
            apart.LeaveOut(StreamedSplit.Training(read, groups), sources[0].Path, sources, leftOut);
        var (train, facts) = TokenCache.Of(PartsOf(config, longest, reading).Concat(apart.Parts), FilesOf(sources), writer =>
        {
            var (split, heldOut) = SplitOf(sources, settings, reading);
            int leftOut = 0;
            var labels = RunData.Render(Training(() => reading.Read(sources, MakingTokens), heldOut, () => leftOut++), renderer, longest, writer.Add);
            return new StoredSplit
            {
                Schema = sources[0].Description,
                Records = split.Train.Count - leftOut,
                LeftOut = leftOut,
                HeldOut = [.. heldOut],
                Validation = split.Validation,
                Test = split.Test,
                DroppedFromValidation = split.DroppedFromValidation,
                DroppedFromTest = split.DroppedFromTest,
                Labels = labels,
            };
        });
        HashSet<string> groups = [.. facts.HeldOut];
        var records = new StreamedRecordCollection(facts.Records, () => Training(() => sources.SelectMany(source => source.Read()), groups));
        return (new DataSplit(records, facts.Validation, facts.Test, facts.DroppedFromValidation, facts.DroppedFromTest), facts.Schema, train, facts.Labels, facts.LeftOut);
    }

    /// <summary>Everything that tokens depend on beside the files.</summary>
    public static IReadOnlyList<string> PartsOf(RunConfig config, int longest, DataReading reading) =>
        [ConfigFile.ToTree(config.Data with { Mix = null, Streaming = null }).ToJsonString(), $"{config.Seed} {config.Objective is DpoConfig} {longest}", reading.Rendering()];

    /// <summary>The files as they are.</summary>
    public static IReadOnlyList<DataFile> FilesOf(IEnumerable<RecordSource> sources) => [.. sources.SelectMany(source => source.Files).Select(DataFile.Of)];

    private sealed record StoredSplit
    {
        public required string Schema { get; init; }

        public required int Records { get; init; }

        public required int LeftOut { get; init; }

        public required IReadOnlyList<string> HeldOut { get; init; }

        public required IReadOnlyList<Record> Validation { get; init; }

        public required IReadOnlyList<Record> Test { get; init; }

        public required int DroppedFromValidation { get; init; }

        public required int DroppedFromTest { get; init; }

        public required LabelReport Labels { get; init; }
    }
}
