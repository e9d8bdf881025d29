using System.Globalization;
using System.IO.Compression;
using System.Text.RegularExpressions;
using Perenos.Runs;
using Perenos.Text.Data.Parquet;

namespace Perenos.Text.Data;

/// <summary>
/// Reads records from a path, one at a time: .jsonl, .json, .csv, .tsv, .txt (each also with .gz), .parquet, aligned lines (the stem "a" of a.en and a.fr, or
/// "a.en,a.fr"), a folder with train, valid and test files, each whole or in numbered parts (train-00000-of-00002.parquet), or a folder with a
/// card that says which files are which (<see cref="DataCard"/>), with ":" and the name of a configuration where it has several.
/// </summary>
public static partial class RecordFile
{
    private static readonly string[] Endings = [".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".txt"];

    private static readonly (DataPart Part, string[] Names)[] Parts =
    [
        (DataPart.Train, ["train"]),
        (DataPart.Validation, ["valid", "validation", "val", "dev"]),
        (DataPart.Test, ["test"]),
    ];

    /// <summary>The records at <paramref name="path"/>, in the file's order; the file is read as they are taken.</summary>
    /// <param name="path">File, folder or stem.</param>
    /// <param name="plainText">What a record of plain text is.</param>
    /// <param name="readBytes">Told how many bytes of a file were read, again and again; of aligned lines and .parquet once, at their end.</param>
    /// <exception cref="PerenosException">The path does not exist, the kind is unknown, or a row is malformed (the message names file and row).</exception>
    public static IEnumerable<RawRecord> Read(string path, PlainTextUnit plainText = PlainTextUnit.Document, Action<long>? readBytes = null)
    {
        // Opened when they are taken, but looked at now: an ending that is not known is told at once.
        var sources = Sources(path).Select(source => source.Files is [var file] ? InPart(ReadFile(file, plainText, readBytes), source.Part) : Metered(AlignedLines.Read([.. source.Files.Select(Aligned)]), source.Files, readBytes)).ToList();
        return sources is [var only] ? only : sources.SelectMany(source => source);
    }

    /// <summary>The files that <see cref="Read"/> would read.</summary>
    /// <exception cref="PerenosException">The path does not exist, or the folder is incomplete.</exception>
    public static IReadOnlyList<string> Files(string path) => [.. Sources(path).SelectMany(source => source.Files)];

    private static List<(DataPart? Part, string[] Files)> Sources(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        if (string.IsNullOrWhiteSpace(path))
            throw new PerenosException("The path of the data is empty.", "Name a file (jsonl, json, csv, tsv, parquet, txt), a folder with train.jsonl, or the stem of aligned lines.");
        if (Directory.Exists(path))
            return DataCard.Of(path).Choose(null, path) is { } configuration ? InConfiguration(path, configuration) : InFolder(path);
        if (File.Exists(path))
            return [(null, [path])];
        // FOLDER:NAME, a configuration that the folder's card names.
        if (path.LastIndexOf(':') is var colon and > 0 && Directory.Exists(path[..colon]))
            return InConfiguration(path[..colon], DataCard.Of(path[..colon]).Choose(path[(colon + 1)..], path[..colon])!);

        string[] aligned = path.Contains(',', StringComparison.Ordinal) ? path.Split(',', StringSplitOptions.TrimEntries) : AlignedLines.FindLanguages(path);
        if (aligned.FirstOrDefault(part => !File.Exists(part)) is { } missing)
            throw Missing(missing);
        if (aligned.Length == 1)
            throw new PerenosException($"Beside {Path.GetFileName(aligned[0])} there is no second language.", $"Aligned lines need two files, for example {path}.en and {path}.fr.");
        return aligned.Length > 1 ? [(null, aligned)] : throw Missing(path);
    }

    private static IEnumerable<RawRecord> InPart(IEnumerable<RawRecord> records, DataPart? part) => part is null ? records : records.Select(record => record with { Part = part });

    private static IEnumerable<RawRecord> Metered(IEnumerable<RawRecord> records, IEnumerable<string> files, Action<long>? readBytes)
    {
        foreach (var record in records)
            yield return record;
        readBytes?.Invoke(files.Sum(file => new FileInfo(file).Length));
    }

    private static (string, Func<LineReader>) Aligned(string path) => (Path.GetFileName(path), () => Open(path, null));

    private static IEnumerable<RawRecord> ReadFile(string path, PlainTextUnit plainText, Action<long>? readBytes)
    {
        string file = Path.GetFileName(path);
        LineReader OpenLines() => Open(path, readBytes);
        return Ending(file) switch
        {
            ".jsonl" or ".ndjson" => JsonRecords.ReadLines(OpenLines, file),
            ".json" => ReadJson(path, file, readBytes),
            ".csv" => DelimitedRecords.Read(OpenLines, file, ','),
            ".tsv" => DelimitedRecords.Read(OpenLines, file, '\t'),
            ".parquet" => Metered(ParquetRecords.Read(path, file), [path], readBytes),
            ".txt" => TextRecords.Read(OpenLines, file, plainText),
            var ending => throw new PerenosException($"{file}: the ending \"{ending}\" says nothing about the kind of data.",
                $"Known: {string.Join(", ", Endings)} (all but parquet also with .gz), aligned lines (a.en,a.fr), or a folder with train.jsonl, valid.jsonl and test.jsonl."),
        };
    }

    private static IEnumerable<RawRecord> ReadJson(string path, string file, Action<long>? readBytes)
    {
        foreach (var record in JsonRecords.ReadArray(OpenStream(path, readBytes), file))
            yield return record;
    }

    private static List<(DataPart? Part, string[] Files)> InFolder(string folder)
    {
        string[] files = [.. Directory.EnumerateFiles(folder).Where(path => Endings.Contains(Ending(Path.GetFileName(path)))).Order(StringComparer.Ordinal)];
        var parts = Parts.Select(part => (part.Part, Files: files.Where(path => part.Names.Contains(Shard().Replace(Stem(Path.GetFileName(path)), ""))).ToArray())).ToArray();
        if (parts[0].Files.Length == 0)
        {
            string found = files.Length == 0 ? "nothing that can be read" : string.Join(", ", files.Take(20).Select(Path.GetFileName));
            throw new PerenosException($"The folder {folder} has no train file; found: {found}.", "Name the files train.jsonl, valid.jsonl and test.jsonl (or .json, .csv, .tsv, .parquet, .txt), or give one file instead of the folder.");
        }

        foreach (var (part, paths) in parts)
        {
            if (paths.Length > 1 && !AreShardsOfOne(paths))
                throw new PerenosException($"The folder {folder} has {paths.Length} files for one part: {string.Join(", ", paths.Take(10).Select(Path.GetFileName))}.", "Keep one of them, or all numbered parts of one (train-00000-of-00002.parquet).");
            if (paths is [var first, ..] && Shard().Match(Stem(Path.GetFileName(first))) is { Success: true } shard && int.Parse(shard.Groups["count"].ValueSpan, CultureInfo.InvariantCulture) is var count && count != paths.Length)
                throw new PerenosException($"The folder {folder} has {paths.Length} of the {count} numbered parts of {part.ToString().ToLowerInvariant()}: {string.Join(", ", paths.Take(10).Select(Path.GetFileName))}.", "Fetch the others too.");
        }

        return [.. parts.SelectMany(part => part.Files.Select(file => ((DataPart?)part.Part, new[] { file })))];
    }

    private static List<(DataPart? Part, string[] Files)> InConfiguration(string folder, DataConfiguration configuration)
    {
        string[] all = [.. Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Select(path => Path.GetRelativePath(folder, path).Replace('\\', '/'))];
        var splits = configuration.Files(all, folder).Select(split => (Part: PartOf(split.Split), split.Split, split.Files)).ToList();
        // A single split of whatever name is the data; of several, those that are no part are left out.
        var read = splits.Count == 1 ? [(Part: null, splits[0].Split, splits[0].Files)] : splits.Where(split => split.Part is not null).ToList();
        if (splits.Count != 1 && read.All(split => split.Part != DataPart.Train))
            throw new PerenosException($"{folder}: the configuration \"{configuration.Name}\" has no split \"train\"; it has {string.Join(", ", splits.Select(split => split.Split))}.", "Name one of its files.");
        return [.. read.SelectMany(split => split.Files.Select(file => (split.Part, new[] { Path.Combine(folder, file) })))];
    }

    private static DataPart? PartOf(string split) => Parts.Where(part => part.Names.Contains(split)).Select(part => (DataPart?)part.Part).FirstOrDefault();

    private static string Ending(string file) => Path.GetExtension(WithoutGzip(file)).ToLowerInvariant();

    private static string Stem(string file) => Path.GetFileNameWithoutExtension(WithoutGzip(file)).ToLowerInvariant();

    // Numbered parts of one file: only the number differs.
    private static bool AreShardsOfOne(string[] paths) =>
        paths.Select(path => Shard().Replace(Path.GetFileName(path), "-of-${count}")).Distinct().Count() == 1 && Shard().IsMatch(Stem(Path.GetFileName(paths[0])));

    [GeneratedRegex(@"-\d{1,9}-of-(?<count>\d{1,9})(?=\z|\.)")]
    private static partial Regex Shard();

    private static string WithoutGzip(string file) => file.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? file[..^3] : file;

    private static LineReader Open(string path, Action<long>? readBytes) => new(OpenStream(path, readBytes), Path.GetFileName(path));

    private static Stream OpenStream(string path, Action<long>? readBytes)
    {
        try
        {
            Stream stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 64 << 10, FileOptions.SequentialScan);
            if (readBytes is not null)
                stream = new MeteredStream(stream, readBytes);
            return path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? new GZipStream(stream, CompressionMode.Decompress) : stream;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new PerenosException($"{path} cannot be read: {exception.Message}", "Check that the file is there and that you may read it.", exception);
        }
    }

    private static PerenosException Missing(string path)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(path)) ?? ".";
        if (!Directory.Exists(folder))
            return new PerenosException($"There is no file or folder {path}.", $"The folder {folder} does not exist either.");
        string? nearest = NearestName.Of(Path.GetFileName(path), Directory.EnumerateFileSystemEntries(folder).Select(entry => Path.GetFileName(entry)));
        return new PerenosException($"There is no file or folder {path}.",
            nearest is null ? "Check the spelling. Aligned lines are named by their stem (a, for a.en and a.fr) or as a.en,a.fr." : $"Did you mean {nearest}?");
    }
}
