namespace Perenos.Runs;

/// <summary>Finds what a misspelt name probably meant.</summary>
public static class NearestName
{
    private const int ShortestBeginning = 4;

    /// <summary>
    /// The candidate with the fewest edits from <paramref name="name"/>, if these are no more than about a third of its length; otherwise one that begins almost as
    /// the name does; null if there is neither.
    /// </summary>
    public static string? Of(string name, IEnumerable<string> candidates)
    {
        string[] all = [.. candidates];
        var best = all
            .Select(candidate => (candidate, distance: Distance(name, candidate)))
            .OrderBy(pair => pair.distance)
            .ThenBy(pair => Math.Abs(pair.candidate.Length - name.Length))
            .ThenBy(pair => pair.candidate, StringComparer.Ordinal)
            .FirstOrDefault();
        return best.candidate is not null && best.distance <= Math.Max(2, Math.Max(name.Length, best.candidate.Length) / 3)
            ? best.candidate
            : all.FirstOrDefault(candidate => name.Length >= ShortestBeginning && candidate.Length > name.Length && Distance(name, candidate[..(name.Length + 1)]) <= 1);
    }

    // Levenshtein distance in which swapped neighbours are one edit, with three rows; case does not count. Names beyond 64 characters are cut: the key may come from a hostile file.
    internal static int Distance(string left, string right)
    {
        const int longest = 64;
        var a = left.AsSpan(0, Math.Min(left.Length, longest));
        var b = right.AsSpan(0, Math.Min(right.Length, longest));
        static bool Same(ReadOnlySpan<char> left, int i, ReadOnlySpan<char> right, int j) => char.ToLowerInvariant(left[i]) == char.ToLowerInvariant(right[j]);
        var higher = new int[b.Length + 1];
        var above = new int[b.Length + 1];
        var row = new int[b.Length + 1];
        for (int j = 0; j <= b.Length; j++)
            above[j] = j;

        for (int i = 1; i <= a.Length; i++)
        {
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                row[j] = Math.Min(Math.Min(row[j - 1], above[j]) + 1, above[j - 1] + (Same(a, i - 1, b, j - 1) ? 0 : 1));
                if (i > 1 && j > 1 && Same(a, i - 1, b, j - 2) && Same(a, i - 2, b, j - 1))
                    row[j] = Math.Min(row[j], higher[j - 2] + 1);
            }

            (higher, above, row) = (above, row, higher);
        }

        return above[b.Length];
    }
}
