using System.Buffers;

namespace Perenos.Text.Tokenization;

/// <summary>
/// Applies merges to the symbols of one word, lowest rank first and leftmost among equals (Sennrich et al. 2016,
/// https://arxiv.org/abs/1508.07909). Short words scan an array; long ones use a heap, so that a word of a megabyte stays
/// O(n log n).
/// </summary>
internal static class BpeMerger
{
    private const int LongestScan = 96;

    /// <summary>Merges in place and returns how many symbols are left; <paramref name="lengths"/> (may be empty) is summed along.</summary>
    public static int Merge(PairTable merges, Span<int> symbols, Span<int> lengths)
    {
        if (symbols.Length < 2)
            return symbols.Length;
        return symbols.Length <= LongestScan ? Scan(merges, symbols, lengths) : Heap(merges, symbols, lengths);
    }

    private static int Scan(PairTable merges, Span<int> symbols, Span<int> lengths)
    {
        int count = symbols.Length;
        Span<long> candidates = stackalloc long[LongestScan];
        for (int index = 0; index + 1 < count; index++)
            candidates[index] = merges.Find(symbols[index], symbols[index + 1]);

        while (count > 1)
        {
            int best = 0;
            for (int index = 1; index + 1 < count; index++)
            {
                if (PairTable.Rank(candidates[index]) < PairTable.Rank(candidates[best]))
                    best = index; // leftmost among equals
            }

            long merge = candidates[best];
            if (merge == PairTable.None)
                break;
            symbols[best] = PairTable.Result(merge);
            symbols[(best + 2)..count].CopyTo(symbols[(best + 1)..]);
            candidates[(best + 1)..(count - 1)].CopyTo(candidates[best..]);
            if (!lengths.IsEmpty)
            {
                lengths[best] += lengths[best + 1];
                lengths[(best + 2)..count].CopyTo(lengths[(best + 1)..]);
            }

            count--;
            if (best > 0)
                candidates[best - 1] = merges.Find(symbols[best - 1], symbols[best]);
            if (best + 1 < count)
                candidates[best] = merges.Find(symbols[best], symbols[best + 1]);
        }

        return count;
    }

    private static int Heap(PairTable merges, Span<int> symbols, Span<int> lengths)
    {
        int count = symbols.Length;
        int[] next = ArrayPool<int>.Shared.Rent(count), previous = ArrayPool<int>.Shared.Rent(count);
        var queue = new PriorityQueue<int, long>(); // rank in the high half, position in the low half
        for (int index = 0; index < count; index++)
        {
            next[index] = index + 1 < count ? index + 1 : -1;
            previous[index] = index - 1;
            if (index + 1 < count)
                Offer(symbols, index, index + 1);
        }

        while (queue.TryDequeue(out int position, out long priority))
        {
            int right = next[position];
            if (right < 0 || symbols[position] < 0)
                continue;
            long merge = merges.Find(symbols[position], symbols[right]);
            if (merge == PairTable.None || PairTable.Rank(merge) != (int)(priority >> 32))
                continue; // the pair that was queued here is gone
            symbols[position] = PairTable.Result(merge);
            symbols[right] = -1;
            if (!lengths.IsEmpty)
                lengths[position] += lengths[right];
            next[position] = next[right];
            if (next[right] >= 0)
                previous[next[right]] = position;
            next[right] = -1;
            if (previous[position] >= 0)
                Offer(symbols, previous[position], position);
            if (next[position] >= 0)
                Offer(symbols, position, next[position]);
        }

        int kept = 0;
        for (int index = 0; index < count; index++)
        {
            if (symbols[index] < 0)
                continue;
            symbols[kept] = symbols[index];
            if (!lengths.IsEmpty)
                lengths[kept] = lengths[index];
            kept++;
        }

        ArrayPool<int>.Shared.Return(next);
        ArrayPool<int>.Shared.Return(previous);
        return kept;

        void Offer(Span<int> all, int left, int right)
        {
            long merge = merges.Find(all[left], all[right]);
            if (merge != PairTable.None)
                queue.Enqueue(left, (long)PairTable.Rank(merge) << 32 | (uint)left);
        }
    }
}
