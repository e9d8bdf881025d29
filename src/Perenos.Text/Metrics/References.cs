using Perenos.Runs;

namespace Perenos.Text.Metrics;

/// <summary>The checks and the count of references that BLEU, chrF and TER share.</summary>
internal static class References
{
    /// <summary>One reference per segment, in the general form.</summary>
    public static IReadOnlyList<IReadOnlyList<string>> Single(IReadOnlyList<string> references)
    {
        ArgumentNullException.ThrowIfNull(references);
        return [.. references.Select(reference => new[] { reference })];
    }

    /// <exception cref="PerenosException">The lists differ in length, are empty, or a segment has no reference.</exception>
    public static void Check(IReadOnlyList<string> hypotheses, IReadOnlyList<IReadOnlyList<string>> references)
    {
        ArgumentNullException.ThrowIfNull(hypotheses);
        ArgumentNullException.ThrowIfNull(references);
        if (hypotheses.Count != references.Count)
        {
            throw new PerenosException(
                $"{hypotheses.Count:N0} outputs but {references.Count:N0} references.", "the two lists must be aligned line by line.");
        }

        for (int segment = 0; segment < references.Count; segment++)
        {
            if (references[segment].Count == 0)
                throw new PerenosException($"Segment {segment + 1} has no reference.", "give at least one reference for each output.");
        }
    }

    /// <summary>The first field of a signature: the number of references, or var where segments differ.</summary>
    public static string CountOf(IReadOnlyList<IReadOnlyList<string>> references) =>
        references.Select(list => list.Count).Distinct().ToList() is [int count] ? $"nrefs:{count}" : "nrefs:var";

    /// <summary>The last field of a signature: whose implementation it was.</summary>
    public static string Version { get; } = "version:perenos-" + typeof(References).Assembly.GetName().Version!.ToString(3);
}
