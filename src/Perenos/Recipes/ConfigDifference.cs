using System.Collections;
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
            var (left, right) = (property.GetValue(one), same.GetValue(other));
            if (!AreEqual(left, right))
            {
                throw new PerenosException(
                    $"{location}: {form} cannot say that {property.Name} is {left ?? "none"}; it would read back as {right ?? "none"}.",
                    "Keep the safetensors form of this model.");
            }
        }
    }

    private static bool AreEqual(object? left, object? right) => (left, right) switch
    {
        // Single precision on disk.
        (double a, double b) => Math.Abs(a - b) <= 1e-6 * Math.Abs(a),
        (string, string) => Equals(left, right),
        // Functions, such as the activation: what is written says by name which one it is.
        (Delegate, Delegate) => true,
        (IEnumerable a, IEnumerable b) => a.Cast<object?>().SequenceEqual(b.Cast<object?>()),
        _ => Equals(left, right) || left?.GetType() == right?.GetType() && HaveEqualParts(left, right),
    };

    // A section of its own, such as the rotary positions: again number by number.
    private static bool HaveEqualParts(object? left, object? right) => left is not null && left.GetType() is { IsPrimitive: false, Namespace: { } space } type
        && space.StartsWith("Perenos", StringComparison.Ordinal)
        && type.GetProperties(BindingFlags.Public | BindingFlags.Instance) is { Length: > 0 } properties
        && properties.All(property => Immaterial.Contains(property.Name) || AreEqual(property.GetValue(left), property.GetValue(right)));
}
