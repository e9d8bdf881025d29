using System.Text.Json.Nodes;
using Perenos.Checkpoints;
using Perenos.Runs;
using Perenos.Text.Tokenization;

namespace Perenos.Models;

/// <summary>A model on disk with everything that belongs to it, opened and checked; no weights are read.</summary>
public sealed class ModelSource : IDisposable
{
    private ModelSource(string location, string folder, ITensorSource tensors) => (Location, Folder, Tensors) = (location, folder, tensors);

    /// <summary>Folder or file that was opened.</summary>
    public string Location { get; }

    /// <summary>The folder, or the one that the file lies in.</summary>
    public string Folder { get; }

    /// <summary>The weights, to be read one at a time.</summary>
    public ITensorSource Tensors { get; }

    /// <summary>The GGUF file, if it is one.</summary>
    public GgufFile? Gguf => (Tensors as GgufSource)?.File;

    /// <summary>What <c>config.json</c> says, or the metadata of a GGUF file.</summary>
    public required JsonObject Config { get; init; }

    /// <summary>Where the configuration stands, for messages.</summary>
    public string ConfigLocation => ConfigLocationIn(Folder);

    /// <summary>What <c>tokenizer_config.json</c> says; empty where there is none.</summary>
    public required JsonObject TokenizerConfig { get; init; }

    /// <summary>Text to tokens and back.</summary>
    public required Tokenizer Tokenizer { get; init; }

    /// <summary>Tokens that end a text; the first is the one that training appends.</summary>
    public required IReadOnlyList<int> StopTokens { get; init; }

    /// <summary>The chat template's source, or none.</summary>
    public required string? ChatTemplate { get; init; }

    /// <summary>Opens a folder in Hugging Face's layout, or a GGUF file (alone or with such files beside it).</summary>
    /// <exception cref="PerenosException">Something is missing, malformed or does not fit together.</exception>
    public static ModelSource Open(string location) => Open(location, (_, _, _) => { });

    /// <param name="location">The folder or the file.</param>
    /// <param name="meanwhile">Is given configuration, its place and weights while the tokenizer is read, which takes longer than the weights of a small model.</param>
    internal static ModelSource Open(string location, Action<JsonObject, string, ITensorSource> meanwhile)
    {
        var tensors = CheckpointFolder.OpenWeights(location);
        try
        {
            string folder = FolderOf(location);
            var gguf = (tensors as GgufSource)?.File;
            var parts = gguf is null ? null : GgufTokenizerParts.From(gguf);
            var config = ReadConfig(folder, gguf)
                ?? throw new PerenosException($"{folder} holds no config.json.", "Give a model's folder as downloaded, or a .gguf file.");
            var reading = Task.Run(() => OpenTokenizer(folder, parts));
            meanwhile(config, ConfigLocationIn(folder), tensors);
            var tokenizer = reading.GetAwaiter().GetResult();
            var tokenizerConfig = ReadJson(folder, "tokenizer_config.json") ?? FromGguf(parts);
            return new ModelSource(location, folder, tensors)
            {
                Config = config,
                TokenizerConfig = tokenizerConfig,
                Tokenizer = tokenizer,
                StopTokens = Models.StopTokens.Find(ReadJson(folder, "generation_config.json"), config, tokenizerConfig, tokenizer, location),
                ChatTemplate = FindTemplate(folder, tokenizerConfig) ?? parts?.ChatTemplate,
            };
        }
        catch
        {
            tensors.Dispose();
            throw;
        }
    }

    /// <summary>Closes the files.</summary>
    public void Dispose() => Tensors.Dispose();

    private static string ConfigLocationIn(string folder) => Path.Combine(folder, "config.json");

    internal static string FolderOf(string location) =>
        File.Exists(location) ? Path.GetDirectoryName(Path.GetFullPath(location))! : location;

    internal static JsonObject? ReadConfig(string folder, GgufFile? gguf) =>
        ReadJson(folder, "config.json") ?? (gguf is null ? null : GgufConfig.ToHuggingFace(gguf));

    internal static Tokenizer OpenTokenizer(string folder, GgufTokenizerParts? parts)
    {
        if (Tokenizer.OpenFolder(folder) is { } tokenizer)
            return tokenizer;
        return OpenTokenizer(parts ?? throw new PerenosException(
            $"{folder} holds no tokenizer: neither tokenizer.json nor tokenizer.model, vocab.json with merges.txt, or dict.txt with bpecodes.",
            "Take it from the checkpoint's page on the hub; it belongs to the model."));
    }

    internal static Tokenizer OpenTokenizer(GgufTokenizerParts parts) => Tokenizer.FromGguf(
        parts.Model, parts.Pre, parts.Tokens, parts.Merges.Length > 0 ? parts.Merges : null, parts.Scores.Length > 0 ? parts.Scores : null, parts.Types,
        parts.BeginningId, parts.EndId, parts.AddBeginning, parts.AddEnd, parts.AddSpacePrefix);

    // A file of its own (transformers 5), a text, or a list of named texts of which "default" counts.
    internal static string? FindTemplate(string folder, JsonObject tokenizerConfig)
    {
        string path = Path.Combine(folder, "chat_template.jinja");
        if (File.Exists(path))
            return File.ReadAllText(path);
        return tokenizerConfig["chat_template"] switch
        {
            JsonArray list => list.OfType<JsonObject>().FirstOrDefault(entry => entry["name"]?.ToString() == "default")?["template"]?.ToString(),
            var node => node?.ToString(),
        };
    }

    internal static JsonObject? ReadJson(string folder, string name)
    {
        string path = Path.Combine(folder, name);
        return File.Exists(path) ? JsonFile.ReadObject(path, "Take it from the checkpoint again.") : null;
    }

    /// <summary>The special tokens of a GGUF file, as a <c>tokenizer_config.json</c> names them.</summary>
    private static JsonObject FromGguf(GgufTokenizerParts? parts)
    {
        var config = new JsonObject();
        foreach (var (key, id) in new[] { ("bos_token", parts?.BeginningId), ("eos_token", parts?.EndId), ("unk_token", parts?.UnknownId), ("pad_token", parts?.PaddingId) })
        {
            if (id is { } known)
                config[key] = parts!.Tokens[known];
        }

        return config;
    }
}
