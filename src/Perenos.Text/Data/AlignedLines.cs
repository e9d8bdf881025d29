using System.Text.RegularExpressions;
using Perenos.Runs;

namespace Perenos.Text.Data;

/// <summary>Records of files whose lines belong together (a.en with a.fr): one field for each file, named after its language.</summary>
internal static partial class AlignedLines
{
    /// <summary>Files "stem.xx" whose ending is a language code, in the order of their names.</summary>
    public static string[] FindLanguages(string stem)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(stem)) ?? ".";
        if (!Directory.Exists(folder))
            return [];
        string prefix = Path.GetFileName(stem) + ".";
        return [.. Directory.EnumerateFiles(folder)
            .Where(path => Path.GetFileName(path).StartsWith(prefix, StringComparison.Ordinal) && LanguageEnding().IsMatch(Path.GetFileName(path)[prefix.Length..]))
            .Order(StringComparer.Ordinal)];
    }

    public static IEnumerable<RawRecord> Read(IReadOnlyList<(string File, Func<LineReader> Open)> files)
    {
        string[] names = [.. files.Select(file => FieldName(file.File))];
        if (names.Distinct().Count() != names.Length)
            throw new PerenosException($"{string.Join(" and ", files.Select(file => file.File))} would all be the field \"{names[0]}\".", "Give aligned files different endings, such as a.en and a.fr.");

        // Counted first: a shifted pair would teach wrong translations long before the end of the shorter file is reached.
        long[] counts = [.. files.Select(file => Count(file.Open))];
        if (counts.Distinct().Count() > 1)
        {
            throw new PerenosException($"Aligned files differ in length: {string.Join(", ", files.Zip(counts, (file, count) => $"{file.File} has {count} lines"))}.",
                "Line n of one must be the translation of line n of the other; find the line that was lost or split.");
        }

        LineReader[] readers = [.. files.Select(file => file.Open())];
        try
        {
            string label = string.Join("+", files.Select(file => file.File));
            for (long row = 1; row <= counts[0]; row++)
                yield return new RawRecord(label, row, TextRecords.StringFields(names, [.. readers.Select(reader => reader.Read() ?? "")]));
        }
        finally
        {
            foreach (var reader in readers)
                reader.Dispose();
        }
    }

    private static string FieldName(string file)
    {
        string name = file.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? file[..^3] : file;
        string ending = Path.GetExtension(name);
        return ending.Length > 1 ? ending[1..] : name;
    }

    private static long Count(Func<LineReader> open)
    {
        using var reader = open();
        while (reader.Read() is not null)
        {
        }

        return reader.Line;
    }

    [GeneratedRegex(@"^(?!txt|csv|tsv|zip|log|bin|pdf|doc|dat)[a-z]{2,3}([-_][A-Za-z]{2,4})?(\.gz)?$")]
    private static partial Regex LanguageEnding();
}
