namespace Perenos.Text.Tokenization;

/// <summary>
/// A bounded memory of words and their ids. Entries are immutable and replaced whole, so that threads share it without a lock;
/// a word that lands on a taken place simply takes it over.
/// </summary>
internal sealed class WordCache
{
    /// <summary>Longer words repeat rarely and would bind memory.</summary>
    public const int LongestWord = 48;

    private const int Places = 1 << 15;

    private readonly Entry?[] _entries = new Entry?[Places];

    public static int Hash(ReadOnlySpan<char> word)
    {
        uint hash = (uint)word.Length * 0x9E3779B1;
        foreach (char unit in word)
            hash = (hash ^ unit) * 0x01000193;
        return (int)(hash ^ hash >> 15);
    }

    public int[]? Find(ReadOnlySpan<char> word, int hash)
    {
        var entry = Volatile.Read(ref _entries[hash & (Places - 1)]);
        return entry is not null && entry.Hash == hash && word.SequenceEqual(entry.Word) ? entry.Ids : null;
    }

    public void Keep(ReadOnlySpan<char> word, int hash, int[] ids) =>
        Volatile.Write(ref _entries[hash & (Places - 1)], new Entry(word.ToString(), hash, ids));

    private sealed record Entry(string Word, int Hash, int[] Ids);
}
