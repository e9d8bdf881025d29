using System.Text.Json.Nodes;
using Perenos.Layers;
using Perenos.Runs;
using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>
/// Trainable tokens: chosen rows of the embedding are replaced by trained ones, the rest of the table stays frozen. A head that
/// shares the table uses the trained rows too.
/// </summary>
internal static class TokenRows
{
    internal const string Method = "TRAINABLE_TOKENS";

    private const string Leaf = "trainable_tokens_delta";

    /// <summary>The method by itself: <c>target_modules</c> are embeddings (or the head), the input embedding by default.</summary>
    public static UpdateDropout? Place(PeftConfig config, AdapterWeights weights, ModelParts parts, List<AdapterPart> pieces)
    {
        config.RefuseUnknown("target_modules", "token_indices");
        var indices = config.Indices(config.Json["token_indices"], "token_indices");
        var paths = config.Json["target_modules"] is null
            ? [parts.Embeddings[0].Path]
            : Places(parts).Where(config.IsTarget).ToList();
        if (paths.Count == 0)
            throw config.NothingMatches(parts);
        foreach (string path in paths)
            Add(config, weights, parts, pieces, path, indices, Leaf, savesTiedCopy: true);
        return null;
    }

    /// <summary>Beside a LoRA: <c>trainable_token_indices</c>, a list for the input embedding or lists by layer.</summary>
    public static void PlaceBeside(PeftConfig config, AdapterWeights weights, ModelParts parts, List<AdapterPart> pieces)
    {
        const string key = "trainable_token_indices";
        var lists = config.Json[key] switch
        {
            null => [],
            JsonArray array => [(parts.Embeddings[0].Path, config.Indices(array, key))],
            JsonObject byLayer => byLayer.Select(entry => (PathOf(config, parts, entry.Key), config.Indices(entry.Value, key))).ToList(),
            _ => throw config.Wrong(key, "a list of token numbers"),
        };
        foreach (var (path, indices) in lists)
        {
            // A head that shares the table follows the table's rows.
            bool follows = parts.Projections.Any(projection => projection.Path == path && projection.IsTied) && lists.Any(list => list.Item1 == parts.Embeddings[0].Path);
            if (!follows)
                Add(config, weights, parts, pieces, path, indices, $"token_adapter.{Leaf}", savesTiedCopy: false);
        }
    }

    /// <summary>The same for a recipe's list of tokens: their rows of the embedding, and of a head with a table of its own.</summary>
    public static JsonNode? Describe(ModelParts parts, IReadOnlyList<int>? tokens)
    {
        if (tokens is null or [])
            return null;
        var head = parts.Projections[^1];
        IEnumerable<string> tables = head.IsTied ? [parts.Embeddings[0].Path] : [parts.Embeddings[0].Path, head.Path];
        return new JsonObject(tables.Select(path => KeyValuePair.Create(path[(path.LastIndexOf('.') + 1)..], (JsonNode?)new JsonArray([.. tokens.Select(token => (JsonNode)token)]))));
    }

    private static IEnumerable<string> Places(ModelParts parts) =>
        parts.Embeddings.Select(embedding => embedding.Path).Concat(parts.Projections.Select(projection => projection.Path));

    private static string PathOf(PeftConfig config, ModelParts parts, string entry) =>
        Places(parts).FirstOrDefault(path => path.EndsWith(entry, StringComparison.Ordinal))
        ?? throw config.Wrong("trainable_token_indices", $"about layers of this model: none is called {entry}");

    private static void Add(
        PeftConfig config, AdapterWeights weights, ModelParts parts, List<AdapterPart> pieces, string path, IReadOnlyList<long> indices, string leaf, bool savesTiedCopy)
    {
        var embedding = parts.Embeddings.FirstOrDefault(embedding => embedding.Path == path);
        var projection = parts.Projections.FirstOrDefault(projection => projection.Path == path);
        var table = embedding?.Weight ?? projection?.Weight ?? throw config.NothingMatches(parts);
        if (projection?.IsTransposed == true)
            throw config.NotImplemented("target_modules");
        if (indices.Count == 0 || indices.Distinct().Count() != indices.Count || indices.Any(index => index < 0 || index >= table.shape[0]))
            throw new PerenosException($"{config.Location}: the trained tokens of {path} are none, repeated or beyond its {table.shape[0]:N0} rows.", "Name each token once, by its number; a base whose vocabulary was extended has more rows (perenos tokenizer extend).");
        var rows = weights.Take(path, leaf, [indices.Count, table.shape[1]], table, _ => table.index_select(0, tensor(indices.ToArray(), device: table.device)));
        var tied = embedding is not null && ReferenceEquals(embedding, parts.Embeddings[0]) ? parts.Projections.FirstOrDefault(head => head.IsTied) : null;
        string? copy = savesTiedCopy && tied is not null ? PeftNames.OnDisk(tied.Path, leaf) : null;
        if (copy is not null && weights is FileWeights file)
            file.TakeCopy(copy, rows);
        pieces.Add(new TokenRowsPart(path, PeftNames.OnDisk(path, leaf), copy, embedding, embedding is null ? projection : tied, rows, indices));
    }
}

/// <summary>Trained rows at an embedding, at a head, or at both.</summary>
internal sealed class TokenRowsPart : AdapterPart, IEmbeddingAdapter, IProjectionAdapter
{
    private readonly string _name;
    private readonly string? _copyName;
    private readonly TokenEmbedding? _embedding;
    private readonly Projection? _head;
    private readonly KeptWeight _kept;
    private readonly Tensor _table;
    private readonly Tensor _rows;
    private readonly Tensor _indices;
    private readonly Tensor _places;

    public TokenRowsPart(
        string path, string name, string? copyName, TokenEmbedding? embedding, Projection? head, Tensor rows, IReadOnlyList<long> indices)
    {
        (Path, _name, _copyName, _embedding, _head) = (path, name, copyName, embedding, head);
        _table = embedding?.Weight ?? head!.Weight;
        (_kept, _rows) = (new KeptWeight(_table), rows.DetachFromDisposeScope());
        // By token: its place among the trained rows, or −1.
        var places = new long[_table.shape[0]];
        Array.Fill(places, -1);
        for (int place = 0; place < indices.Count; place++)
            places[indices[place]] = place;
        _places = tensor(places, device: _table.device).DetachFromDisposeScope();
        _indices = tensor(indices.ToArray(), device: _table.device).DetachFromDisposeScope();
    }

    public override string Path { get; }

    public override IEnumerable<(string Name, Tensor Tensor)> Weights => [(_name, _rows)];

    /// <summary>Whether the rows are used at this head too.</summary>
    public bool Covers(Projection head) => ReferenceEquals(_head, head);

    public override IEnumerable<(string Name, Tensor Tensor)> Saved => _copyName is null ? Weights : [(_name, _rows), (_copyName, _rows)];

    Tensor IEmbeddingAdapter.Apply(Tensor tokens, Func<Tensor, Tensor> inner)
    {
        using var scope = NewDisposeScope();
        using var least = 0L.ToScalar();
        var vectors = inner(tokens);
        var places = TokenPlaces(tokens); // (B, T)
        var trained = TokenEmbedding.Rows(_rows, places.clamp_min(least)).to(vectors.dtype);
        return where(places.ge(least).unsqueeze(-1), trained, vectors).MoveToOuterDisposeScope();
    }

    // The logits of the trained tokens come from their own rows.
    Tensor IProjectionAdapter.Apply(Tensor input, Func<Tensor, Tensor> inner)
    {
        using var scope = NewDisposeScope();
        var logits = inner(input);
        var trained = nn.functional.linear(input, _rows.to(input.dtype), _head!.Bias?.index_select(0, _indices));
        return logits.index_copy(logits.dim() - 1, _indices, trained).MoveToOuterDisposeScope();
    }

    public override void Attach()
    {
        _embedding?.Attach(this);
        _head?.Attach(this);
    }

    public override void Detach()
    {
        _embedding?.Detach(this);
        _head?.Detach(this);
    }

    public override void Merge()
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        _kept.Replace(_table.index_copy(0, _indices, _rows.to(_table.dtype)));
        Detach();
    }

    public override void Unmerge()
    {
        _kept.Restore();
        Attach();
    }

    public override void Dispose()
    {
        _rows.Dispose();
        _places.Dispose();
        _indices.Dispose();
        _kept.Dispose();
    }

    private Tensor TokenPlaces(Tensor tokens) => _places.index_select(0, tokens.flatten()).view(tokens.shape);
}
