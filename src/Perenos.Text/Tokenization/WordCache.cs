using System.Runtime.InteropServices;

namespace Perenos.Text.Tokenization;

/// <summary>
/// A bounded memory of words and their ids, for one thread at a time. Words and ids lie one behind the other in an array of numbers, so that the
/// garbage collector has nothing to follow; when it is full, all is forgotten, and frequent words soon are back.
/// </summary>
internal sealed class WordCache
{
    /// <summary>Longer words repeat rarely and would bind memory.</summary>
    public const int LongestWord = 48;

    private const int BucketBits = 13;
    private const int BucketSlots = 8; // 64 bytes; a word is sought in one bucket only, whatever the text
    private const int Room = 1 << 19;

    private readonly ulong[] _slots = new ulong[BucketSlots << BucketBits]; // hash in the high half, place in the low half; 0 is empty
    private int[] _words = new int[1 << 12]; // length and count of ids in one number, the ids, the word's units two by two
    private int _used = 1;

    public static uint Hash(ReadOnlySpan<char> word)
    {
        const ulong Multiplier = 0x9E3779B97F4A7C15;
        ulong hash = (ulong)word.Length * Multiplier;
        var bytes = MemoryMarshal.AsBytes(word);
        if (word.Length < 4)
        {
            if (word.Length > 0)
                hash ^= word[0] | (ulong)word[word.Length / 2] << 16 | (ulong)word[^1] << 32;
        }
        else
        {
            var rest = bytes;
            for (; rest.Length > 8; rest = rest[8..])
            {
                hash = (hash ^ MemoryMarshal.Read<ulong>(rest)) * Multiplier;
                hash ^= hash >> 32;
            }

            hash ^= MemoryMarshal.Read<ulong>(bytes[^8..]); // may overlap what was read before
        }

        hash *= Multiplier;
        return (uint)((hash ^ hash >> 29) * Multiplier >> 32);
    }

    public bool TryFind(ReadOnlySpan<char> word, uint hash, out ReadOnlySpan<int> ids)
    {
        foreach (ulong slot in Bucket(hash))
        {
            if (slot == 0)
                break;
            if ((uint)(slot >> 32) != hash)
                continue;
            int place = (int)slot, header = _words[place], count = header & 0xFFFF, length = header >> 16;
            if (length != word.Length || !MemoryMarshal.Cast<int, char>(_words.AsSpan(place + 1 + count))[..length].SequenceEqual(word))
                continue;
            ids = _words.AsSpan(place + 1, count);
            return true;
        }

        ids = default;
        return false;
    }

    /// <summary>Keeps a word that is not there yet; where its bucket is full, another is lost.</summary>
    public void Keep(ReadOnlySpan<char> word, uint hash, ReadOnlySpan<int> ids)
    {
        int size = 1 + ids.Length + (word.Length + 1) / 2;
        if (_used + size > Room)
        {
            Array.Clear(_slots);
            _used = 1;
        }

        if (_used + size > _words.Length)
            Array.Resize(ref _words, Math.Min(Room, 2 * _words.Length));
        int place = _used;
        _used += size;
        _words[place] = word.Length << 16 | ids.Length;
        ids.CopyTo(_words.AsSpan(place + 1));
        word.CopyTo(MemoryMarshal.Cast<int, char>(_words.AsSpan(place + 1 + ids.Length)));
        var bucket = Bucket(hash);
        int free = bucket.IndexOf(0ul);
        bucket[free >= 0 ? free : place % BucketSlots] = (ulong)hash << 32 | (uint)place;
    }

    private Span<ulong> Bucket(uint hash) => _slots.AsSpan((int)(hash >> (32 - BucketBits)) * BucketSlots, BucketSlots);
}
