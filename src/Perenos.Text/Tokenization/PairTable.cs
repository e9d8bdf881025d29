using System.Numerics;
using System.Runtime.CompilerServices;

namespace Perenos.Text.Tokenization;

/// <summary>Open-addressing table from a pair of token ids to the rank of its merge and the id that it makes.</summary>
internal sealed class PairTable
{
    private const ulong Empty = ulong.MaxValue;

    private readonly Entry[] _entries;
    private readonly int _shift;

    public PairTable(int pairs)
    {
        int bits = Math.Max(4, BitOperations.Log2((uint)Math.Max(1, pairs)) + 2); // at most half full
        _entries = new Entry[1 << bits];
        Array.Fill(_entries, new Entry(Empty, None));
        _shift = 64 - bits;
    }

    /// <summary>What <see cref="Find"/> returns for a pair that does not merge; larger than every merge.</summary>
    public const long None = long.MaxValue;

    public static int Rank(long merge) => (int)(merge >> 32);

    public static int Result(long merge) => (int)merge;

    /// <summary>Adds a merge; a later one of the same pair replaces an earlier one, as in the reference.</summary>
    public void Set(int left, int right, int rank, int result)
    {
        ulong key = Key(left, right);
        int slot = Slot(key);
        while (_entries[slot].Key != Empty && _entries[slot].Key != key)
            slot = (slot + 1) & (_entries.Length - 1);
        _entries[slot] = new Entry(key, (long)rank << 32 | (uint)result);
    }

    /// <summary>Rank in the high half, resulting id in the low half; or <see cref="None"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public long Find(int left, int right)
    {
        ulong key = Key(left, right);
        var entries = _entries;
        int slot = Slot(key);
        while (true)
        {
            ref readonly var entry = ref entries[slot];
            if (entry.Key == key || entry.Key == Empty)
                return entry.Merge;
            slot = (slot + 1) & (entries.Length - 1);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Key(int left, int right) => (ulong)(uint)left << 32 | (uint)right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int Slot(ulong key) => (int)(key * 0x9E3779B97F4A7C15ul >> _shift);

    /// <summary>Key and merge side by side: one line of the processor's cache for both.</summary>
    private readonly record struct Entry(ulong Key, long Merge);
}
