namespace Perenos.Text.Tokenization;

/// <summary>
/// A bounded memory of words and their ids. Entries are immutable and replaced whole, so that threads share it without a lock. A word
/// has two places; where both are taken it takes over the first, so frequent words soon are back.
/// </summary>
internal sealed class WordCache
{
    /// <summary>Longer words repeat rarely and would bind memory.</summary>
    public const int LongestWord = 48;

    private const int Places = 1 << 16;

    private readonly Entry?[] _entries = new Entry?[Places];

    public static int Hash(ReadOnlySpan<char> word)
    {
        uint hash = (uint)word.Length * 0x9E3779B1;
        foreach (char unit in word)
            hash = (hash ^ unit) * 0x01000193;
        return (int)((hash ^ hash >> 15) * 0x85EBCA6B);
    }

    public Entry? Find(ReadOnlySpan<char> word, int hash)
    {
        int place = Place(hash);
        var entry = Volatile.Read(ref _entries[place]);
        if (entry is not null && entry.Hash == hash && word.SequenceEqual(entry.Word))
            return entry;
        entry = Volatile.Read(ref _entries[place ^ 1]);
        return entry is not null && entry.Hash == hash && word.SequenceEqual(entry.Word) ? entry : null;
    }

    public void Keep(ReadOnlySpan<char> word, int hash, ReadOnlySpan<int> ids)
    {
        int place = Place(hash);
        if (_entries[place] is not null && _entries[place ^ 1] is null)
            place ^= 1;
        var entry = new Entry(word.ToString(), hash, ids.Length == 1 ? ids[0] : -1, ids.Length == 1 ? [] : ids.ToArray());
        Volatile.Write(ref _entries[place], entry);
    }

    private static int Place(int hash) => (int)((uint)hash >> 16);

    /// <summary>A word; Only is its id if it has just one, else -1, and Ids are all.</summary>
    internal sealed record Entry(string Word, int Hash, int Only, int[] Ids);
}
