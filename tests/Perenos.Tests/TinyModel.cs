using System.Text.Json.Nodes;
using Perenos.Models;
using Perenos.Text.Tokenization;
using static TorchSharp.torch;

namespace Perenos.Tests;

/// <summary>Two-layer models with random weights, one or more of each family and for each option of its own; no two sizes are equal, so that mixing them up shows.</summary>
internal static class TinyModel
{
    public const int Vocabulary = 29;
    public const int MaximumLength = 48;
    private const ulong Seed = 1;

    // Large enough that logits differ by several nats: a model that ignores its input would not pass.
    private const double Spread = 0.3;

    private static readonly Dictionary<string, string> Configs = new()
    {
        ["biogpt"] = """{ "model_type": "biogpt" }""",
        ["biogpt unscaled"] = """{ "model_type": "biogpt", "scale_embedding": false, "tie_word_embeddings": false }""",
        ["bloom"] = """{ "model_type": "bloom" }""",
        ["bloom with normed residuals"] = """{ "model_type": "bloom", "n_head": 6, "n_embed": 30, "apply_residual_connection_post_layernorm": true, "tie_word_embeddings": false }""",
        ["codegen"] = """{ "model_type": "codegen" }""",
        ["falcon"] = """{ "model_type": "falcon" }""",
        ["falcon grouped"] = """{ "model_type": "falcon", "new_decoder_architecture": true, "num_kv_heads": 2, "bias": true, "tie_word_embeddings": false }""",
        ["falcon grouped, one norm"] = """{ "model_type": "falcon", "new_decoder_architecture": true, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1 }""",
        ["falcon with alibi"] = """{ "model_type": "falcon", "alibi": true, "multi_query": false, "parallel_attn": false, "bias": true }""",
        ["gpt2"] = """{ "model_type": "gpt2" }""",
        ["gpt2 untied"] = """{ "model_type": "gpt2", "tie_word_embeddings": false, "n_inner": 40 }""",
        ["gpt2 otherwise scaled"] = """{ "model_type": "gpt2", "scale_attn_weights": false, "scale_attn_by_inverse_layer_idx": true }""",
        ["gpt_bigcode"] = """{ "model_type": "gpt_bigcode" }""",
        ["gpt_bigcode multi-head"] = """{ "model_type": "gpt_bigcode", "multi_query": false, "scale_attn_weights": false, "tie_word_embeddings": false }""",
        ["gpt_neo"] = """{ "model_type": "gpt_neo", "attention_types": [[["local", "global"], 1]], "window_size": 5 }""",
        ["gpt_neox"] = """{ "model_type": "gpt_neox" }""",
        ["gpt_neox sequential"] = """{ "model_type": "gpt_neox", "use_parallel_residual": false, "attention_bias": false, "rotary_pct": 1.0, "tie_word_embeddings": true }""",
        ["gptj"] = """{ "model_type": "gptj", "rotary_dim": 4 }""",
        ["gptj tied"] = """{ "model_type": "gptj", "rotary_dim": 8, "tie_word_embeddings": true }""",
        ["llama"] = """{ "model_type": "llama", "tie_word_embeddings": false }""",
        ["llama tied"] = """{ "model_type": "llama", "tie_word_embeddings": true }""",
        ["llama with biases"] = """{ "model_type": "llama", "attention_bias": true, "mlp_bias": true, "hidden_act": "gelu" }""",
        ["opt"] = """{ "model_type": "opt" }""",
        ["opt, norms last, narrow embedding"] = """{ "model_type": "opt", "do_layer_norm_before": false, "word_embed_proj_dim": 20 }""",
        ["opt without biases"] = """{ "model_type": "opt", "enable_bias": false, "layer_norm_elementwise_affine": false, "tie_word_embeddings": false }""",
        ["phi"] = """{ "model_type": "phi" }""",
        ["phi with head norms"] = """{ "model_type": "phi", "qk_layernorm": true, "num_key_value_heads": 2 }""",
        ["stablelm"] = """{ "model_type": "stablelm" }""",
        ["stablelm parallel"] = """{ "model_type": "stablelm", "use_parallel_residual": true, "qk_layernorm": true, "use_qkv_bias": true, "hidden_act": "gelu", "tie_word_embeddings": true }""",
    };

    private static readonly Dictionary<string, string> Sizes = new()
    {
        ["biogpt"] = $$"""{ "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 44, "num_hidden_layers": 2, "max_position_embeddings": {{MaximumLength}} }""",
        ["bloom"] = $$"""{ "n_embed": 32, "n_head": 4, "n_layer": 2, "seq_length": {{MaximumLength}} }""",
        ["codegen"] = $$"""{ "n_embd": 32, "n_head": 4, "n_inner": 44, "n_layer": 2, "rotary_dim": 6, "n_positions": {{MaximumLength}} }""",
        ["falcon"] = $$"""{ "hidden_size": 32, "num_attention_heads": 4, "ffn_hidden_size": 44, "num_hidden_layers": 2, "max_position_embeddings": {{MaximumLength}} }""",
        ["gpt2"] = $$"""{ "n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": {{MaximumLength}} }""",
        ["gpt_bigcode"] = $$"""{ "n_embd": 32, "n_head": 4, "n_inner": 44, "n_layer": 2, "n_positions": {{MaximumLength}} }""",
        ["gpt_neo"] = $$"""{ "hidden_size": 32, "num_heads": 4, "intermediate_size": 44, "num_layers": 2, "max_position_embeddings": {{MaximumLength}} }""",
        ["gpt_neox"] = $$"""{ "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 44, "num_hidden_layers": 2, "max_position_embeddings": {{MaximumLength}} }""",
        ["gptj"] = $$"""{ "n_embd": 32, "n_head": 4, "n_inner": 44, "n_layer": 2, "n_positions": {{MaximumLength}} }""",
        ["llama"] = $$"""
            { "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6, "intermediate_size": 44,
              "num_hidden_layers": 2, "max_position_embeddings": {{MaximumLength}} }
            """,
        ["opt"] = $$"""{ "hidden_size": 32, "num_attention_heads": 4, "ffn_dim": 44, "num_hidden_layers": 2, "max_position_embeddings": {{MaximumLength}} }""",
        ["phi"] = $$"""{ "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 44, "num_hidden_layers": 2, "max_position_embeddings": {{MaximumLength}} }""",
        ["stablelm"] = $$"""{ "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 44, "num_hidden_layers": 2, "max_position_embeddings": {{MaximumLength}} }""",
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
            config.TryAdd(key, value!.DeepClone());
        config["vocab_size"] = vocabulary;
        config[config["model_type"]!.ToString() == "opt" ? "init_std" : "initializer_range"] = Spread;
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
