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

    /// <summary>What the vocabulary was extended by; none where it is the model's own.</summary>
    public AddedVocabulary? AddedVocabulary { get; private init; }

    /// <summary>Token before the first of a text where one is named: what likelihood of a first token is conditioned on.</summary>
    public int? BeginToken => TokenNamed("bos_token");

    /// <summary>Opens a folder in Hugging Face's layout, a GGUF file (alone or with such files beside it), or <see cref="BaseName"/>.</summary>
    /// <param name="location">The folder, the file or the name.</param>
    /// <param name="type">Type in which the weights are held.</param>
    /// <param name="progress">Told after each tensor; large models take their time.</param>
    /// <exception cref="PerenosException">Something is missing, malformed or does not fit together.</exception>
    public static Pretrained Open(string location, ScalarType type, IProgress<OpenProgress>? progress = null)
    {
        CausalModel? model = null;
        try
        {
            using var source = ModelSource.Open(Resolve(location), (config, configLocation, tensors) =>
                model = ModelCatalogue.Load(config, configLocation, progress is null ? tensors : new WatchedTensors(tensors, progress), type));
            RefuseMisfit(source.Location, model!, source.Tokenizer);
            return new Pretrained(source.Location, model!, source.Tokenizer, source.StopTokens, source.ChatTemplate, source.TokenizerConfig)
            {
                AddedVocabulary = AddedVocabulary.Read(source.Folder, source.Tokenizer),
            };
        }
        catch
        {
            model?.Dispose();
            throw;
        }
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
        var config = ModelSource.ReadJson(Path.GetDirectoryName(Path.GetFullPath(configPath))!, Path.GetFileName(configPath))
            ?? throw new PerenosException($"{configPath} does not exist.", "start.architecture names a config.json or the folder that holds it.");
        string folder = Directory.Exists(tokenizer) ? tokenizer : Path.GetDirectoryName(Path.GetFullPath(tokenizer))!;
        var loaded = Directory.Exists(tokenizer) ? ModelSource.OpenTokenizer(folder, null) : Tokenizer.Load(tokenizer);
        var tokenizerConfig = ModelSource.ReadJson(folder, "tokenizer_config.json") ?? [];
        var model = ModelCatalogue.Start(config, configPath, seed, type);
        RefuseMisfit(configPath, model, loaded);
        return new Pretrained(architecture, model, loaded, Models.StopTokens.Find(null, config, tokenizerConfig, loaded, configPath), ModelSource.FindTemplate(folder, tokenizerConfig), tokenizerConfig);
    }

    /// <summary>The type in which the checkpoint holds its weights, and in which it is saved again.</summary>
    public ScalarType StoredType => (Model.Config.Json["dtype"] ?? Model.Config.Json["torch_dtype"])?.ToString() switch
    {
        "bfloat16" => ScalarType.BFloat16,
        "float16" => ScalarType.Float16,
        _ => ScalarType.Float32,
    };

    /// <summary>Writes a folder that transformers opens: weights, configuration, tokenizer, template.</summary>
    /// <param name="folder">Where to; an older save is replaced.</param>
    /// <param name="type">Type of the weights; <see cref="StoredType"/> by default.</param>
    public void Save(string folder, ScalarType? type = null) => Save(folder, type, extension: null);

    internal void Save(string folder, ScalarType? type, VocabularyExtension? extension) => AtomicFile.WriteFolder(folder, temporary =>
    {
        using (var scope = NewDisposeScope())
        {
            SafetensorsWriter.Write(Path.Combine(temporary, "model.safetensors"),
                Model.Parts.Weights.Select(weight => (weight.Key, (extension?.Grown(weight.Value) ?? weight.Value).detach().to(type ?? StoredType))));
        }

        var config = (JsonObject)Model.Config.Json.DeepClone();
        if (type is not null && type != StoredType)
        {
            config.Remove("dtype");
            config["torch_dtype"] = type switch { ScalarType.BFloat16 => "bfloat16", ScalarType.Float16 => "float16", _ => "float32" };
        }

        if (extension is not null)
            config["vocab_size"] = JsonNode.Parse($"{extension.Rows}"); // a number as a file holds it
        ModelFiles.Write(temporary, config, Location, extension?.Tokenizer ?? Tokenizer, extension?.Describe(TokenizerConfig) ?? TokenizerConfig, StopTokens, BeginToken, ChatTemplate);
        extension?.Added.Write(temporary);
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

    /// <summary>The tokenizer alone: of a folder, a tokenizer.json, a GGUF file, or <see cref="BaseName"/>.</summary>
    /// <exception cref="PerenosException">There is none, or it is malformed.</exception>
    public static Tokenizer OpenTokenizer(string location)
    {
        location = Resolve(location);
        if (Directory.Exists(location))
            return ModelSource.OpenTokenizer(location, null);
        if (!location.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase))
            return Tokenizer.Load(location);
        using var file = GgufFile.Open(location);
        return ModelSource.OpenTokenizer(GgufTokenizerParts.From(file) ?? throw new PerenosException($"{location} carries no tokenizer.", "Take the tokenizer.json of the model."));
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
}
