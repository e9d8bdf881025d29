using System.Text;
using System.Text.Json;

namespace Perenos.Text.Data;

/// <summary>What one record of a plain text file is.</summary>
public enum PlainTextUnit
{
    /// <summary>A run of lines between blank lines; a very long one is cut at a line's end.</summary>
    Document,

    /// <summary>A line; blank ones are left out.</summary>
    Line,

    /// <summary>The file as a whole.</summary>
    File,
}

/// <summary>Records of a plain text file: one field, "text".</summary>
internal static class TextRecords
{
    // A corpus without a blank line must not become one record of all its bytes.
    private const int LongestDocument = 4 << 20;

    public static IEnumerable<RawRecord> Read(Func<LineReader> open, string file, PlainTextUnit unit)
    {
        using var reader = open();
        var document = new StringBuilder();
        long start = 1;
        while (reader.Read() is { } line)
        {
            bool isBlank = string.IsNullOrWhiteSpace(line);
            if (unit == PlainTextUnit.Line)
            {
                if (!isBlank)
                    yield return Text(file, reader.Line, line);
                continue;
            }

            if (isBlank && unit == PlainTextUnit.Document)
            {
                if (document.Length > 0)
                    yield return Text(file, start, document.ToString());
                document.Clear();
                continue;
            }

            if (unit == PlainTextUnit.Document && document.Length > 0 && document.Length + line.Length > LongestDocument)
            {
                yield return Text(file, start, document.ToString());
                document.Clear();
            }

            if (document.Length == 0)
                start = reader.Line;
            if (document.Length > 0 || (unit == PlainTextUnit.File && reader.Line > 1))
                document.Append('\n');
            document.Append(line);
        }

        if (!string.IsNullOrWhiteSpace(document.ToString()))
            yield return Text(file, unit == PlainTextUnit.File ? 1 : start, document.ToString());
    }

    private static RawRecord Text(string file, long row, string text) =>
        new(file, row, StringFields(["text"], [text]));

    /// <summary>Fields that hold strings, in the order of their names.</summary>
    internal static Dictionary<string, JsonElement> StringFields(IReadOnlyList<string> names, IReadOnlyList<string> values)
    {
        // One document for all fields: a JsonElement keeps its document alive, and a document for each field would cost more than the text.
        var array = JsonSerializer.SerializeToElement(values);
        var fields = new Dictionary<string, JsonElement>(names.Count, StringComparer.Ordinal);
        int index = 0;
        foreach (var value in array.EnumerateArray())
            fields.Add(names[index++], value);
        return fields;
    }
}
