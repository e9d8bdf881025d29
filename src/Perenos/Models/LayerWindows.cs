using System.Text.Json.Nodes;
using Perenos.Runs;

namespace Perenos.Models;

/// <summary>Which layers see only a window of the latest tokens.</summary>
internal static class LayerWindows
{
    /// <summary>The window of each layer, none where it sees everything: by <c>layer_types</c>, or by the family's rule where there are none.</summary>
    /// <param name="reader">The configuration.</param>
    /// <param name="layers">Number of layers.</param>
    /// <param name="window">The window of the layers that slide; none where the configuration has none.</param>
    /// <param name="slidesByRule">The family's rule for a layer's index.</param>
    public static IReadOnlyList<long?> Read(ConfigReader reader, int layers, long? window, Func<int, bool> slidesByRule)
    {
        var types = reader.Json["layer_types"] as JsonArray;
        if (types is not null && types.Count != layers)
            throw reader.Wrong("layer_types", $"a list of {layers} kinds");
        return [.. Enumerable.Range(0, layers).Select(layer =>
        {
            bool slides = types is null ? slidesByRule(layer) : Slides(reader, types[layer]?.ToString());
            return slides ? window ?? throw reader.Wrong("sliding_window", "a window, though layer_types has layers that slide") : (long?)null;
        })];
    }

    private static bool Slides(ConfigReader reader, string? type) => type switch
    {
        "sliding_attention" => true,
        "full_attention" => false,
        _ => throw new PerenosException($"{reader.Location}: layer_types has \"{type}\", which is not implemented.", "Implemented: full_attention, sliding_attention."),
    };
}
