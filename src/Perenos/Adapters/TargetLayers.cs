using Perenos.Layers;
using Perenos.Runs;

namespace Perenos.Adapters;

/// <summary>Which layers a method reaches, by the words of a recipe.</summary>
internal static class TargetLayers
{
    /// <summary>Names of the linear layers and embeddings that the entries mean: ends of names, <c>all-linear</c>, or <c>re:</c> and an expression.</summary>
    /// <exception cref="PerenosException">There is no entry, or one matches no layer.</exception>
    public static IReadOnlySet<string> Choose(ModelParts parts, IReadOnlyList<string> targets)
    {
        if (targets.Count == 0)
            throw new PerenosException("method.targets is empty.", Known(parts));
        var chosen = new HashSet<string>();
        List<string> unmatched = [];
        foreach (string target in targets)
        {
            var reached = Reached(parts, target).ToList();
            if (reached.Count == 0)
                unmatched.Add(target);
            chosen.UnionWith(reached);
        }

        if (unmatched.Count > 0)
            throw new PerenosException($"method.targets: no layer is called {string.Join(", ", unmatched)}.", Known(parts));
        return chosen;
    }

    private static IEnumerable<string> Reached(ModelParts parts, string target)
    {
        var linear = parts.Projections.Select(projection => projection.Path);
        if (target == "all-linear")
            return linear.SkipLast(1);
        var all = linear.Concat(parts.Embeddings.Select(embedding => embedding.Path));
        return target.StartsWith("re:", StringComparison.Ordinal)
            ? all.Where(path => PeftNames.MatchesWhole(path, target[3..]))
            : all.Where(path => PeftNames.IsOrEndsIn(path, target));
    }

    private static string Known(ModelParts parts) => $"This model has {PeftNames.Ends(parts)}; or use all-linear.";
}
