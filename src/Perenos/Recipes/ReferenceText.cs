using System.Reflection;
using System.Text.Json.Nodes;
using Perenos.Runs;
using Perenos.Text.Data;

namespace Perenos.Recipes;

/// <summary>General text on which forgetting is measured.</summary>
public static class ReferenceText
{
    private const string Resource = "Perenos.Resources.reference.jsonl";

    /// <summary>Documents of a file (plain text, or records with a <c>text</c>); by default the English and French paragraphs that come with the program.</summary>
    /// <exception cref="PerenosException">The file cannot be read or holds no text.</exception>
    public static IReadOnlyList<string> Read(string? path)
    {
        if (path is null)
            return Embedded();
        var raws = RecordFile.Read(path).ToList();
        // Text without blank lines has a document a line.
        if (raws.Count == 1 && path.EndsWith(".txt", StringComparison.OrdinalIgnoreCase))
            raws = [.. RecordFile.Read(path, PlainTextUnit.Line)];
        if (raws.Count == 0)
            throw new PerenosException($"{path} holds no text.", "Give some dozens of general paragraphs; forgetting is measured on them.");
        List<string> documents = [.. Schema.Detect(raws[0]).Records(raws).OfType<TextRecord>().Select(record => record.Text)];
        return documents.Count > 0
            ? documents
            : throw new PerenosException($"{path} holds no plain text.", "Give a .txt file, or records with a field \"text\".");
    }

    private static List<string> Embedded()
    {
        using var stream = Assembly.GetExecutingAssembly().GetManifestResourceStream(Resource)!;
        using var reader = new StreamReader(stream);
        List<string> documents = [];
        while (reader.ReadLine() is { } line)
            documents.Add(JsonNode.Parse(line)!["text"]!.GetValue<string>());
        return documents;
    }
}
