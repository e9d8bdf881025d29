using System.Text.Encodings.Web;
using System.Text.Json;
using Perenos.Checkpoints;
using Perenos.Runs;
using Perenos.Text.Data;

namespace Perenos.Recipes;

/// <summary>Tokens of data that do not fit into memory: made once, kept in the cache, and found again by everything that they depend on.</summary>
internal static class TokenCache
{
    private const string Folder = "data", FactsName = "facts.json", FilesName = "files.json";

    // Part of every name: another form of the files is another folder.
    private const string Format = "2";

    private static readonly JsonSerializerOptions Json = new()
    {
        AllowOutOfOrderMetadataProperties = true,
        IgnoreReadOnlyProperties = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>The tokens, and what was found out when they were made.</summary>
    /// <param name="parts">Everything that they depend on beside the files.</param>
    /// <param name="files">The files that they are made of.</param>
    /// <param name="write">Writes all examples and says what they are.</param>
    /// <exception cref="PerenosException">The data cannot be read or would teach the wrong thing, or the disk refuses.</exception>
    public static (StoredExamples Examples, T Facts) Of<T>(IEnumerable<string> parts, IReadOnlyList<DataFile> files, Func<ExampleWriter, T> write)
    {
        string folder = CacheFolder.Make(Path.Combine(Folder, Fingerprint.OfTexts([Format, .. parts, .. files.Select(file => $"{file}")])[..32]), temporary =>
        {
            RemoveOutdated();
            DataFile.Write(Path.Combine(temporary, FilesName), files);
            using var writer = new ExampleWriter(temporary);
            var facts = write(writer);
            using var file = File.Create(Path.Combine(temporary, FactsName));
            JsonSerializer.Serialize(file, new Kept<T>(writer.Files, facts), Json);
        });
        try
        {
            using var file = File.OpenRead(Path.Combine(folder, FactsName));
            var kept = JsonSerializer.Deserialize<Kept<T>>(file, Json)!;
            return (StoredExamples.Open(folder, kept.Files), kept.Facts);
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException or JsonException)
        {
            throw new PerenosException($"The tokens in {folder} cannot be read: {problem.Message}", "Delete that folder; the next run makes it again.", problem);
        }
    }

    // Of files that have changed since, nobody can ask for the tokens again.
    private static void RemoveOutdated()
    {
        foreach (string made in CacheFolder.Made(Folder))
        {
            if (Path.Combine(made, FilesName) is var files && File.Exists(files) && DataFile.Changed(files).Count > 0)
                CacheFolder.Remove(made);
        }
    }

    private sealed record Kept<T>(IReadOnlyList<string> Files, T Facts);
}
