using System.Text.Json;
using Perenos.Runs;

namespace Perenos.Text.Data;

/// <summary>Records of .jsonl (an object a line) and .json (an array of objects, alone or as the one array of an object).</summary>
internal static class JsonRecords
{
    private const long LargestJson = 1L << 30;

    public static IEnumerable<RawRecord> ReadLines(Func<LineReader> open, string file)
    {
        using var reader = open();
        while (reader.Read() is { } line)
        {
            if (!string.IsNullOrWhiteSpace(line))
                yield return ParseLine(line, file, reader.Line);
        }
    }

    public static IEnumerable<RawRecord> ReadArray(Stream stream, string file)
    {
        using var document = ParseWhole(stream, file);
        long row = 0;
        foreach (var element in FindArray(document.RootElement, file).EnumerateArray())
        {
            row++;
            if (element.ValueKind != JsonValueKind.Object)
                throw NotAnObject(element, file, row);
            yield return new RawRecord(file, row, Fields(element.Clone(), file, row));
        }
    }

    private static RawRecord ParseLine(string line, string file, long row)
    {
        try
        {
            using var document = JsonDocument.Parse(line);
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                throw NotAnObject(document.RootElement, file, row);
            return new RawRecord(file, row, Fields(document.RootElement.Clone(), file, row));
        }
        catch (JsonException exception)
        {
            throw new PerenosException($"{file}:{row}: not valid JSON (character {exception.BytePositionInLine + 1}).",
                "A .jsonl file holds one JSON object a line. For an array of objects, name the file .json.", exception);
        }
    }

    private static JsonDocument ParseWhole(Stream stream, string file)
    {
        using (stream)
        {
            try
            {
                using var bounded = new MemoryStream();
                byte[] buffer = new byte[64 << 10];
                for (int read = stream.Read(buffer); read > 0; read = stream.Read(buffer))
                {
                    if (bounded.Length + read > LargestJson)
                        throw new PerenosException($"{file}: larger than {LargestJson >> 30} GiB, too large to be read as one JSON value.", "Write it as .jsonl, one object a line.");
                    bounded.Write(buffer, 0, read);
                }

                bounded.Position = 0;
                return JsonDocument.Parse(bounded);
            }
            catch (JsonException exception)
            {
                throw new PerenosException($"{file}:{exception.LineNumber + 1}: not valid JSON (character {exception.BytePositionInLine + 1}).",
                    "If the file holds one object a line, name it .jsonl.", exception);
            }
            catch (InvalidDataException exception)
            {
                throw new PerenosException($"{file}: the compressed data are damaged.", "Fetch the file again; test it with gzip -t.", exception);
            }
        }
    }

    private static JsonElement FindArray(JsonElement root, string file)
    {
        if (root.ValueKind == JsonValueKind.Array)
            return root;
        if (root.ValueKind == JsonValueKind.Object)
        {
            JsonProperty[] arrays = [.. root.EnumerateObject().Where(property => property.Value.ValueKind == JsonValueKind.Array)];
            if (arrays.Length == 1)
                return arrays[0].Value;
            string found = arrays.Length == 0 ? "an object without an array" : $"an object with {arrays.Length} arrays ({string.Join(", ", arrays.Take(10).Select(array => array.Name))})";
            throw new PerenosException($"{file}: {found}, but one array of records is needed.", "Write the records as one array of objects, or as .jsonl.");
        }

        throw new PerenosException($"{file}: the file holds {RawRecord.Describe(root)}, but an array of records is needed.", "Write the records as one array of objects, or as .jsonl.");
    }

    // A key that stands twice would make the record mean what its reader happens to do.
    private static Dictionary<string, JsonElement> Fields(JsonElement element, string file, long row)
    {
        var fields = new Dictionary<string, JsonElement>(StringComparer.Ordinal);
        foreach (var property in element.EnumerateObject())
        {
            string name;
            try
            {
                name = property.Name;
            }
            catch (InvalidOperationException exception)
            {
                throw new PerenosException($"{file}:{row}: key {fields.Count + 1} is not valid Unicode.", "Save the file as UTF-8.", exception);
            }

            if (!fields.TryAdd(name, property.Value))
                throw new PerenosException($"{file}:{row}: the key \"{name}\" stands twice.", "Keep one of the two.");
        }

        return fields;
    }

    private static PerenosException NotAnObject(JsonElement element, string file, long row) =>
        new($"{file}:{row}: the record is {RawRecord.Describe(element)}, but an object with named fields is needed.", "Write each record as {\"text\": \"…\"} or with fields of your own.");
}
