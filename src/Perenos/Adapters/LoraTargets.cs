using System.Text.RegularExpressions;
using Perenos.Layers;
using Perenos.Runs;
using Perenos.Runs.Config;

namespace Perenos.Adapters;

/// <summary>Which layers a LoRA reaches, by PEFT's rules for names.</summary>
public static class LoraTargets
{
    private static readonly TimeSpan RegexLimit = TimeSpan.FromMilliseconds(200);

    /// <summary>The layers that the settings name, each with its rank and scale.</summary>
    /// <exception cref="PerenosException">Nothing matches, or a name matches no layer.</exception>
    public static IReadOnlyList<LoraPlacement> Choose(ModelParts parts, LoraConfig settings)
    {
        if (settings.Rank < 1)
            throw new PerenosException($"method.rank = {settings.Rank} is not a rank.", "Use 1 or more; 8 to 64 are common.");
        if (settings.Dropout is < 0 or >= 1)
            throw new PerenosException($"method.dropout = {settings.Dropout} is not a chance below 1.", "Use 0 to 0.1.");
        double scale = settings.Alpha / (settings.IsRankStabilized ? Math.Sqrt(settings.Rank) : settings.Rank);
        if (settings.Targets.Count == 0)
            throw new PerenosException("method.targets is empty.", $"This model has {Names(parts)}; or use all-linear.");
        var unmatched = settings.Targets.Where(target => !parts.Projections.Any(projection => Matches(projection, target, parts))).ToList();
        if (unmatched.Count > 0)
        {
            throw new PerenosException(
                $"method.targets: no layer is called {string.Join(", ", unmatched)}.",
                $"This model has {Names(parts)}; or use all-linear.");
        }

        return [.. parts.Projections
            .Where(projection => settings.Targets.Any(target => Matches(projection, target, parts)))
            .Select(projection => new LoraPlacement(projection, settings.Rank, scale))];
    }

    /// <summary>The last parts of the names of all layers, for messages.</summary>
    public static string Names(ModelParts parts) =>
        string.Join(", ", parts.Projections.Select(projection => projection.Path[(projection.Path.LastIndexOf('.') + 1)..]).Distinct());

    /// <summary>PEFT's rule for one entry of <c>target_modules</c>: the whole name, or its end after a dot.</summary>
    public static bool MatchesName(string path, string entry) => path == entry || path.EndsWith("." + entry, StringComparison.Ordinal);

    /// <summary>PEFT's rule where <c>target_modules</c> is a text: a regular expression for the whole name.</summary>
    /// <exception cref="PerenosException">The expression is malformed or takes too long.</exception>
    public static bool MatchesWhole(string path, string expression)
    {
        try
        {
            return Regex.IsMatch(path, $@"\A(?:{expression})\z", RegexOptions.CultureInvariant, RegexLimit);
        }
        catch (Exception problem) when (problem is ArgumentException or RegexMatchTimeoutException)
        {
            throw new PerenosException($"The regular expression \"{expression}\" for LoRA targets cannot be used: {problem.Message}", "Name the layers instead.");
        }
    }

    private static bool Matches(Projection projection, string target, ModelParts parts)
    {
        if (target == "all-linear")
            return !ReferenceEquals(projection, parts.Projections[^1]);
        return target.StartsWith("re:", StringComparison.Ordinal)
            ? MatchesWhole(projection.Path, target[3..])
            : MatchesName(projection.Path, target);
    }
}
