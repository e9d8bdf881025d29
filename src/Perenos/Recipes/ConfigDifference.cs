using System.Collections;
using System.Globalization;
using System.Reflection;
using System.Text.Json.Nodes;
using Perenos.Models;
using Perenos.Runs;

namespace Perenos.Recipes;

/// <summary>Whether two configurations describe the same computation, judged by what the families read from them.</summary>
internal static class ConfigDifference
{
    // The family's name (a mistral is a llama elsewhere), the text itself, and what only matters to a model without weights.
    private static readonly HashSet<string> Immaterial = [nameof(ModelConfig.Json), nameof(ModelConfig.ModelType), "InitialSpread"];

    /// <exception cref="PerenosException">A setting differs; it is named.</exception>
    public static void Refuse(JsonObject before, string location, JsonObject after, string form)
    {
        var one = ModelCatalogue.FamilyOf(before, location).Read(before, location);
        var other = ModelCatalogue.FamilyOf(after, form).Read(after, form);
        foreach (var property in one.GetType().GetProperties(BindingFlags.Public | BindingFlags.Instance))
        {
            if (Immaterial.Contains(property.Name) || other.GetType().GetProperty(property.Name) is not { } same)
                continue;
            if (Between(property.GetValue(one), same.GetValue(other), property.Name) is var (path, left, right))
            {
                throw new PerenosException(
                    $"{location}: {form} cannot say that {path} is {Word(left)}; it would read back as {Word(right)}.",
                    "Keep the safetensors form of this model.");
            }
        }
    }

    // The first number or word that differs, with the way to it.
    private static (string Path, object? Left, object? Right)? Between(object? left, object? right, string path)
    {
        if (AreEqual(left, right))
            return null;
        // A section of its own, such as the rotary positions: again number by number.
        if (left is null || left.GetType() != right?.GetType() || left.GetType() is not { IsPrimitive: false, Namespace: { } space } type || !space.StartsWith("Perenos", StringComparison.Ordinal))
            return (path, left, right);
        var properties = type.GetProperties(BindingFlags.Public | BindingFlags.Instance);
        return properties.Length == 0
            ? (path, left, right)
            : properties.Where(property => !Immaterial.Contains(property.Name))
                .Select(property => Between(property.GetValue(left), property.GetValue(right), $"{path}.{property.Name}"))
                .FirstOrDefault(difference => difference is not null);
    }

    private static string Word(object? value) => value switch
    {
        null => "none",
        string text => text,
        IEnumerable items => $"[{string.Join(", ", items.Cast<object?>())}]",
        IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
        _ => value.ToString()!,
    };

    private static bool AreEqual(object? left, object? right) => (left, right) switch
    {
        // Single precision on disk.
        (double a, double b) => Math.Abs(a - b) <= 1e-6 * Math.Abs(a),
        (string, string) => Equals(left, right),
        // Functions, such as the activation: what is written says by name which one it is.
        (Delegate, Delegate) => true,
        (IEnumerable a, IEnumerable b) => a.Cast<object?>().SequenceEqual(b.Cast<object?>()),
        _ => Equals(left, right),
    };
}
