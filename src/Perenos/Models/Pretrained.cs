using System.Text.Json.Nodes;
using Perenos.Checkpoints;
using Perenos.Runs;
using Perenos.Text.Tokenization;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>A model with everything that it needs to read and write text.</summary>
public sealed class Pretrained : IDisposable
{
    /// <summary>The name under which the embedded base model is asked for.</summary>
    public const string BaseName = "base";

    private Pretrained(string location, CausalModel model, Tokenizer tokenizer, IReadOnlyList<int> stops, string? template, JsonObject tokenizerConfig)
        => (Location, Model, Tokenizer, StopTokens, ChatTemplate, TokenizerConfig) = (location, model, tokenizer, stops, template, tokenizerConfig);

    /// <summary>Folder or file that it came from.</summary>
    public string Location { get; }

    /// <summary>The network.</summary>
    public CausalModel Model { get; }

    /// <summary>Text to tokens and back.</summary>
    public Tokenizer Tokenizer { get; }

    /// <summary>Tokens that end a text; the first is the one that training appends.</summary>
    public IReadOnlyList<int> StopTokens { get; }

    /// <summary>The chat template's source, or none.</summary>
    public string? ChatTemplate { get; }

    /// <summary>What <c>tokenizer_config.json</c> says; empty where there is none.</summary>
    public JsonObject TokenizerConfig { get; }

    /// <summary>Token before the first of a text where one is named: what likelihood of a first token is conditioned on.</summary>
    public int? BeginToken => TokenNamed("bos_token");

    /// <summary>Opens a folder in Hugging Face's layout, a GGUF file (alone or with such files beside it), or <see cref="BaseName"/>.</summary>
    /// <param name="location">The folder, the file or the name.</param>
    /// <param name="type">Type in which the weights are held.</param>
    /// <param name="progress">Told after each tensor; large models take their time.</param>
    /// <exception cref="PerenosException">Something is missing, malformed or does not fit together.</exception>
    public static Pretrained Open(string location, ScalarType type, IProgress<OpenProgress>? progress = null)
    {
        location = Resolve(location);
        using var tensors = CheckpointFolder.OpenWeights(location);
        string folder = File.Exists(location) ? Path.GetDirectoryName(Path.GetFullPath(location))! : location;
        var gguf = (tensors as GgufSource)?.File;
        var parts = gguf is null ? null : GgufTokenizerParts.From(gguf);
        var config = ReadJson(folder, "config.json") ?? (gguf is null ? null : GgufConfig.ToHuggingFace(gguf))
            ?? throw new PerenosException($"{folder} holds no config.json.", "Give a model's folder as downloaded, or a .gguf file.");
        var tokenizer = OpenTokenizer(folder, parts);
        var tokenizerConfig = ReadJson(folder, "tokenizer_config.json") ?? [];
        var stops = Models.StopTokens.Find(ReadJson(folder, "generation_config.json"), config, tokenizerConfig, tokenizer, location);
        var model = ModelCatalogue.Load(config, Path.Combine(folder, "config.json"), progress is null ? tensors : new WatchedTensors(tensors, progress), type);
        RefuseMisfit(location, model, tokenizer);
        return new Pretrained(location, model, tokenizer, stops, FindTemplate(folder, tokenizerConfig) ?? parts?.ChatTemplate, tokenizerConfig);
    }

    /// <summary>A model with random weights, shaped as a <c>config.json</c> says.</summary>
    /// <param name="architecture">A <c>config.json</c>, a folder that holds one, or <see cref="BaseName"/>.</param>
    /// <param name="tokenizer">A <c>tokenizer.json</c>, a folder that holds one, or <see cref="BaseName"/>.</param>
    /// <param name="seed">Seed of the weights.</param>
    /// <param name="type">Type to hold them in.</param>
    public static Pretrained Start(string architecture, string tokenizer, ulong seed, ScalarType type)
    {
        (architecture, tokenizer) = (Resolve(architecture), Resolve(tokenizer));
        string configPath = Directory.Exists(architecture) ? Path.Combine(architecture, "config.json") : architecture;
        var config = ReadJson(Path.GetDirectoryName(Path.GetFullPath(configPath))!, Path.GetFileName(configPath))
            ?? throw new PerenosException($"{configPath} does not exist.", "start.architecture names a config.json or the folder that holds it.");
        string folder = Directory.Exists(tokenizer) ? tokenizer : Path.GetDirectoryName(Path.GetFullPath(tokenizer))!;
        var loaded = Directory.Exists(tokenizer) ? OpenTokenizer(folder, null) : Tokenizer.Load(tokenizer);
        var tokenizerConfig = ReadJson(folder, "tokenizer_config.json") ?? [];
        var model = ModelCatalogue.Start(config, configPath, seed, type);
        RefuseMisfit(configPath, model, loaded);
        return new Pretrained(architecture, model, loaded, Models.StopTokens.Find(null, config, tokenizerConfig, loaded, configPath), FindTemplate(folder, tokenizerConfig), tokenizerConfig);
    }

    /// <summary>The type in which the checkpoint holds its weights, and in which it is saved again.</summary>
    public ScalarType StoredType => (Model.Config.Json["dtype"] ?? Model.Config.Json["torch_dtype"])?.ToString() switch
    {
        "bfloat16" => ScalarType.BFloat16,
        "float16" => ScalarType.Float16,
        _ => ScalarType.Float32,
    };

    /// <summary>Writes a folder that transformers opens: weights in <see cref="StoredType"/>, configuration, tokenizer, template.</summary>
    public void Save(string folder) => AtomicFile.WriteFolder(folder, temporary =>
    {
        var config = (JsonObject)Model.Config.Json.DeepClone();
        config["architectures"] = new JsonArray(ModelCatalogue.FamilyOf(config, Location).Architecture);
        void Write(string name, JsonObject json) => AtomicFile.WriteText(Path.Combine(temporary, name), json.ToJsonString(ModelFiles.Indented));

        using (var scope = NewDisposeScope())
        {
            SafetensorsWriter.Write(Path.Combine(temporary, "model.safetensors"),
                Model.Parts.Weights.Select(weight => (weight.Key, weight.Value.detach().to(StoredType))));
        }

        Write("config.json", config);
        var stops = new JsonArray([.. StopTokens.Select(id => (JsonNode)id)]);
        var generation = new JsonObject { ["eos_token_id"] = StopTokens.Count == 1 ? StopTokens[0] : stops };
        if (BeginToken is { } begin)
            generation["bos_token_id"] = begin;
        Write("generation_config.json", generation);
        Tokenizer.Save(Path.Combine(temporary, "tokenizer.json"));
        Write("tokenizer_config.json", ModelFiles.TokenizerConfig(this));
        if (ChatTemplate is not null)
            AtomicFile.WriteText(Path.Combine(temporary, "chat_template.jinja"), ChatTemplate);
    });

    /// <summary>Frees the weights.</summary>
    public void Dispose() => Model.Dispose();

    /// <summary>The folder or file that a name stands for.</summary>
    public static string Resolve(string location) =>
        location == BaseName && !Path.Exists(location) ? Path.Combine(AppContext.BaseDirectory, "base") : location;

    internal int? TokenNamed(string key)
    {
        var node = TokenizerConfig[key];
        string? token = node is JsonObject section ? section["content"]?.ToString() : node?.ToString();
        return token is null ? null : Tokenizer.IdOf(token);
    }

    private static Tokenizer OpenTokenizer(string folder, GgufTokenizerParts? parts)
    {
        string path = Path.Combine(folder, "tokenizer.json");
        if (File.Exists(path))
            return Tokenizer.Load(path);
        return parts is null
            ? throw new PerenosException($"{folder} holds no tokenizer.json.", "Take it from the checkpoint's page on the hub; it belongs to the model.")
            : Tokenizer.FromGguf(parts.Model, parts.Pre, parts.Tokens, parts.Merges.Length > 0 ? parts.Merges : null,
                parts.Scores.Length > 0 ? parts.Scores : null, parts.Types,
                parts.AddBeginning == false ? null : parts.BeginningId, parts.AddEnd == true ? parts.EndId : null);
    }

    private static void RefuseMisfit(string location, CausalModel model, Tokenizer tokenizer)
    {
        if (tokenizer.VocabularySize > model.Config.VocabularySize)
        {
            throw new PerenosException(
                $"{location}: the tokenizer has {tokenizer.VocabularySize:N0} entries but the model embeds {model.Config.VocabularySize:N0}.",
                "Pass the tokenizer saved with this checkpoint.");
        }
    }

    // A file of its own (transformers 5), a text, or a list of named texts of which "default" counts.
    private static string? FindTemplate(string folder, JsonObject tokenizerConfig)
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

    private static JsonObject? ReadJson(string folder, string name)
    {
        string path = Path.Combine(folder, name);
        return File.Exists(path) ? JsonFile.ReadObject(path, "Take it from the checkpoint again.") : null;
    }
}
