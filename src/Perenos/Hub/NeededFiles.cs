using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using Perenos.Runs;
using Perenos.Text.Data;

namespace Perenos.Hub;

/// <summary>
/// Which of a repository's files are needed: a model's configuration, tokenizer and template, and its weights in one form only
/// (safetensors before .bin); an adapter's two files; a data set's files of one folder. Judges lists of the hub and of the cache alike.
/// </summary>
internal static partial class NeededFiles
{
    private const string AdapterConfig = "adapter_config.json";

    private static readonly string[] OfModels =
    [
        "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
        "vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "dict.txt", "bpecodes",
        "chat_template.jinja", "chat_template.json", "README.md",
    ];

    private static readonly string[] OfAdapters = [AdapterConfig, "perenos_passport.json", "README.md"];

    private static readonly string[] WholeWeights = ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];

    private static readonly string[] AdapterWeights = ["adapter_model.safetensors", "adapter_model.bin"];

    private static readonly string[] DataEndings = [".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt"];

    private static readonly string[] NoData = ["dataset_info.json", "dataset_infos.json", "state.json", "requirements.txt", "LICENSE.txt"];

    /// <summary>The files of a model or adapter, small ones first; the last may be an index, whose shards <see cref="Shards"/> names.</summary>
    /// <exception cref="PerenosException">There are no weights, or more than one GGUF file and no name.</exception>
    public static IReadOnlyList<string> OfModel(HubName name, IReadOnlyList<string> files)
    {
        if (name.Path is { } wanted)
            return files.Contains(wanted) ? [wanted] : throw NoSuchFile(name, wanted, files);
        bool isAdapter = files.Contains(AdapterConfig) && !files.Contains("config.json");
        var small = (isAdapter ? OfAdapters : OfModels).Where(files.Contains);
        if ((isAdapter ? AdapterWeights : WholeWeights).FirstOrDefault(files.Contains) is { } weights)
            return [.. small, weights];
        string[] gguf = [.. files.Where(file => file.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase))];
        if (gguf.Length > 0)
            throw new PerenosException($"{name.Repository} holds {gguf.Length} GGUF file{(gguf.Length == 1 ? "" : "s")}: {Some(gguf)}.", $"Say which: {name.Repository}:{gguf[0]}.");
        throw new PerenosException($"{name.Repository} holds no weights that can be read: {Some(files)}.", "Known: model.safetensors, pytorch_model.bin (each alone or with an index), adapter_model.safetensors, .gguf.");
    }

    /// <summary>The shards that an index names; none for any other file.</summary>
    /// <exception cref="PerenosException">The index is malformed, or names a file that the repository lacks.</exception>
    public static IReadOnlyList<string> Shards(HubName name, string file, string path, IReadOnlyList<string> files)
    {
        const int largest = 100_000_000;
        if (!file.EndsWith(".index.json", StringComparison.Ordinal))
            return [];
        try
        {
            using var stream = File.OpenRead(path);
            if (stream.Length > largest)
                throw new JsonException("too large for an index");
            using var json = JsonDocument.Parse(stream);
            string[] shards = [.. json.RootElement.GetProperty("weight_map").EnumerateObject().Select(entry => entry.Value.GetString()!).Distinct().Order(StringComparer.Ordinal)];
            return shards.FirstOrDefault(shard => !files.Contains(shard)) is { } missing
                ? throw new PerenosException($"{file} of {name} names {missing}, which the repository lacks.", "Choose another revision, or tell the owner of the repository.")
                : shards;
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException or KeyNotFoundException)
        {
            throw new PerenosException($"{file} of {name} is not an index of weights: {problem.Message}", "Choose another revision, or tell the owner of the repository.", problem);
        }
    }

    /// <summary>
    /// The files of a data set and what to read: a file, the folder that holds train, validation and test, or a colon and a configuration of
    /// the card. Named by a path: that file, folder or configuration. Otherwise the configuration that the card means, the only data file, or
    /// those of the only folder with a training part (the repository's own, or <c>data</c>, first).
    /// </summary>
    /// <exception cref="PerenosException">Nothing can be read, or more than one folder or configuration could be meant.</exception>
    public static (string Read, IReadOnlyList<string> Files) OfDataset(HubName name, IReadOnlyList<string> files, DataCard card)
    {
        string[] data = [.. files.Where(IsData)];
        if (name.Path is { } wanted)
        {
            if (files.Contains(wanted))
                return (wanted, [wanted]);
            string[] inside = [.. data.Where(file => FolderOf(file) == wanted.TrimEnd('/'))];
            if (inside.Length > 0)
                return (wanted.TrimEnd('/'), inside);
            if (card.Configurations.Count == 0)
                throw NoSuchFile(name, wanted, data);
        }

        if (card.Choose(name.Path, name.Repository) is { } configuration)
        {
            var splits = configuration.Files(files, name.Repository);
            return ($":{configuration.Name}", [DataCard.FileName, .. Whole(name, [.. splits.SelectMany(split => split.Files).Distinct()])]);
        }

        if (data is [var only])
            return (only, data);
        var folders = data.GroupBy(FolderOf).Where(folder => folder.Any(IsTraining)).ToList();
        var chosen = folders.FirstOrDefault(folder => folder.Key.Length == 0) ?? folders.FirstOrDefault(folder => folder.Key == "data") ?? (folders.Count == 1 ? folders[0] : null);
        if (chosen is not null)
            return (chosen.Key, Whole(name, [.. chosen.Where(IsPart)]));
        throw folders.Count > 1
            ? new PerenosException($"{name.Repository} holds {folders.Count} data sets: {Some(folders.Select(folder => folder.Key))}.", $"Say which: {name.Repository}:{folders[0].Key}.")
            : new PerenosException($"{name.Repository} has no training file that can be told by its name{(data.Length == 0 ? "" : $" among {Some(data)}")}.",
                data.Length == 0 ? $"Known endings: {string.Join(", ", DataEndings)} (each also with .gz)." : $"Say which file: {name.Repository}:{data[0]}.");
    }

    // A part in several files is all of them, or another data set.
    private static string[] Whole(HubName name, string[] files)
    {
        foreach (var part in files.GroupBy(file => ShardCount().Replace(file, "-of-$1")))
        {
            if (ShardCount().Match(part.First()) is { Success: true } match && part.Count() != int.Parse(match.Groups[1].ValueSpan, CultureInfo.InvariantCulture))
                throw new PerenosException($"{name} has {part.Count()} of the {match.Groups[1].Value} files of {part.Key}.", "Choose another revision, or name one file.");
        }

        return files;
    }

    private static bool IsData(string file)
    {
        string plain = file.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? file[..^3] : file;
        return DataEndings.Contains(Path.GetExtension(plain).ToLowerInvariant()) && !NoData.Contains(Path.GetFileName(file));
    }

    private static bool IsTraining(string file) => TrainingPart().IsMatch(Path.GetFileName(file));

    private static bool IsPart(string file) => AnyPart().IsMatch(Path.GetFileName(file));

    private static string FolderOf(string file) => file.LastIndexOf('/') is var slash and >= 0 ? file[..slash] : "";

    private static PerenosException NoSuchFile(HubName name, string wanted, IReadOnlyList<string> files) => new(
        $"{name.Repository} holds no {wanted}.", $"It holds {Some(files)}{(NearestName.Of(wanted, files) is { } nearest ? $"; nearest: {nearest}" : "")}.");

    private static string Some(IEnumerable<string> files)
    {
        string[] all = [.. files];
        return all.Length == 0 ? "nothing" : string.Join(", ", all.Take(6)) + (all.Length > 6 ? $" and {all.Length - 6} more" : "");
    }

    // As RecordFile names parts: train.jsonl, or train-00000-of-00002.parquet.
    [GeneratedRegex(@"\Atrain(-\d+-of-\d+)?\.", RegexOptions.IgnoreCase)]
    private static partial Regex TrainingPart();

    [GeneratedRegex(@"-\d+-of-(\d{1,9})(?=\.)")]
    private static partial Regex ShardCount();

    [GeneratedRegex(@"\A(train|valid|validation|val|dev|test)(-\d+-of-\d+)?\.", RegexOptions.IgnoreCase)]
    private static partial Regex AnyPart();
}
