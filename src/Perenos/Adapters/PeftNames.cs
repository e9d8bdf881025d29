using System.Text.RegularExpressions;
using Perenos.Layers;
using Perenos.Runs;

namespace Perenos.Adapters;

/// <summary>PEFT's rules for the names of layers and tensors.</summary>
internal static class PeftNames
{
    /// <summary>What stands on disk before the base's own name.</summary>
    public const string Prefix = "base_model.model.";

    /// <summary>The name of a tensor on disk; <paramref name="path"/> is "" where it belongs to no layer.</summary>
    public static string OnDisk(string path, string leaf) => path.Length == 0 ? leaf : $"{Prefix}{path}.{leaf}";

    // Of wall time, which a busy machine stretches; a name takes microseconds.
    private static readonly TimeSpan LinearLimit = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan BacktrackingLimit = TimeSpan.FromMilliseconds(400);

    /// <summary>One entry of a list: the whole name, or its end after a dot.</summary>
    public static bool IsOrEndsIn(string path, string entry) => path == entry || path.EndsWith("." + entry, StringComparison.Ordinal);

    /// <summary>A regular expression for the whole name.</summary>
    /// <exception cref="PerenosException">The expression is malformed or takes too long.</exception>
    public static bool MatchesWhole(string path, string expression) => Match(path, $@"\A(?:{expression})\z", expression);

    /// <summary>A key of <c>rank_pattern</c> or <c>alpha_pattern</c>: an expression for the end of the name, after a dot or whole.</summary>
    /// <exception cref="PerenosException">The expression is malformed or takes too long.</exception>
    public static bool MatchesEnd(string path, string expression) => Match(path, $@"\A(.*\.)?({expression})\z", expression);

    /// <summary>An entry of <c>modules_to_save</c> names this module, or one around it: no update may sit here.</summary>
    /// <exception cref="PerenosException">The expression is malformed or takes too long.</exception>
    public static bool LiesIn(string path, string entry) => Match(path, $@"\A(|.*\.){entry}(\z|\..*)", entry);

    /// <summary>The last parts of the names of all linear layers, for messages.</summary>
    public static string Ends(ModelParts parts) => string.Join(", ", parts.Projections.Select(projection => End(projection.Path)).Distinct());

    /// <summary>The ends of names where they mean exactly these layers, whole names otherwise.</summary>
    public static IEnumerable<string> Shortest(IReadOnlySet<string> paths, ModelParts parts)
    {
        var ends = paths.Select(End).Distinct().Order(StringComparer.Ordinal).ToList();
        bool areExact = parts.Projections.Select(projection => projection.Path)
            .Concat(parts.Embeddings.Select(embedding => embedding.Path))
            .Where(path => ends.Any(end => IsOrEndsIn(path, end)))
            .All(paths.Contains);
        return areExact ? ends : paths;
    }

    private static string End(string path) => path[(path.LastIndexOf('.') + 1)..];

    private static bool Match(string path, string pattern, string expression) => Find(path, pattern, expression).Success;

    /// <summary>The first match of a pattern in a name, in time linear in the name wherever the pattern allows it.</summary>
    /// <param name="path">The name.</param>
    /// <param name="pattern">The pattern.</param>
    /// <param name="expression">The part of it that a file gave, for messages.</param>
    /// <exception cref="PerenosException">The expression is malformed or takes too long.</exception>
    public static Match Find(string path, string pattern, string expression)
    {
        // Python names groups (?P<name>…).
        pattern = pattern.Replace("(?P<", "(?<", StringComparison.Ordinal);
        try
        {
            return Regex.Match(path, pattern, RegexOptions.CultureInvariant | RegexOptions.NonBacktracking, LinearLimit);
        }
        catch (NotSupportedException)
        {
            // Look-arounds and the like. Twice: the first time compiles the engine, which a busy machine may take long for.
            return FindBacktracking(path, pattern) ?? FindBacktracking(path, pattern) ?? throw Unusable(expression, "it takes too long");
        }
        catch (Exception problem) when (problem is ArgumentException or RegexMatchTimeoutException)
        {
            throw Unusable(expression, problem.Message);
        }
    }

    private static Match? FindBacktracking(string path, string pattern)
    {
        try
        {
            return Regex.Match(path, pattern, RegexOptions.CultureInvariant, BacktrackingLimit);
        }
        catch (RegexMatchTimeoutException)
        {
            return null;
        }
    }

    private static PerenosException Unusable(string expression, string why) =>
        new($"The regular expression \"{expression}\" for layers cannot be used: {why}", "Name the layers instead.");
}
