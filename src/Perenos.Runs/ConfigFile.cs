using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace Perenos.Runs;

/// <summary>
/// Strict reading of JSON and YAML into records: a key that no record knows, a missing one, a wrong type or a duplicate is an
/// error with its path and line. Keys and enum values are snake_case; subtypes are chosen by <c>kind</c>.
/// </summary>
public static class ConfigFile
{
    // A recipe takes a few kilobytes; anything beyond this is some other file, named by mistake.
    private const int LargestBytes = 1 << 20;

    /// <summary>The spelling of every file that a run writes: snake_case, indented, characters beyond ASCII as they are.</summary>
    internal static JsonSerializerOptions Options { get; } = Create(JsonNumberHandling.Strict, indented: true);

    /// <summary>As <see cref="Options"/>, for measured values: a loss may be NaN or infinite.</summary>
    internal static JsonSerializerOptions Measurements { get; } = Create(JsonNumberHandling.AllowNamedFloatingPointLiterals, indented: true);

    /// <summary>As <see cref="Measurements"/>, on one line.</summary>
    internal static JsonSerializerOptions OneLine { get; } = Create(JsonNumberHandling.AllowNamedFloatingPointLiterals, indented: false);

    /// <summary>Reads <c>.json</c>, <c>.yaml</c> or <c>.yml</c> into <typeparamref name="T"/>.</summary>
    /// <exception cref="PerenosException">The file is missing, too large, malformed, or does not fit <typeparamref name="T"/>.</exception>
    public static T Read<T>(string path) => Fit<T>(ReadDocument(path), Options);

    /// <summary>As <see cref="Read{T}(string)"/>, after <paramref name="lay"/> has laid values over the file's, such as options of the command line.</summary>
    /// <exception cref="PerenosException">The file is missing, too large, malformed, or does not fit <typeparamref name="T"/>.</exception>
    public static T Read<T>(string path, Action<JsonObject> lay)
    {
        ArgumentNullException.ThrowIfNull(lay);
        var document = ReadDocument(path);
        lay(document.Root as JsonObject
            ?? throw new PerenosException($"{document.Name} holds {StrictShape.Show(document.Root)} instead of keys.", "Write one \"key: value\" per line."));
        return Fit<T>(document, Options);
    }

    /// <summary>Whether a file has a key at its top: it tells two kinds of recipe apart.</summary>
    /// <exception cref="PerenosException">The file is missing, too large or malformed.</exception>
    public static bool Has(string path, string key) => ReadDocument(path).Root is JsonObject root && root.ContainsKey(key);

    /// <summary>Fits a tree to <typeparamref name="T"/>; <paramref name="name"/> stands for the file in messages.</summary>
    /// <exception cref="PerenosException">The tree does not fit.</exception>
    public static T Parse<T>(JsonNode tree, string name) => Fit<T>(new ConfigDocument(name, tree, new Dictionary<string, int>()), Options);

    /// <summary>The tree of a YAML text of any shape, within bounds; <paramref name="name"/> stands for the file in messages.</summary>
    /// <exception cref="PerenosException">It is not YAML, or goes beyond a bound.</exception>
    public static JsonNode? ParseYaml(string text, string name) => YamlTree.Parse(text, name).Root;

    /// <summary>The tree that <see cref="Write{T}"/> would write, defaults included.</summary>
    public static JsonNode ToTree<T>(T value) => JsonSerializer.SerializeToNode(value, Options)!;

    /// <summary>Writes indented JSON in one atomic step; all defaults are written out.</summary>
    /// <exception cref="PerenosException">The folder cannot be written to, or the disk is full.</exception>
    public static void Write<T>(string path, T value) =>
        AtomicFile.WriteText(path, JsonSerializer.Serialize(value, Options) + "\n");

    internal static T ReadMeasurements<T>(string path) => Fit<T>(ReadDocument(path), Measurements);

    internal static void WriteMeasurements<T>(string path, T value) =>
        AtomicFile.WriteText(path, JsonSerializer.Serialize(value, Measurements) + "\n");

    private static T Fit<T>(ConfigDocument document, JsonSerializerOptions options)
    {
        var shape = new StrictShape(options, document);
        shape.Check(document.Root, typeof(T), path: "");
        try
        {
            return document.Root.Deserialize<T>(options)!;
        }
        catch (JsonException exception)
        {
            // Only converters of single properties get here: StrictShape has looked at everything else.
            string path = (exception.Path ?? "$").TrimStart('$').TrimStart('.');
            throw new PerenosException($"{document.At(path)}: {exception.Message}", "Correct the value.", exception);
        }
    }

    internal static ConfigDocument ReadDocument(string path)
    {
        string extension = Path.GetExtension(path).ToLowerInvariant();
        if (extension is not (".json" or ".yaml" or ".yml"))
            throw new PerenosException($"{path} is neither .json nor .yaml.", "A recipe is written in one of these two.");

        string name = Path.GetFileName(path);
        string text = ReadText(path);
        return extension == ".json" ? JsonTree.Parse(text, name) : YamlTree.Parse(text, name);
    }

    private static string ReadText(string path)
    {
        try
        {
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
            if (stream.Length > LargestBytes)
                throw new PerenosException($"{path} has {stream.Length:N0} bytes.", $"A recipe or configuration has at most {LargestBytes:N0}; is this a data file?");
            using var reader = new StreamReader(stream, new UTF8Encoding(false, throwOnInvalidBytes: true));
            return reader.ReadToEnd();
        }
        catch (DecoderFallbackException exception)
        {
            throw new PerenosException($"{path} is not UTF-8 text.", "Save it as UTF-8.", exception);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw StorageProblem.Reading(path, exception);
        }
    }

    private static JsonSerializerOptions Create(JsonNumberHandling numbers, bool indented)
    {
        var options = new JsonSerializerOptions
        {
            PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
            Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower, allowIntegerValues: false) },
            UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
            RespectNullableAnnotations = true,
            RespectRequiredConstructorParameters = true,
            AllowOutOfOrderMetadataProperties = true,
            IgnoreReadOnlyProperties = true,
            NumberHandling = numbers,
            WriteIndented = indented,
            NewLine = "\n",
            // French stays readable in the file; the report escapes for HTML itself.
            Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
            TypeInfoResolver = new DefaultJsonTypeInfoResolver(),
        };
        options.MakeReadOnly();
        return options;
    }
}
