using Perenos.Text.Data;

namespace Perenos.Recipes;

/// <summary>A long reading of data: what is told meanwhile, whether to stop, and what tokens depend on beside the recipe.</summary>
/// <param name="Rendering">Hash of tokenizer and template.</param>
/// <param name="Opening">Told how far it is, or none.</param>
/// <param name="Stop">Asks to stop; nothing half-made stays.</param>
internal sealed record DataReading(Func<string> Rendering, SlowOpening? Opening, CancellationToken Stop)
{
    /// <summary>The records of some sources, metered.</summary>
    /// <param name="sources">The sources.</param>
    /// <param name="what">What is done with them, for the display.</param>
    public IEnumerable<Record> Read(IReadOnlyList<RecordSource> sources, string what)
    {
        long total = sources.SelectMany(source => source.Files).Sum(file => DataFile.Of(file).Bytes), done = 0;
        foreach (var source in sources)
        {
            foreach (var record in source.Read(count => done += count))
            {
                Stop.ThrowIfCancellationRequested();
                Opening?.Report(what, done, total);
                yield return record;
            }
        }
    }
}
