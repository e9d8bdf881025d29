namespace Perenos.Text.Tokenization;

/// <summary>Strings with values, found character by character.</summary>
internal sealed class StringTrie<T>
{
    private readonly Dictionary<(int Node, char Unit), int> _children = [];
    private readonly Dictionary<int, T> _values = [];
    private int _nodes = 1;

    /// <summary>The node before the first character.</summary>
    public const int Root = 0;

    /// <summary>Keeps a value for a key; a later one replaces an earlier one.</summary>
    public void Set(string key, T value)
    {
        int node = Root;
        foreach (char unit in key)
        {
            if (!_children.TryGetValue((node, unit), out int child))
                _children[(node, unit)] = child = _nodes++;
            node = child;
        }

        _values[node] = value;
    }

    /// <summary>Goes on by one character; false where no key does.</summary>
    public bool Step(ref int node, char unit) => _children.TryGetValue((node, unit), out node);

    /// <summary>The value of the key that ends at a node, if one does.</summary>
    public bool TryGet(int node, out T value) => _values.TryGetValue(node, out value!);

    /// <summary>The value of the longest key that a text begins with; a length of 0 where none does.</summary>
    public T? Longest(ReadOnlySpan<char> text, out int length)
    {
        T? longest = default;
        length = 0;
        for (int index = 0, node = Root; index < text.Length && Step(ref node, text[index]); index++)
        {
            if (TryGet(node, out var value))
                (longest, length) = (value, index + 1);
        }

        return longest;
    }
}
