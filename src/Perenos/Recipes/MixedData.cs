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

    /// <summary>What the examples hold.</summary>
    public required LabelReport Labels { get; init; }

    /// <summary>The examples.</summary>
    public IReadOnlyList<Example> Examples { get; init; } = [];

    /// <summary>Reads, leaves out, renders and audits.</summary>
    /// <param name="mix">The source.</param>
    /// <param name="config">The run, whose data's templates serve where the source has none of its own.</param>
    /// <param name="renderer">Records to tokens.</param>
    /// <param name="longest">Most tokens of an example.</param>
    /// <param name="heldOut">What is left out.</param>
    /// <param name="streamed">How to stream the source; none reads it into memory.</param>
    /// <exception cref="PerenosException">The source cannot be read, holds nothing, or would teach the wrong thing.</exception>
    internal static MixedData Read(MixConfig mix, RunConfig config, ExampleRenderer renderer, int longest, HeldOut heldOut, DataReading? streamed)
    {
        var source = RecordSource.Of(config.Data, mix, config.Objective is DpoConfig);
        if (streamed is null)
        {
            List<Example> examples = [];
            return Take(mix, source, source.Read(), renderer, longest, heldOut, examples.Add) with { Examples = examples };
        }

        string[] own = [mix.Path, mix.Text ?? "", mix.Prompt ?? "", mix.Completion ?? "", .. heldOut.Parts];
        var (stored, facts) = TokenCache.Of(StreamedData.PartsOf(config, longest, streamed).Concat(own), StreamedData.FilesOf([source]),
            writer => Take(mix, source, streamed.Read([source], StreamedData.MakingTokens), renderer, longest, heldOut, writer.Add));
        return facts with { Share = mix.Share, Examples = stored };
    }

    private static MixedData Take(MixConfig mix, RecordSource source, IEnumerable<Record> records, ExampleRenderer renderer, int longest, HeldOut heldOut, Action<Example> add)
    {
        int kept = 0, leftOut = 0;
        var labels = RunData.Render(heldOut.LeaveOut(records, mix.Path, [source], () => leftOut++).Select(record =>
        {
            kept++;
            return record;
        }), renderer, longest, add);
        return new MixedData { Path = mix.Path, Share = mix.Share, SchemaDescription = source.Description, Records = kept, LeftOut = leftOut, Labels = labels };
    }
}
