using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Perenos.Text.Tokenization;

/// <summary>
/// Applies merges to the symbols of one word, lowest rank first and leftmost among equals (Sennrich et al. 2016,
/// https://arxiv.org/abs/1508.07909). Short words scan an array; long ones use a heap, so that a word of a megabyte stays
/// O(n log n).
/// </summary>
internal static class BpeMerger
{
    private const int LeastLanes = 4;

    /// <summary>Merges in place and returns how many symbols are left; <paramref name="lengths"/> (may be empty) is summed along.</summary>
    public static int Merge(PairTable merges, Span<int> symbols, Span<int> lengths, BpeScratch scratch)
    {
        if (symbols.Length < 2)
            return symbols.Length;
        if (symbols.Length > BpeScratch.LongestScan)
            return Heap(merges, symbols, lengths);
        for (int place = 0; place + 1 < symbols.Length; place++)
            Offer(scratch, place, merges.Find(symbols[place], symbols[place + 1]));
        return Scan(merges, symbols, lengths, scratch);
    }

    /// <summary>Notes the merge of the symbol at a place with the next one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Offer(BpeScratch scratch, int place, long merge)
    {
        // The place in the low half makes the leftmost among equals the least.
        scratch.Candidates[place] = merge == PairTable.None ? merge : merge & ~0xFFFFFFFFL | (uint)place;
        scratch.Results[place] = PairTable.Result(merge);
    }

    /// <summary>Merges 2 to <see cref="BpeScratch.LongestScan"/> symbols whose pairs were offered. Symbols keep their places until all is merged.</summary>
    public static int Scan(PairTable merges, Span<int> symbols, Span<int> lengths, BpeScratch scratch)
    {
        int count = symbols.Length;
        int[] next = scratch.Next, previous = scratch.Previous;
        var candidates = scratch.Candidates.AsSpan(0, (count - 1 + LeastLanes - 1) / LeastLanes * LeastLanes);
        candidates[(count - 1)..].Fill(PairTable.None);
        for (int place = 0; place < count; place++)
        {
            next[place] = place + 1;
            previous[place] = place - 1;
        }

        while (Least(candidates) is not PairTable.None and var best)
        {
            int place = (int)best, taken = next[place], behind = next[taken], before = previous[place];
            symbols[place] = scratch.Results[place];
            if (!lengths.IsEmpty)
                lengths[place] += lengths[taken];
            next[place] = behind;
            if (behind < count)
            {
                previous[behind] = place;
                candidates[taken] = PairTable.None;
                Offer(scratch, place, merges.Find(symbols[place], symbols[behind]));
            }
            else
            {
                candidates[place] = PairTable.None;
            }

            if (before >= 0)
                Offer(scratch, before, merges.Find(symbols[before], symbols[place]));
        }

        int kept = 0;
        for (int place = 0; place < count; place = next[place])
        {
            symbols[kept] = symbols[place];
            if (!lengths.IsEmpty)
                lengths[kept] = lengths[place];
            kept++;
        }

        return kept;
    }

    private static long Least(ReadOnlySpan<long> numbers)
    {
        var least = Vector256.Create(numbers);
        for (int index = LeastLanes; index < numbers.Length; index += LeastLanes)
            least = Vector256.Min(least, Vector256.Create(numbers[index..]));
        var half = Vector128.Min(least.GetLower(), least.GetUpper());
        return Math.Min(half[0], half[1]);
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
