using Perenos.Hub;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;

namespace Perenos.Recipes;

/// <summary>What a run learns from and is judged by: records in three parts, and the first two as tokens.</summary>
public sealed record RunData
{
    private const int RowsNamed = 5;

    /// <summary>How records are read, in words.</summary>
    public required string SchemaDescription { get; init; }

    /// <summary>Records in three parts; those of one group stand in one part.</summary>
    public required DataSplit Split { get; init; }

    /// <summary>Training examples.</summary>
    public required IReadOnlyList<Example> Train { get; init; }

    /// <summary>Validation examples.</summary>
    public required IReadOnlyList<Example> Validation { get; init; }

    /// <summary>What the training examples hold.</summary>
    public required LabelReport Labels { get; init; }

    /// <summary>Other data that are learnt beside these.</summary>
    public IReadOnlyList<MixedData> Mix { get; init; } = [];

    /// <summary>Test records that have something to answer; of preferences, those with the chosen answer.</summary>
    public required IReadOnlyList<Record> Test { get; init; }

    /// <summary>Test examples with the answer that theirs is preferred to, where preferences are learnt.</summary>
    public IReadOnlyList<Example> TestPairs { get; init; } = [];

    /// <summary>Reads, splits, renders and audits.</summary>
    /// <exception cref="PerenosException">The data cannot be read, or would teach nothing or the wrong thing.</exception>
    public static RunData Read(RunConfig config, ExampleRenderer renderer, long modelLength)
    {
        var data = config.Data;
        bool isPreference = config.Objective is DpoConfig;
        var (split, schema) = SplitOf(data, config.Seed, isPreference);
        RefuseEmptyCompletions(split.Train);
        int longest = (int)Math.Min(data.MaximumLength, modelLength);
        var (train, labels) = Render(split.Train, renderer, longest);
        List<Example> validation = [.. new LengthLimit(longest).Apply(split.Validation.Select(renderer.Render))];
        var test = split.Test.Take(config.Evaluation.TestRecords).ToList();
        var judged = data.Mix is null ? [] : Judged(config, split.Validation.Concat(split.Test));
        return new RunData
        {
            SchemaDescription = schema,
            Split = split,
            Train = train,
            Validation = validation,
            Labels = labels,
            Mix = [.. (data.Mix ?? []).Select(mix => MixedData.Read(mix, data, renderer, longest, judged, isPreference))],
            Test = [.. test.Select(record => record is PreferenceRecord pair ? pair.Chosen : record)],
            TestPairs = isPreference ? [.. new LengthLimit(longest).Apply(test.Select(renderer.Render))] : [],
        };
    }

    /// <summary>Keys of prompts that nothing else may teach: of records for validation and test, and of the text on which forgetting is measured.</summary>
    internal static HashSet<string> Judged(RunConfig config, IEnumerable<Record> heldOut) =>
        [.. heldOut.Select(record => record.PromptText).Concat(ReferenceText.Read(config.Evaluation.Reference)).Select(Record.KeyOf)];

    /// <summary>Records as examples that fit, with what they hold.</summary>
    /// <exception cref="PerenosException">They would teach nothing or the wrong thing.</exception>
    internal static (IReadOnlyList<Example> Examples, LabelReport Labels) Render(IReadOnlyList<Record> records, ExampleRenderer renderer, int longest)
    {
        var limit = new LengthLimit(longest);
        List<Example> examples = [.. limit.Apply(records.Select(renderer.Render))];
        var labels = LabelAudit.Check([.. examples.SelectMany(example => example.Rows)], renderer.StopIds, longest, limit.Dropped);
        return (examples, labels with { Examples = examples.Count, Truncated = limit.Truncated });
    }

    /// <summary>Reads and splits; the same data and seed give the same parts.</summary>
    /// <exception cref="PerenosException">The source is missing, empty or malformed.</exception>
    internal static (DataSplit Split, string Schema) SplitOf(DataConfig data, ulong seed, bool isPreference = false)
    {
        var (records, schema) = ReadRecords(data, data.Path, isPreference);
        List<Record> all = [.. records];
        AddPart(all, data, data.Validation, DataPart.Validation, isPreference);
        AddPart(all, data, data.Test, DataPart.Test, isPreference);
        bool hasTest = all.Any(record => record.Part == DataPart.Test), hasValidation = all.Any(record => record.Part == DataPart.Validation);
        return (DataSplit.Of(all, new SplitSettings
        {
            Validation = hasValidation ? 0 : data.ValidationShare,
            Test = hasTest ? 0 : data.TestShare,
            Seed = seed,
        }), schema);
    }

    /// <summary>Whether the source is plain text, without answers; reads its first record only.</summary>
    /// <exception cref="PerenosException">The source is missing, empty or malformed.</exception>
    internal static bool IsPlainText(DataConfig data)
    {
        var first = RecordFile.Read(HubLocation.InCache(data.Path, HubKind.Dataset)).Take(1).ToList();
        return SchemaOf(data, data.Path, first).Records(first).First() is TextRecord;
    }

    /// <summary>Reads the records of one source by the settings' schema, and says in words how.</summary>
    /// <exception cref="PerenosException">The source is missing, empty or malformed.</exception>
    public static (IReadOnlyList<Record> Records, string Schema) ReadRecords(DataConfig data, string path, bool isPreference = false)
    {
        var raws = RecordFile.Read(HubLocation.InCache(path, HubKind.Dataset)).ToList();
        var schema = SchemaOf(data, path, raws, isPreference);
        return ([.. schema.Records(raws)], schema.Description);
    }

    /// <summary>Reads the records that are mixed in: by their own templates, by those of the data where they have the fields, or by their keys.</summary>
    /// <exception cref="PerenosException">The source is missing, empty or malformed.</exception>
    internal static (IReadOnlyList<Record> Records, string Schema) ReadRecords(DataConfig data, MixConfig mix, bool isPreference)
    {
        var own = data with { Text = mix.Text, Prompt = mix.Prompt, Completion = mix.Completion };
        bool hasOwn = (mix.Text ?? mix.Prompt ?? mix.Completion) is not null;
        var first = hasOwn || isPreference ? null : RecordFile.Read(HubLocation.InCache(mix.Path, HubKind.Dataset)).FirstOrDefault();
        bool fits = first is not null && Schema.FromOptions(data.Text, data.Prompt, data.Completion) is { } common && common.Fits(first);
        return ReadRecords(fits ? data : own, mix.Path, isPreference);
    }

    private static Schema SchemaOf(DataConfig data, string path, List<RawRecord> raws, bool isPreference = false)
    {
        if (raws.Count == 0)
            throw new PerenosException($"{path} holds no records.", "Give a file with at least some dozens of records.");
        return isPreference ? PreferenceSchema.For(raws[0]) : Schema.FromOptions(data.Text, data.Prompt, data.Completion) ?? Schema.Detect(raws[0]);
    }

    // The stop token alone would be learnt: silence.
    internal static void RefuseEmptyCompletions(IReadOnlyList<Record> records)
    {
        var answered = records.SelectMany(record => record is PreferenceRecord pair ? [pair.Chosen, pair.Rejected] : new[] { record });
        var empty = answered.OfType<PromptRecord>().Where(record => string.IsNullOrWhiteSpace(record.Completion)).ToList();
        if (empty.Count > 0)
        {
            throw new PerenosException(
                $"{empty.Count} of {records.Count} records have an empty completion: {string.Join(", ", empty.Take(RowsNamed).Select(record => record.Source))}{(empty.Count > RowsNamed ? ", …" : "")}.",
                "Remove these rows, or check the template of the completion.");
        }
    }

    private static void AddPart(List<Record> all, DataConfig data, string? path, DataPart part, bool isPreference)
    {
        if (path is not null)
            all.AddRange(ReadRecords(data, path, isPreference).Records.Select(record => record with { Part = part }));
    }
}
