using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;

namespace Perenos.Recipes;

/// <summary>Other data that are learnt beside the main ones, as tokens; nothing of it stands in what the run is judged by.</summary>
public sealed record MixedData
{
    /// <summary>Where they came from.</summary>
    public required string Path { get; init; }

    /// <summary>Wanted share of all learnt tokens.</summary>
    public required double Share { get; init; }

    /// <summary>How records are read, in words.</summary>
    public required string SchemaDescription { get; init; }

    /// <summary>Records that remain.</summary>
    public required int Records { get; init; }

    /// <summary>Records left out because their prompt stands in validation, test or the general text on which forgetting is measured.</summary>
    public required int LeftOut { get; init; }

    /// <summary>The examples.</summary>
    public required IReadOnlyList<Example> Examples { get; init; }

    /// <summary>What they hold.</summary>
    public required LabelReport Labels { get; init; }

    /// <summary>Reads, leaves out, renders and audits.</summary>
    /// <param name="mix">The source.</param>
    /// <param name="data">The main data, whose templates serve where the source has none of its own.</param>
    /// <param name="renderer">Records to tokens.</param>
    /// <param name="longest">Most tokens of an example.</param>
    /// <param name="judged">Keys of the prompts that the run is judged by.</param>
    /// <param name="isPreference">Whether preferences are learnt.</param>
    /// <exception cref="PerenosException">The source cannot be read, holds nothing, or would teach the wrong thing.</exception>
    internal static MixedData Read(MixConfig mix, DataConfig data, ExampleRenderer renderer, int longest, IReadOnlySet<string> judged, bool isPreference = false)
    {
        var (records, schema) = RunData.ReadRecords(data, mix, isPreference);
        List<Record> candidates = [.. records.Where(record => record.Part is null or DataPart.Train)];
        List<Record> kept = [.. candidates.Where(record => !judged.Contains(Record.KeyOf(record.PromptText)))];
        if (kept.Count == 0)
            throw new PerenosException($"{mix.Path} holds nothing to mix in: all {candidates.Count} of its training records stand in validation, test or the text on which forgetting is measured.", "Name other data, or remove the entry.");
        RunData.RefuseEmptyCompletions(kept);
        var (examples, labels) = RunData.Render(kept, renderer, longest);
        return new MixedData
        {
            Path = mix.Path,
            Share = mix.Share,
            SchemaDescription = schema,
            Records = kept.Count,
            LeftOut = candidates.Count - kept.Count,
            Examples = examples,
            Labels = labels,
        };
    }
}
