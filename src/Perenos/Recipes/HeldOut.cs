using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;

namespace Perenos.Recipes;

/// <summary>
/// What nothing may teach. A prompt is known by its text, and by its row where a source reads a file of the judged data: other templates
/// give it another text.
/// </summary>
internal sealed class HeldOut
{
    private readonly HashSet<string> _prompts, _files, _rows;

    private HeldOut(IEnumerable<string> prompts, IEnumerable<string> files, IEnumerable<string> rows) => (_prompts, _files, _rows) = ([.. prompts], [.. files], [.. rows]);

    /// <summary>Nothing.</summary>
    public static HeldOut Nothing { get; } = new([], [], []);

    /// <summary>All by which it is known, in an order that is always the same.</summary>
    public IEnumerable<string> Parts => _prompts.Concat(_rows).Order(StringComparer.Ordinal);

    /// <summary>What the data hold out that a run keeps apart from its own.</summary>
    /// <exception cref="PerenosException">They are missing, empty or malformed.</exception>
    public static HeldOut Apart(RunConfig config) =>
        (config.Evaluation.Apart ?? []).Aggregate(Nothing, (held, apart) => held.And(apart, RunData.SplitOf(apart, config.Seed)));

    /// <summary>The same with validation and test of other data, and with other texts.</summary>
    public HeldOut And(DataConfig data, DataSplit split, params IEnumerable<string> texts)
    {
        List<Record> records = [.. split.Validation, .. split.Test];
        return new HeldOut(
            _prompts.Concat(records.Select(record => record.PromptText).Concat(texts).Select(Record.KeyOf)),
            _files.Concat(RecordSource.All(data, isPreference: false).SelectMany(source => source.Files).Select(Path.GetFullPath)),
            _rows.Concat(records.Select(record => record.Source)));
    }

    /// <summary>The training records among some that are not held out.</summary>
    /// <param name="records">Records from the first to the last.</param>
    /// <param name="path">What they are called.</param>
    /// <param name="sources">Where they are read.</param>
    /// <param name="leftOut">Told of each that is held out.</param>
    /// <exception cref="PerenosException">None is left.</exception>
    public IEnumerable<Record> LeaveOut(IEnumerable<Record> records, string path, IReadOnlyList<RecordSource> sources, Action? leftOut = null)
    {
        var rows = _files.Count > 0 && sources.SelectMany(source => source.Files).Any(file => _files.Contains(Path.GetFullPath(file))) ? _rows : [];
        int count = 0;
        bool isAnyLeft = false;
        foreach (var record in records.Where(record => record.IsForTraining))
        {
            if (_prompts.Count > 0 && (_prompts.Contains(Record.KeyOf(record.PromptText)) || rows.Contains(record.Source)))
            {
                count++;
                leftOut?.Invoke();
                continue;
            }

            isAnyLeft = true;
            yield return record;
        }

        if (!isAnyLeft && count > 0)
            throw new PerenosException($"{path} holds nothing to learn or to keep: all {count} of its training records stand in validation, test, the text on which forgetting is measured, or what other data hold out.", "Name other data.");
    }
}
