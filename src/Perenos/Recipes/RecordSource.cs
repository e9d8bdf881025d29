using Perenos.Hub;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;

namespace Perenos.Recipes;

/// <summary>Records of one path by one schema, which the first record decides; each pass reads them anew.</summary>
internal sealed class RecordSource(string path, Func<RawRecord, Schema> choose, DataPart? part = null)
{
    private Schema? _schema;

    /// <summary>How records are read, in words; known once one was read.</summary>
    public string Description => _schema?.Description ?? throw new InvalidOperationException("No record was read.");

    /// <summary>What is read, as the user names it.</summary>
    public string Path => path;

    /// <summary>The files.</summary>
    public IReadOnlyList<string> Files => RecordFile.Files(Location);

    private string Location => HubLocation.InCache(path, HubKind.Dataset);

    /// <summary>What a path of the data stands for, read by their templates.</summary>
    public static RecordSource Of(DataConfig data, string path, bool isPreference, DataPart? part = null) =>
        new(path, raw => isPreference ? PreferenceSchema.For(raw) : Schema.FromOptions(data.Text, data.Prompt, data.Completion) ?? Schema.Detect(raw), part);

    /// <summary>What is mixed in: by its own templates, by those of the data where it has their fields, or by its keys.</summary>
    public static RecordSource Of(DataConfig data, MixConfig mix, bool isPreference) =>
        new(mix.Path, raw => isPreference ? PreferenceSchema.For(raw) : Schema.FromOptions(mix.Text, mix.Prompt, mix.Completion) ?? Common(data, raw));

    /// <summary>What shall be kept, read in the same way.</summary>
    public static RecordSource Of(DataConfig data, KeepConfig keep) => new(keep.Path, raw => Schema.FromOptions(keep.Text, keep.Prompt, keep.Completion) ?? Common(data, raw));

    /// <summary>Everything that the data name: their path, and the files for validation and test.</summary>
    public static IReadOnlyList<RecordSource> All(DataConfig data, bool isPreference) =>
    [
        Of(data, data.Path, isPreference),
        .. data.Validation is { } validation ? [Of(data, validation, isPreference, DataPart.Validation)] : Array.Empty<RecordSource>(),
        .. data.Test is { } test ? [Of(data, test, isPreference, DataPart.Test)] : Array.Empty<RecordSource>(),
    ];

    /// <summary>Everything that is learnt beside the data and read from files.</summary>
    public static IEnumerable<RecordSource> Beside(RunConfig config) =>
        [.. (config.Data.Mix ?? []).Select(mix => Of(config.Data, mix, config.Objective is DpoConfig)), .. config.Retention.Replay is TextReplay text ? [Of(new DataConfig { Path = text.Path }, text.Path, isPreference: false)] : Array.Empty<RecordSource>()];

    private static Schema Common(DataConfig data, RawRecord raw) =>
        Schema.FromOptions(data.Text, data.Prompt, data.Completion) is { } common && common.Fits(raw) ? common : Schema.Detect(raw);

    /// <summary>The records from the first to the last.</summary>
    /// <param name="readBytes">Told how many bytes were read.</param>
    /// <exception cref="PerenosException">The source is missing, empty or malformed.</exception>
    public IEnumerable<Record> Read(Action<long>? readBytes = null)
    {
        bool isEmpty = true;
        foreach (var raw in RecordFile.Read(Location, readBytes: readBytes))
        {
            isEmpty = false;
            _schema ??= choose(raw);
            foreach (var record in _schema.Records(raw))
                yield return part is null ? record : record with { Part = part };
        }

        if (isEmpty)
            throw new PerenosException($"{path} holds no records.", "Give a file with at least some dozens of records.");
    }
}
