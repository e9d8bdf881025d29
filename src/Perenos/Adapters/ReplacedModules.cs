using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>
/// <c>modules_to_save</c>: whole modules, trained in full beside an adapter. A linear layer or an embedding is replaced at its slot,
/// so that a head which shares the embedding's weight stays as it was; any other weight is exchanged in place.
/// </summary>
internal static class ReplacedModules
{
    /// <summary>PEFT's rule: a module whose name ends with an entry, with everything below it.</summary>
    public static void Place(PeftConfig config, AdapterWeights weights, ModelParts parts, List<AdapterPart> pieces)
    {
        var entries = config.Texts("modules_to_save");
        if (entries.Count == 0)
            return;
        var paths = Modules(parts).Where(module => entries.Any(entry => module.EndsWith(entry, StringComparison.Ordinal))).ToHashSet();
        var unmatched = entries.Where(entry => !paths.Any(path => path.EndsWith(entry, StringComparison.Ordinal))).ToList();
        if (unmatched.Count > 0)
            throw config.Wrong("modules_to_save", $"about modules of this model: none is called {string.Join(", ", unmatched)}");
        foreach (string path in LeafModules(parts).Where(module => Around(module).Any(paths.Contains)))
            pieces.AddRange(Replace(path, leaf => leaf, weights, parts, config));
    }

    /// <summary>Replaces every weight right below a module.</summary>
    /// <param name="path">The module.</param>
    /// <param name="nameOf">PEFT's name for a weight of it.</param>
    /// <param name="weights">Where the values come from.</param>
    /// <param name="parts">The model's parts.</param>
    /// <param name="config">For messages.</param>
    public static IEnumerable<AdapterPart> Replace(string path, Func<string, string> nameOf, AdapterWeights weights, ModelParts parts, PeftConfig config)
    {
        Tensor Take(string leaf, Tensor original) => weights.Take(path, nameOf(leaf), original.shape, original, _ => original, original.dtype);
        if (parts.Embeddings.FirstOrDefault(embedding => embedding.Path == path) is { } embedding)
        {
            bool isShared = ReferenceEquals(embedding, parts.Embeddings[0]) && parts.Projections.Any(projection => projection.IsTied);
            if (isShared && config.Flag("ensure_weight_tying"))
                throw config.NotImplemented("ensure_weight_tying");
            return [new ReplacedEmbedding(embedding, PeftNames.OnDisk(path, nameOf("weight")), Take("weight", embedding.Weight), isShared)];
        }

        if (parts.Projections.FirstOrDefault(projection => projection.Path == path) is { } projection)
        {
            if (projection.IsTied && config.Flag("ensure_weight_tying"))
                throw config.NotImplemented("ensure_weight_tying");
            var bias = projection.Bias is null ? null : Take("bias", projection.Bias);
            return [new ProjectionPart(projection, new ReplacedProjection(projection, nameOf, Take("weight", projection.Weight), bias))];
        }

        return Below(path, parts).Select(weight => new ExchangedWeight(
            path, PeftNames.OnDisk(path, nameOf(weight.Leaf)), weight.Tensor, Take(weight.Leaf, weight.Tensor), parts.NormWeights.Contains($"{path}.{weight.Leaf}"))).ToList();
    }

    /// <summary>Modules that hold weights of their own, a shared head included.</summary>
    public static IEnumerable<string> LeafModules(ModelParts parts) => parts.Weights.Keys
        .Select(name => name[..name.LastIndexOf('.')])
        .Concat(parts.Projections.Select(projection => projection.Path))
        .Distinct();

    private static IEnumerable<string> Modules(ModelParts parts) => LeafModules(parts).SelectMany(Around).Distinct();

    // The module itself and those around it, innermost first.
    private static IEnumerable<string> Around(string module)
    {
        for (string path = module; ; path = path[..path.LastIndexOf('.')])
        {
            yield return path;
            if (!path.Contains('.'))
                yield break;
        }
    }

    private static IEnumerable<(string Leaf, Tensor Tensor)> Below(string path, ModelParts parts) => parts.Weights
        .Where(weight => weight.Key.StartsWith(path + ".", StringComparison.Ordinal) && !weight.Key[(path.Length + 1)..].Contains('.'))
        .Select(weight => (weight.Key[(path.Length + 1)..], weight.Value));
}

/// <summary>A linear layer with another weight and bias.</summary>
internal sealed class ReplacedProjection(Projection target, Func<string, string> nameOf, Tensor weight, Tensor? bias) : IProjectionUpdate
{
    private readonly Tensor _weight = weight.DetachFromDisposeScope();
    private readonly Tensor? _bias = bias?.DetachFromDisposeScope();

    public IEnumerable<(string Leaf, Tensor Tensor)> Weights => _bias is null
        ? [(nameOf("weight"), _weight)]
        : [(nameOf("weight"), _weight), (nameOf("bias"), _bias)];

    public Tensor Apply(Tensor input, Func<Tensor, Tensor> inner) =>
        nn.functional.linear(input, target.IsTransposed ? _weight.t() : _weight, _bias);

    public Tensor MergedWeight(Tensor weight) => target.IsTransposed ? _weight.t() : _weight;

    public Tensor MergedBias(Tensor bias) => _bias ?? bias;

    public void Dispose()
    {
        _weight.Dispose();
        _bias?.Dispose();
    }
}

/// <summary>An embedding with another table.</summary>
internal sealed class ReplacedEmbedding(TokenEmbedding target, string name, Tensor table, bool isShared) : AdapterPart, IEmbeddingAdapter
{
    private readonly Tensor _table = table.DetachFromDisposeScope();
    private readonly KeptWeight _kept = new(target.Weight);

    public override string Path => target.Path;

    public override IEnumerable<(string Name, Tensor Tensor)> Weights => [(name, _table)];

    public override string? WhyNotMerged => isShared ? "the head shares its weight, and would change too" : null;

    public Tensor Apply(Tensor tokens, Func<Tensor, Tensor> inner) => TokenEmbedding.Rows(_table, tokens);

    public override void Attach() => target.Attach(this);

    public override void Detach() => target.Detach(this);

    public override void Merge()
    {
        _kept.Replace(_table);
        Detach();
    }

    public override void Unmerge()
    {
        _kept.Restore();
        Attach();
    }

    public override void Dispose()
    {
        _table.Dispose();
        _kept.Dispose();
    }
}
