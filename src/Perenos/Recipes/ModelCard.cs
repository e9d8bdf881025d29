using Perenos.Runs;

namespace Perenos.Recipes;

/// <summary>What the front matter of a model's <c>README.md</c> says (https://huggingface.co/docs/hub/model-cards).</summary>
/// <param name="License">Its licence, such as <c>apache-2.0</c>.</param>
/// <param name="Languages">Languages, such as <c>en</c>.</param>
/// <param name="BaseModel">The model that it was made from.</param>
public sealed record ModelCard(string? License, IReadOnlyList<string> Languages, string? BaseModel)
{
    // Enough for any front matter; the rest of a card is not read.
    private const int MostBytes = 1 << 16;

    /// <summary>The card of a folder; empty where it has none.</summary>
    /// <exception cref="PerenosException">The file cannot be read.</exception>
    public static ModelCard Of(string folder)
    {
        string path = Path.Combine(folder, "README.md");
        if (!File.Exists(path))
            return new ModelCard(null, [], null);
        using var stream = File.OpenRead(path);
        byte[] head = new byte[(int)Math.Min(stream.Length, MostBytes)];
        stream.ReadExactly(head);
        return Parse(System.Text.Encoding.UTF8.GetString(head));
    }

    /// <summary>Reads the keys between the two lines of dashes.</summary>
    internal static ModelCard Parse(string text)
    {
        string[] lines = text.ReplaceLineEndings("\n").Split('\n');
        if (lines[0].Trim() != "---")
            return new ModelCard(null, [], null);
        string[] matter = [.. lines.Skip(1).TakeWhile(line => line.Trim() != "---")];
        return new ModelCard(Values(matter, "license").FirstOrDefault(), Values(matter, "language"), Values(matter, "base_model").FirstOrDefault());
    }

    // "key: value", "key: [a, b]", or "key:" and lines of "- value".
    private static List<string> Values(string[] lines, string key)
    {
        int at = Array.FindIndex(lines, line => line.StartsWith(key + ":", StringComparison.Ordinal));
        if (at < 0)
            return [];
        string rest = lines[at][(key.Length + 1)..].Trim();
        var values = rest.Length > 0
            ? rest.Trim('[', ']').Split(',')
            : lines.Skip(at + 1).TakeWhile(line => line.TrimStart().StartsWith("- ", StringComparison.Ordinal)).Select(line => line.TrimStart()[2..]);
        return [.. values.Select(value => value.Trim().Trim('"', '\'')).Where(value => value.Length > 0)];
    }
}
