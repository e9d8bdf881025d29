namespace Perenos.Text.Tokenization;

/// <summary>Tokens by id and ids by token. Ids may have gaps; memory follows the number of tokens, not the highest id.</summary>
internal sealed class Vocabulary
{
    private readonly Dictionary<string, int> _ids;
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _lookup;
    private readonly string?[] _dense;
    private readonly Dictionary<int, string> _sparse = [];

    public Vocabulary(Dictionary<string, int> ids)
    {
        _ids = ids;
        _lookup = ids.GetAlternateLookup<ReadOnlySpan<char>>();
        HighestId = ids.Count == 0 ? -1 : ids.Values.Max();
        _dense = new string?[(int)Math.Min(HighestId + 1L, 2L * ids.Count + 1024)];
        foreach (var (token, id) in ids)
        {
            if (id < _dense.Length)
                _dense[id] = token;
            else
                _sparse[id] = token;
        }
    }

    public int Count => _ids.Count;

    public int HighestId { get; }

    /// <summary>All tokens in the order of their ids.</summary>
    public IEnumerable<KeyValuePair<string, int>> InOrder => _ids.OrderBy(entry => entry.Value).ThenBy(entry => entry.Key, StringComparer.Ordinal);

    /// <summary>The id of a token, or -1.</summary>
    public int IdOf(ReadOnlySpan<char> token) => _lookup.TryGetValue(token, out int id) ? id : -1;

    public string? TokenOf(int id)
    {
        if ((uint)id < (uint)_dense.Length)
            return _dense[id];
        return _sparse.GetValueOrDefault(id);
    }
}
