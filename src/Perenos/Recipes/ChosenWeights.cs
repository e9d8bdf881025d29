using Perenos.Adapters;
using Perenos.Runs;
using Perenos.Training;

namespace Perenos.Recipes;

/// <summary>Which weights of a model learn, by the words of a recipe.</summary>
internal static class ChosenWeights
{
    private const int PartsNamed = 20;

    /// <summary>The weights that the entries mean: one or more whole segments of a name, or <c>re:</c> and an expression for the whole name; all where there is no entry.</summary>
    /// <exception cref="PerenosException">An entry matches no weight.</exception>
    public static IReadOnlyList<Trainable> Of(IReadOnlyList<Trainable> all, IReadOnlyList<string> entries)
    {
        if (entries.Count == 0)
            return all;
        var unmatched = entries.Where(entry => !all.Any(weight => Matches(weight.Name, entry))).ToList();
        if (unmatched.Count > 0)
        {
            var parts = all.SelectMany(weight => weight.Name.Split('.')).Where(part => !part.All(char.IsAsciiDigit)).Distinct().Take(PartsNamed);
            throw new PerenosException($"method.only: no weight has {string.Join(", ", unmatched)} in its name.", $"Names are made of {string.Join(", ", parts)} and numbers; perenos inspect-model lists them.");
        }

        return [.. all.Where(weight => entries.Any(entry => Matches(weight.Name, entry)))];
    }

    private static bool Matches(string name, string entry) => entry.StartsWith("re:", StringComparison.Ordinal)
        ? PeftNames.MatchesWhole(name, entry[3..])
        : $".{name}.".Contains($".{entry}.", StringComparison.Ordinal);
}
