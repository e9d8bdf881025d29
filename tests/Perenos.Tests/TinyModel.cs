using System.Text.Json.Nodes;
using Perenos.Models;
using Perenos.Text.Tokenization;
using static TorchSharp.torch;

namespace Perenos.Tests;

/// <summary>Two-layer models with random weights, one or more of each family; no two sizes are equal, so that mixing them up shows.</summary>
internal static class TinyModel
{
    public const int Vocabulary = 29;
    public const int MaximumLength = 48;
    private const ulong Seed = 1;

    // Large enough that logits differ by several nats: a model that ignores its input would not pass.
    private const double Spread = 0.3;

    private static readonly Dictionary<string, string> Configs = new()
    {
        ["llama"] = """{ "model_type": "llama", "tie_word_embeddings": false }""",
        ["llama tied"] = """{ "model_type": "llama", "tie_word_embeddings": true }""",
        ["llama with biases"] = """{ "model_type": "llama", "attention_bias": true, "mlp_bias": true, "hidden_act": "gelu" }""",
        ["gpt2"] = """{ "model_type": "gpt2" }""",
        ["gpt2 untied"] = """{ "model_type": "gpt2", "tie_word_embeddings": false, "n_inner": 40 }""",
    };

    private static readonly Dictionary<string, string> Sizes = new()
    {
        ["llama"] = $$"""
            { "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6, "intermediate_size": 44,
              "num_hidden_layers": 2, "max_position_embeddings": {{MaximumLength}} }
            """,
        ["gpt2"] = $$"""{ "n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": {{MaximumLength}} }""",
    };

    /// <summary>What can be started, by name.</summary>
    public static IEnumerable<string> Names => Configs.Keys;

    /// <summary>The family of a tiny model.</summary>
    public static string FamilyOf(string name) => Config(name)["model_type"]!.ToString();

    /// <summary>The configuration as it would lie on disk.</summary>
    public static JsonObject Config(string name, int vocabulary = Vocabulary)
    {
        var config = JsonNode.Parse(Configs[name])!.AsObject();
        foreach (var (key, value) in JsonNode.Parse(Sizes[config["model_type"]!.ToString()])!.AsObject())
            config[key] = value!.DeepClone();
        config["vocab_size"] = vocabulary;
        config["initializer_range"] = Spread;
        // Parsed again: numbers of a file are read as any type, those of a program only as their own.
        return JsonNode.Parse(config.ToJsonString())!.AsObject();
    }

    /// <summary>A model of that name. Norms and biases are random too, so that a forgotten one shows.</summary>
    public static CausalModel Start(string name, ulong seed = Seed, ScalarType type = ScalarType.Float32, int vocabulary = Vocabulary)
    {
        var model = ModelCatalogue.Start(Config(name, vocabulary), name, seed, type);
        Roughen(model, seed);
        return model;
    }

    /// <summary>A byte-level tokenizer without merges: 257 entries, 0 ends a text.</summary>
    public static Tokenizer ByteTokenizer() => BpeTrainer.Train([], new BpeTrainerSettings { VocabularySize = 257 });

    /// <summary>Random tokens, the same for the same seed.</summary>
    public static int[] Tokens(int count, ulong seed, int vocabulary = Vocabulary) =>
        [.. Enumerable.Range(0, count).Select(place => (int)(Perenos.Runs.Seed.Of(seed, "tokens", (ulong)place) % (ulong)vocabulary))];

    /// <summary>Adds noise to what starts as ones and zeros.</summary>
    public static void Roughen(CausalModel model, ulong seed)
    {
        using var quiet = no_grad();
        foreach (var (name, weight) in model.Parts.Weights.Where(weight => weight.Value.dim() == 1))
        {
            using var scope = NewDisposeScope();
            using var generator = new Generator(Perenos.Runs.Seed.Of(seed, "rough " + name));
            weight.add_(randn(weight.shape, ScalarType.Float32, generator: generator).mul(0.1).to(weight.dtype));
        }
    }
}
