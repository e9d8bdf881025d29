namespace Perenos.Text.Data;

/// <summary>The existing name that a misspelt one was probably meant to be.</summary>
internal static class NearestName
{
    private const int LongestName = 200;

    /// <summary>The nearest of the names by edit distance, or null where none is near enough to be worth a guess.</summary>
    public static string? Of(string wanted, IEnumerable<string> names)
    {
        string? nearest = null;
        int best = Math.Max(2, wanted.Length / 2) + 1;
        foreach (string name in names)
        {
            int distance = Distance(wanted, name);
            if (distance < best)
                (best, nearest) = (distance, name);
        }

        return nearest;
    }

    // Levenshtein with two rows; case counts as nothing, since a wrong capital is the commonest slip.
    private static int Distance(string left, string right)
    {
        if (left.Length > LongestName || right.Length > LongestName)
            return int.MaxValue;

        int[] previous = [.. Enumerable.Range(0, right.Length + 1)];
        int[] current = new int[right.Length + 1];
        for (int i = 1; i <= left.Length; i++)
        {
            current[0] = i;
            for (int j = 1; j <= right.Length; j++)
            {
                int change = char.ToLowerInvariant(left[i - 1]) == char.ToLowerInvariant(right[j - 1]) ? 0 : 1;
                current[j] = Math.Min(Math.Min(current[j - 1], previous[j]) + 1, previous[j - 1] + change);
            }

            (previous, current) = (current, previous);
        }

        return previous[right.Length];
    }
}
