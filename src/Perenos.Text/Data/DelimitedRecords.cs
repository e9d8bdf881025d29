using System.Text;
using Perenos.Runs;

namespace Perenos.Text.Data;

/// <summary>
/// Records of comma- and tab-separated files; the first row names the fields. Commas follow RFC 4180 (https://www.rfc-editor.org/rfc/rfc4180):
/// quoted fields hold commas, line ends and doubled quotes. In tab-separated files a quote is an ordinary character, unless it encloses the whole field on one line.
/// </summary>
internal static class DelimitedRecords
{
    public static IEnumerable<RawRecord> Read(Func<LineReader> open, string file, char delimiter)
    {
        using var reader = open();
        List<string>? names = null;
        while (true)
        {
            long row = reader.Line + 1;
            if (NextRow(reader, file, delimiter) is not { } fields)
                yield break;
            if (fields is [""])
                continue; // an empty line

            if (names is null)
            {
                names = CheckHeader(fields, file, row);
                continue;
            }

            if (fields.Count != names.Count)
            {
                throw new PerenosException($"{file}:{row}: the row has {fields.Count} fields, but the header names {names.Count} ({string.Join(", ", names.Take(20))}).",
                    delimiter == ',' ? "Enclose fields with commas or line ends in quotes (\"…\"), and double the quotes inside." : "Fields must not contain tabs or line ends.");
            }

            yield return new RawRecord(file, row, TextRecords.StringFields(names, fields));
        }
    }

    private static List<string> CheckHeader(List<string> names, string file, long row)
    {
        if (names.GroupBy(name => name).FirstOrDefault(group => group.Count() > 1) is { } twice)
            throw new PerenosException($"{file}:{row}: the header names \"{twice.Key}\" twice.", "Give each column a name of its own; the first row of a .csv or .tsv file must be its header.");
        return names;
    }

    private static List<string>? NextRow(LineReader reader, string file, char delimiter)
    {
        if (reader.ReadRaw() is not { } line)
            return null;
        return delimiter == '\t' ? TabFields(WithoutReturn(line)) : QuotedFields(reader, line, file, delimiter);
    }

    private static List<string> TabFields(string line) =>
        [.. line.Split('\t').Select(field => IsEnclosed(field) ? field[1..^1].Replace("\"\"", "\"", StringComparison.Ordinal) : field)];

    private static bool IsEnclosed(string field) =>
        field.Length >= 2 && field[0] == '"' && field[^1] == '"' && !field[1..^1].Replace("\"\"", "", StringComparison.Ordinal).Contains('"', StringComparison.Ordinal);

    private static List<string> QuotedFields(LineReader reader, string line, string file, char delimiter)
    {
        var fields = new List<string>();
        int at = 0;
        while (true)
        {
            if (at < line.Length && line[at] == '"')
            {
                fields.Add(QuotedField(reader, ref line, ref at, file));
                if (WithoutReturn(line).Length > at && line[at] != delimiter)
                {
                    throw new PerenosException($"{file}:{reader.Line}: text after the closing quote of field {fields.Count}.",
                        "Double the quotes inside a quoted field (\"\"), or take the enclosing ones away.");
                }
            }
            else
            {
                int end = line.IndexOf(delimiter, at);
                fields.Add(end < 0 ? WithoutReturn(line[at..]) : line[at..end]);
                at = end < 0 ? line.Length : end;
            }

            if (at >= line.Length || line[at] != delimiter)
                return fields;
            at++;
        }
    }

    // Begins at the opening quote; reads on through line ends until the closing one.
    private static string QuotedField(LineReader reader, ref string line, ref int at, string file)
    {
        long start = reader.Line;
        var field = new StringBuilder();
        at++;
        while (true)
        {
            int quote = line.IndexOf('"', at);
            if (quote >= 0)
            {
                field.Append(line, at, quote - at);
                at = quote + 1;
                if (at >= line.Length || line[at] != '"')
                    return field.ToString();
                field.Append('"');
                at++;
                continue;
            }

            field.Append(line, at, line.Length - at).Append('\n');
            if (field.Length > LineReader.LongestLine || reader.ReadRaw() is not { } next)
                throw new PerenosException($"{file}:{start}: the quote that opens here is never closed.", "Close the field with a quote, or double a quote that belongs to the text.");
            (line, at) = (next, 0);
        }
    }

    private static string WithoutReturn(string line) => line.EndsWith('\r') ? line[..^1] : line;
}
