using System.Runtime.InteropServices;

namespace Perenos.Text.Metrics;

/// <summary>
/// Counts the n-grams of a few sequences over one shared numbering: an n-gram is a node of a trie, found from the node of its
/// first n - 1 symbols and its last one. Exact (no hashes are compared alone), and one pass for all orders.
/// </summary>
internal sealed class NgramCounter(int maxOrder)
{
    private readonly Dictionary<(int Prefix, int Symbol), int> _nodes = [];
    private readonly List<int> _orders = [0];
    private readonly Dictionary<string, int> _words = [];

    /// <summary>Numbers for words, equal for equal words.</summary>
    public int[] Number(List<string> words)
    {
        int[] symbols = new int[words.Count];
        for (int index = 0; index < symbols.Length; index++)
        {
            ref int number = ref CollectionsMarshal.GetValueRefOrAddDefault(_words, words[index], out bool exists);
            if (!exists)
                number = _words.Count - 1;
            symbols[index] = number;
        }

        return symbols;
    }

    /// <summary>How often each node occurs in the sequence.</summary>
    public Dictionary<int, int> Count(ReadOnlySpan<int> symbols)
    {
        var counts = new Dictionary<int, int>();
        for (int start = 0; start < symbols.Length; start++)
        {
            int node = 0;
            int end = Math.Min(symbols.Length, start + maxOrder);
            for (int index = start; index < end; index++)
            {
                ref int child = ref CollectionsMarshal.GetValueRefOrAddDefault(_nodes, (node, symbols[index]), out bool exists);
                if (!exists)
                {
                    child = _orders.Count;
                    _orders.Add(index - start + 1);
                }

                node = child;
                CollectionsMarshal.GetValueRefOrAddDefault(counts, node, out _)++;
            }
        }

        return counts;
    }

    /// <summary>Adds to <paramref name="matches"/>[n - 1] the n-grams that both have, each as often as the rarer side has it.</summary>
    public void Match(Dictionary<int, int> first, Dictionary<int, int> second, Span<double> matches)
    {
        foreach (var (node, count) in first)
        {
            if (second.TryGetValue(node, out int other))
                matches[_orders[node] - 1] += Math.Min(count, other);
        }
    }

    /// <summary>The number of n-grams of one order in a sequence of this length.</summary>
    public static int Total(int length, int order) => Math.Max(0, length - order + 1);
}
