using System.Text.Json;
using Perenos.Runs;
using Perenos.Testing;
using Perenos.Text.Tokenization;
using Xunit;

namespace Perenos.Text.Tests.Tokenization;

/// <summary>The reference tokenizers and what the reference makes of texts, found by listing folders.</summary>
internal static class TokenizerFixtures
{
    /// <summary>Stands in where there are no fixtures, so that the theory skips instead of failing for want of data.</summary>
    public const string None = "no fixtures";

    private static readonly Dictionary<string, Tokenizer> Loaded = [];

    /// <summary>Folders (such as "qwen3" and "machinery/bpe-clip") that hold a file, of which a line mentions a text.</summary>
    public static TheoryData<string> FoldersWith(string file, string mentioning = "")
    {
        string root = Path.Combine(Shared.Parity, "tokenizers");
        string[] folders = Directory.Exists(root)
            ? [.. Directory.EnumerateFiles(root, file, SearchOption.AllDirectories)
                .Where(path => File.ReadLines(path).Any(line => line.Contains(mentioning, StringComparison.Ordinal)))
                .Select(path => Path.GetRelativePath(root, Path.GetDirectoryName(path)!)).Order(StringComparer.Ordinal)]
            : [];
        return [.. folders.Length == 0 ? [None] : folders];
    }

    /// <summary>The records of a .jsonl file; never none.</summary>
    public static List<JsonElement> Records(params string[] parts)
    {
        string path = Shared.ParityOrSkip(["tokenizers", .. parts]);
        var records = File.ReadLines(path).Where(line => line.Length > 0)
            .Select(line => JsonDocument.Parse(line).RootElement.Clone()).ToList();
        Assert.NotEmpty(records);
        return records;
    }

    /// <summary>The tokenizer of a folder; skips, by name, one whose machinery is not built.</summary>
    public static Tokenizer Load(string folder)
    {
        Assert.SkipWhen(folder == None, $"no fixtures under {Shared.Parity}");
        lock (Loaded)
        {
            if (Loaded.TryGetValue(folder, out var known))
                return known;
            return Loaded[folder] = LoadNew(folder);
        }
    }

    public static int[] Ints(this JsonElement record, string name) => [.. record.GetProperty(name).EnumerateArray().Select(value => value.GetInt32())];

    public static string[] Texts(this JsonElement record, string name) =>
        [.. record.GetProperty(name).EnumerateArray().Select(value => value.GetString()!)];

    public static (int, int)[] Pairs(this JsonElement record, string name) =>
        [.. record.GetProperty(name).EnumerateArray().Select(pair => (pair[0].GetInt32(), pair[1].GetInt32()))];

    public static int?[] IntsOrNull(this JsonElement record, string name) =>
        [.. record.GetProperty(name).EnumerateArray().Select(value => value.ValueKind == JsonValueKind.Null ? (int?)null : value.GetInt32())];

    private static Tokenizer LoadNew(string folder)
    {
        string own = Path.Combine(Shared.Parity, "tokenizers", folder, "tokenizer.json");
        string shared = Shared.PathOf("tokenizers", folder);
        string? path = new[] { own, Path.Combine(shared, "tokenizer.json"), Model(folder) }.FirstOrDefault(File.Exists);
        if (path is null && Directory.Exists(shared) && Tokenizer.OpenFolder(shared) is { } tokenizer)
            return tokenizer;
        Assert.SkipWhen(path is null, $"{folder}: there is no tokenizer of that name");
        try
        {
            return Tokenizer.Load(path!);
        }
        catch (PerenosException error) when (error.Message.Contains("is not known", StringComparison.Ordinal))
        {
            Assert.Skip($"{folder}: {error.Message}");
            throw;
        }
    }

    // smollm2's tokenizer lies with the model whose folder begins with the name.
    private static string? Model(string folder)
    {
        string models = Shared.PathOf("models");
        return Directory.Exists(models)
            ? Directory.EnumerateDirectories(models, $"{Path.GetFileName(folder)}*").Select(model => Path.Combine(model, "tokenizer.json")).FirstOrDefault(File.Exists)
            : null;
    }
}
