using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;

namespace Perenos.Recipes;

/// <summary>What a run learns from and is judged by: records in three parts, and the first two as tokens.</summary>
public sealed record RunData : IDisposable
{
    // Records whose tokens are made at once, on all cores; fewer where they are long, since their tokens take memory.
    private const int RecordsAtOnce = 256;
    private const int CharactersAtOnce = 4 << 20;

    /// <summary>How records are read, in words.</summary>
    public required string SchemaDescription { get; init; }

    /// <summary>Records in three parts; those of one group stand in one part.</summary>
    public required DataSplit Split { get; init; }

    /// <summary>Training examples; of streamed data they are read from the disk when they are asked for.</summary>
    public required IReadOnlyList<Example> Train { get; init; }

    /// <summary>Validation examples.</summary>
    public required IReadOnlyList<Example> Validation { get; init; }

    /// <summary>What the training examples hold.</summary>
    public required LabelReport Labels { get; init; }

    /// <summary>Training records left out because data that the run keeps apart from its own hold them out.</summary>
    public int LeftOut { get; init; }

    /// <summary>What nothing that is learnt or kept beside these data may hold.</summary>
    internal HeldOut HeldOut { get; init; } = HeldOut.Nothing;

    /// <summary>Other data that are learnt beside these.</summary>
    public IReadOnlyList<MixedData> Mix { get; init; } = [];

    /// <summary>Test records that have something to answer; of preferences, those with the chosen answer.</summary>
    public required IReadOnlyList<Record> Test { get; init; }

    /// <summary>Test examples with the answer that theirs is preferred to, where preferences are learnt.</summary>
    public IReadOnlyList<Example> TestPairs { get; init; } = [];

    /// <summary>The files of streamed data, which must not change until the run is over; none where everything is in memory.</summary>
    public IReadOnlyList<DataFile> Files { get; init; } = [];

    /// <summary>Reads, splits, renders and audits.</summary>
    /// <exception cref="PerenosException">The data cannot be read, or would teach nothing or the wrong thing.</exception>
    internal static RunData Read(RunConfig config, ExampleRenderer renderer, long modelLength, DataReading reading)
    {
        var data = config.Data;
        bool isPreference = config.Objective is DpoConfig, streams = StreamedData.IsMeant(data);
        int longest = (int)Math.Min(data.MaximumLength, modelLength);
        var sources = RecordSource.All(data, isPreference);
        var apart = HeldOut.Apart(config);
        var (split, schema, train, labels, leftOut) = streams
            ? StreamedData.Read(config, sources, SettingsOf(data, config.Seed), apart, renderer, longest, reading)
            : InMemory(sources, SettingsOf(data, config.Seed), apart, renderer, longest);
        var heldOut = apart.And(data, split, ReferenceText.Read(config.Evaluation.Reference));
        var test = split.Test.Take(config.Evaluation.TestRecords).ToList();
        return new RunData
        {
            SchemaDescription = schema,
            Split = split,
            Train = train,
            Validation = [.. new LengthLimit(longest).Apply(split.Validation.Select(renderer.Render))],
            Labels = labels,
            LeftOut = leftOut,
            HeldOut = heldOut,
            Mix = [.. (data.Mix ?? []).Select(mix => MixedData.Read(mix, config, renderer, longest, heldOut, streams ? reading : null))],
            Test = [.. test.Select(record => record is PreferenceRecord pair ? pair.Chosen : record)],
            TestPairs = isPreference ? [.. new LengthLimit(longest).Apply(test.Select(renderer.Render))] : [],
            Files = streams ? StreamedData.FilesOf([.. sources, .. RecordSource.Beside(config), .. (config.Evaluation.Apart ?? []).SelectMany(apart => RecordSource.All(apart, isPreference: false))]) : [],
        };
    }

    /// <summary>Reads and splits; the same data and seed give the same parts.</summary>
    /// <exception cref="PerenosException">The source is missing, empty or malformed.</exception>
    internal static DataSplit SplitOf(DataConfig data, ulong seed)
    {
        var sources = RecordSource.All(data, isPreference: false);
        return StreamedData.IsMeant(data)
            ? StreamedData.SplitOf(sources, SettingsOf(data, seed), reading: null).Split
            : DataSplit.Of([.. sources.SelectMany(source => source.Read())], SettingsOf(data, seed));
    }

    /// <summary>Whether the source is plain text, without answers; reads its first record only.</summary>
    /// <exception cref="PerenosException">The source is missing, empty or malformed.</exception>
    internal static bool IsPlainText(DataConfig data) => RecordSource.Of(data, data.Path, isPreference: false).Read().First() is TextRecord;

    /// <summary>Reads the records of one source by the settings' schema, and says in words how.</summary>
    /// <exception cref="PerenosException">The source is missing, empty or malformed.</exception>
    public static (IReadOnlyList<Record> Records, string Schema) ReadRecords(DataConfig data, string path, bool isPreference = false)
    {
        var source = RecordSource.Of(data, path, isPreference);
        List<Record> records = [.. source.Read()];
        return (records, source.Description);
    }

    /// <summary>Makes records to examples that fit, one after the other, and says what these hold.</summary>
    /// <exception cref="PerenosException">They would teach nothing or the wrong thing.</exception>
    internal static LabelReport Render(IEnumerable<Record> records, ExampleRenderer renderer, int longest, Action<Example> add)
    {
        var limit = new LengthLimit(longest);
        var (tally, empty) = (new LabelTally(renderer.StopIds, longest), new EmptyCompletions());
        int examples = 0;
        foreach (var some in Portions(records.Where(record => !empty.Note(record))))
        {
            foreach (var example in limit.Apply(Rendered(some, renderer)))
            {
                foreach (var row in example.Rows)
                    tally.Add(row);
                add(example);
                examples = checked(examples + 1);
            }
        }

        empty.Refuse();
        return tally.Report(limit.Dropped) with { Examples = examples, Truncated = limit.Truncated };
    }

    /// <summary>Closes the files of streamed data.</summary>
    public void Dispose()
    {
        foreach (var examples in Mix.Select(mix => mix.Examples).Prepend(Train))
            (examples as IDisposable)?.Dispose();
    }

    private static (DataSplit Split, string Schema, IReadOnlyList<Example> Train, LabelReport Labels, int LeftOut) InMemory(
        IReadOnlyList<RecordSource> sources, SplitSettings settings, HeldOut apart, ExampleRenderer renderer, int longest)
    {
        var split = DataSplit.Of([.. sources.SelectMany(source => source.Read())], settings);
        List<Record> kept = [.. apart.LeaveOut(split.Train, sources[0].Path, sources)];
        List<Example> train = [];
        var labels = Render(kept, renderer, longest, train.Add);
        return (split with { Train = kept }, sources[0].Description, train, labels, split.Train.Count - kept.Count);
    }

    // Where files name a part, no share of the rest is set apart for it: the split sees to that.
    private static SplitSettings SettingsOf(DataConfig data, ulong seed) => new() { Validation = data.ValidationShare, Test = data.TestShare, Seed = seed };

    private static IEnumerable<List<Record>> Portions(IEnumerable<Record> records)
    {
        List<Record> portion = [];
        int characters = 0;
        foreach (var record in records)
        {
            portion.Add(record);
            characters += (record as TextRecord)?.Text.Length ?? 0;
            if (portion.Count < RecordsAtOnce && characters < CharactersAtOnce)
                continue;
            yield return portion;
            (portion, characters) = ([], 0);
        }

        yield return portion;
    }

    private static List<Example> Rendered(List<Record> records, ExampleRenderer renderer)
    {
        try
        {
            return records.AsParallel().AsOrdered().Select(renderer.Render).ToList();
        }
        catch (AggregateException)
        {
            // One after the other: the message is that of the first record that is wrong.
            return records.Select(renderer.Render).ToList();
        }
    }

    /// <summary>Records whose completion is empty: the stop token alone would be learnt, silence.</summary>
    private sealed class EmptyCompletions
    {
        private readonly NamedRows _rows = new();
        private long _records;

        public bool Note(Record record)
        {
            _records++;
            var answers = record is PreferenceRecord pair ? [pair.Chosen, pair.Rejected] : new[] { record };
            if (!answers.OfType<PromptRecord>().Any(answer => string.IsNullOrWhiteSpace(answer.Completion)))
                return false;
            _rows.Add(record.Source);
            return true;
        }

        public void Refuse()
        {
            if (_rows.Count > 0)
                throw new PerenosException($"{_rows.Count} of {_records} records have an empty completion: {_rows}.", "Remove these rows, or check the template of the completion.");
        }
    }
}
