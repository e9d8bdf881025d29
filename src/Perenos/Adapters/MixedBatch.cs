using Perenos.Layers;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>
/// One adapter for each row of a batch, none for rows of the plain base: many tasks from one model in memory. Each row computes what it
/// would compute alone.
/// </summary>
public sealed class MixedBatch : IDisposable
{
    private readonly List<Action> _detach = [];
    private readonly List<IDisposable> _owned = [];

    private MixedBatch()
    {
    }

    /// <summary>Takes the adapters off the whole model and attaches each to its rows; calls must then have as many rows.</summary>
    /// <param name="parts">The model's parts.</param>
    /// <param name="rows">The adapter of each row, or null for the base.</param>
    /// <exception cref="PerenosException">An adapter has pieces that cannot differ by row.</exception>
    public static MixedBatch Attach(ModelParts parts, IReadOnlyList<Adapter?> rows)
    {
        var adapters = rows.OfType<Adapter>().Distinct().ToList();
        foreach (var part in adapters.SelectMany(adapter => adapter.Parts).Where(part => part is ExchangedWeight))
            throw new PerenosException($"{part.Path} was trained in place and cannot differ by row.", "Use the adapter for the whole batch.");
        adapters.ForEach(adapter => adapter.Detach());
        var batch = new MixedBatch();
        var pieces = rows.Select(row => row?.Parts ?? []).ToList();
        foreach (var projection in parts.Projections)
        {
            var updates = pieces.Select(row => row.Select(part => UpdateAt(part, projection)).FirstOrDefault(update => update is not null)).ToList();
            if (updates.All(update => update is null))
                continue;
            var split = batch.Own(new RowProjections(new RowGroups<IProjectionAdapter>(updates, projection.Weight.device)));
            projection.Attach(split);
            batch._detach.Add(() => projection.Detach(split));
        }

        foreach (var embedding in parts.Embeddings)
        {
            var tables = pieces.Select(row => row.OfType<IEmbeddingAdapter>().FirstOrDefault(part => ((AdapterPart)part).Path == embedding.Path)).ToList();
            if (tables.All(table => table is null))
                continue;
            var split = batch.Own(new RowEmbeddings(new RowGroups<IEmbeddingAdapter>(tables, embedding.Weight.device)));
            embedding.Attach(split);
            batch._detach.Add(() => embedding.Detach(split));
        }

        batch.AttachVirtualTokens(parts, pieces);
        return batch;
    }

    /// <summary>Takes all rows' adapters off; they can be attached again by themselves.</summary>
    public void Dispose()
    {
        _detach.ForEach(detach => detach());
        _owned.ForEach(owned => owned.Dispose());
    }

    private static IProjectionAdapter? UpdateAt(AdapterPart part, Projection projection) => part switch
    {
        ProjectionPart linear when ReferenceEquals(linear.Target, projection) => linear.Update,
        TokenRowsPart rows when rows.Covers(projection) => rows,
        _ => null,
    };

    private void AttachVirtualTokens(ModelParts parts, IReadOnlyList<IReadOnlyList<AdapterPart>> pieces)
    {
        var prompts = pieces.Select(row => row.OfType<IPromptVectors>().FirstOrDefault()).ToList();
        if (prompts.Any(prompt => prompt is not null))
        {
            parts.Prompt = Own(new RowPrompts(prompts, parts.Embeddings[0]));
            _detach.Add(() => parts.Prompt = null);
        }

        var prefixes = pieces.Select(row => row.OfType<IKeyValuePrefix>().FirstOrDefault()).ToList();
        if (prefixes.Any(prefix => prefix is not null))
        {
            parts.Prefix = Own(new RowPrefixes(prefixes, parts.Embeddings[0].Weight.device));
            _detach.Add(() => parts.Prefix = null);
        }
    }

    private T Own<T>(T owned)
        where T : IDisposable
    {
        _owned.Add(owned);
        return owned;
    }
}

/// <summary>Rows of a batch sorted by what is attached to them, and the way back to their order.</summary>
internal sealed class RowGroups<T> : IDisposable
    where T : class
{
    private readonly List<(T? Adapter, Tensor Rows)> _groups = [];
    private readonly Tensor _places;
    private readonly int _count;

    public RowGroups(IReadOnlyList<T?> rows, Device device)
    {
        _count = rows.Count;
        List<long> order = [];
        foreach (var group in Enumerable.Range(0, rows.Count).GroupBy(row => rows[row]))
        {
            long[] members = [.. group.Select(row => (long)row)];
            order.AddRange(members);
            _groups.Add((group.Key, tensor(members, device: device).DetachFromDisposeScope()));
        }

        var places = new long[rows.Count];
        for (int place = 0; place < places.Length; place++)
            places[order[place]] = place;
        _places = tensor(places, device: device).DetachFromDisposeScope();
    }

    /// <summary>Applies each group's adapter to its rows (first axis).</summary>
    public Tensor Apply(Tensor input, Func<T?, Tensor, Tensor> apply)
    {
        if (input.shape[0] != _count)
            throw new PerenosException($"A batch of {input.shape[0]} rows was given, but adapters are attached to {_count}.", "Give one row for each adapter.");
        using var scope = NewDisposeScope();
        return cat([.. _groups.Select(group => apply(group.Adapter, input.index_select(0, group.Rows)))], 0)
            .index_select(0, _places).MoveToOuterDisposeScope();
    }

    public void Dispose()
    {
        _groups.ForEach(group => group.Rows.Dispose());
        _places.Dispose();
    }
}

/// <summary>Updates of one linear layer by row.</summary>
internal sealed class RowProjections(RowGroups<IProjectionAdapter> groups) : IProjectionAdapter, IDisposable
{
    public Tensor Apply(Tensor input, Func<Tensor, Tensor> inner) => groups.Apply(input, (update, rows) => update?.Apply(rows, inner) ?? inner(rows));

    public void Dispose() => groups.Dispose();
}

/// <summary>Updates of one embedding by row.</summary>
internal sealed class RowEmbeddings(RowGroups<IEmbeddingAdapter> groups) : IEmbeddingAdapter, IDisposable
{
    public Tensor Apply(Tensor tokens, Func<Tensor, Tensor> inner) => groups.Apply(tokens, (update, rows) => update?.Apply(rows, inner) ?? inner(rows));

    public void Dispose() => groups.Dispose();
}

/// <summary>Prompts by row; shorter ones are padded in front.</summary>
internal sealed class RowPrompts(IReadOnlyList<IPromptVectors?> prompts, TokenEmbedding embedding) : IPromptVectors, IDisposable
{
    public long Count { get; } = prompts.Max(prompt => prompt?.Count ?? 0);

    public Tensor? Missing { get; } = RowPadding.Of(prompts.Select(prompt => prompt?.Count ?? 0), embedding.Weight.device);

    public Tensor Vectors()
    {
        using var scope = NewDisposeScope();
        Tensor Row(IPromptVectors? prompt)
        {
            var vectors = prompt?.Vectors() ?? zeros([1, 0, embedding.Width], ScalarType.Float32, embedding.Weight.device);
            return cat([zeros([1, Count - vectors.shape[1], embedding.Width], vectors.dtype, vectors.device), vectors], 1);
        }

        return cat([.. prompts.Select(Row)], 0).MoveToOuterDisposeScope();
    }

    public void Dispose() => Missing?.Dispose();
}

/// <summary>Prefixes by row; shorter ones are padded in front.</summary>
internal sealed class RowPrefixes(IReadOnlyList<IKeyValuePrefix?> prefixes, Device device) : IKeyValuePrefix, IDisposable
{
    public long Count { get; } = prefixes.Max(prefix => prefix?.Count ?? 0);

    public Tensor? Missing { get; } = RowPadding.Of(prefixes.Select(prefix => prefix?.Count ?? 0), device);

    public Tensor KeysAndValues()
    {
        using var scope = NewDisposeScope();
        long[] shape = prefixes.First(prefix => prefix is not null)!.KeysAndValues().shape; // (2 L, 1, G, N, D)
        Tensor Row(IKeyValuePrefix? prefix)
        {
            var values = prefix?.KeysAndValues() ?? zeros([shape[0], 1, shape[2], 0, shape[4]], ScalarType.Float32, device);
            return cat([zeros([shape[0], 1, shape[2], Count - values.shape[3], shape[4]], values.dtype, device), values], 3);
        }

        return cat([.. prefixes.Select(Row)], 1).MoveToOuterDisposeScope();
    }

    public void Dispose() => Missing?.Dispose();
}

/// <summary>How much of the longest row's virtual tokens each row lacks.</summary>
internal static class RowPadding
{
    public static Tensor? Of(IEnumerable<long> counts, Device device)
    {
        var all = counts.ToList();
        long most = all.Max();
        return all.All(count => count == most) ? null : tensor(all.Select(count => most - count).ToArray(), device: device).DetachFromDisposeScope();
    }
}
