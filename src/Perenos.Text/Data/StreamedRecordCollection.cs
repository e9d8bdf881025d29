using System.Collections;

namespace Perenos.Text.Data;

/// <summary>Records that are read anew each time they are gone through; only their number is held.</summary>
/// <param name="count">How many there are.</param>
/// <param name="read">Reads them.</param>
public sealed class StreamedRecordCollection(int count, Func<IEnumerable<Record>> read) : IReadOnlyCollection<Record>
{
    /// <inheritdoc/>
    public int Count => count;

    /// <inheritdoc/>
    public IEnumerator<Record> GetEnumerator() => read().GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
