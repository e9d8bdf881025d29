namespace Perenos.Reports;

/// <summary>Which words of an answer are not in its reference, by the longest common subsequence of words.</summary>
internal static class WordDifference
{
    // Quadratic: beyond this a reader compares by eye anyway.
    private const int MostWords = 600;

    /// <summary>Pieces of <paramref name="answer"/> in order, blanks included; <c>IsOff</c> marks those the reference lacks.</summary>
    public static IReadOnlyList<(string Text, bool IsOff)> Mark(string answer, string? reference)
    {
        var pieces = Split(answer);
        if (reference is null)
            return [.. pieces.Select(piece => (piece, false))];
        string[] wanted = [.. Split(reference).Where(piece => !IsBlank(piece))];
        string[] given = [.. pieces.Where(piece => !IsBlank(piece))];
        if (wanted.Length > MostWords || given.Length > MostWords)
            return [.. pieces.Select(piece => (piece, false))];

        // common[i, j]: longest common subsequence of given[i..] and wanted[j..].
        var common = new int[given.Length + 1, wanted.Length + 1];
        for (int i = given.Length - 1; i >= 0; i--)
        {
            for (int j = wanted.Length - 1; j >= 0; j--)
                common[i, j] = given[i] == wanted[j] ? common[i + 1, j + 1] + 1 : Math.Max(common[i + 1, j], common[i, j + 1]);
        }

        var marked = new List<(string, bool)>(pieces.Count);
        int at = 0, met = 0;
        foreach (string piece in pieces)
        {
            if (IsBlank(piece))
            {
                marked.Add((piece, false));
                continue;
            }

            while (met < wanted.Length && given[at] != wanted[met] && common[at, met + 1] == common[at, met])
                met++;
            bool isMet = met < wanted.Length && given[at] == wanted[met];
            marked.Add((piece, !isMet));
            at++;
            met += isMet ? 1 : 0;
        }

        return marked;
    }

    private static bool IsBlank(string piece) => char.IsWhiteSpace(piece[0]);

    // Runs of letters and digits, runs of blanks, and single other characters.
    private static List<string> Split(string text)
    {
        var pieces = new List<string>();
        for (int start = 0, end; start < text.Length; start = end)
        {
            end = start + 1;
            if (Kind(text[start]) is var kind and not 0)
            {
                while (end < text.Length && Kind(text[end]) == kind)
                    end++;
            }

            pieces.Add(text[start..end]);
        }

        return pieces;
    }

    private static int Kind(char c) => char.IsWhiteSpace(c) ? 1 : char.IsLetterOrDigit(c) || char.IsSurrogate(c) || char.GetUnicodeCategory(c) == System.Globalization.UnicodeCategory.NonSpacingMark ? 2 : 0;
}
