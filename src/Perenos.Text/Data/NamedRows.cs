namespace Perenos.Text.Data;

/// <summary>Rows with one fault: all are counted, the first are named.</summary>
public sealed class NamedRows
{
    private const int Most = 5;

    private readonly List<string> _named = [];

    /// <summary>How many there are.</summary>
    public int Count { get; private set; }

    /// <summary>One more.</summary>
    /// <param name="source">Where it came from.</param>
    public void Add(string source)
    {
        if (Count++ < Most)
            _named.Add(source);
    }

    /// <summary>"a.jsonl:1, a.jsonl:2, …"</summary>
    public override string ToString() => $"{string.Join(", ", _named)}{(Count > _named.Count ? ", …" : "")}";
}
