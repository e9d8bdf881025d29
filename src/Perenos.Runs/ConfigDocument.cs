using System.Text.Json.Nodes;

namespace Perenos.Runs;

/// <summary>A parsed file: its tree, and the line on which each key or item stands, by path (<c>adapter.rank</c>, <c>data[1].path</c>).</summary>
internal sealed record ConfigDocument(string Name, JsonNode? Root, IReadOnlyDictionary<string, int> Lines)
{
    /// <summary>Nesting beyond this is an attack on the stack, not a configuration.</summary>
    public const int DeepestNesting = 64;

    /// <summary>"recipe.yaml, line 4", or the name alone where the line is not known.</summary>
    public string At(string path) => Lines.TryGetValue(path, out int line) ? $"{Name}, line {line}" : Name;

    public static string Join(string path, string key) => path.Length == 0 ? key : $"{path}.{key}";
}
