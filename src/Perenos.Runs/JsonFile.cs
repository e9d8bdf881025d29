using System.Text.Json;
using System.Text.Json.Nodes;

namespace Perenos.Runs;

/// <summary>JSON objects from files of strangers, such as a model's configuration: a key that stands twice, or a string with half a surrogate pair, is found here and not where it is used.</summary>
public static class JsonFile
{
    // A configuration of a few kilobytes; templates and vocabularies in it make it larger.
    private const long MostBytes = 64 << 20;

    /// <summary>The object in a file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="hint">What to do where it is broken.</param>
    /// <exception cref="PerenosException">It is too large, or no JSON object.</exception>
    public static JsonObject ReadObject(string path, string hint)
    {
        try
        {
            // Through links, as the hub's cache has them; FileInfo would give the link's own length.
            using var file = File.OpenHandle(path);
            if (RandomAccess.GetLength(file) > MostBytes)
                throw new PerenosException($"{path} is larger than {MostBytes >> 20} MB.", hint);
            byte[] bytes = new byte[RandomAccess.GetLength(file)];
            var json = new ReadOnlySpan<byte>(bytes, 0, RandomAccess.Read(file, bytes, 0));
            if (json.StartsWith("\uFEFF"u8))
                json = json[3..];
            CheckStrings(json);
            return JsonNode.Parse(json, documentOptions: new JsonDocumentOptions { AllowDuplicateProperties = false }) as JsonObject ?? throw new JsonException("not an object");
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException or ArgumentException)
        {
            throw new PerenosException($"{path} is not JSON: {problem.Message}", hint, problem);
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            throw new PerenosException($"{path} cannot be read: {problem.Message}", "Check the path and its permissions.", problem);
        }
    }

    // The parser leaves strings as they are until someone asks for them.
    private static void CheckStrings(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json);
        while (reader.Read())
        {
            if (reader.TokenType is JsonTokenType.String or JsonTokenType.PropertyName)
                _ = reader.GetString();
        }
    }
}
