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
        ["cohere"] = """{ "model_type": "cohere", "logit_scale": 0.7 }""",
        ["cohere with head norms"] = """{ "model_type": "cohere", "use_qk_norm": true, "attention_bias": true, "logit_scale": 1.2, "tie_word_embeddings": false }""",
        ["falcon"] = """{ "model_type": "falcon" }""",
        ["falcon grouped"] = """{ "model_type": "falcon", "new_decoder_architecture": true, "num_kv_heads": 2, "bias": true, "tie_word_embeddings": false }""",
        ["falcon grouped, one norm"] = """{ "model_type": "falcon", "new_decoder_architecture": true, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1 }""",
        ["falcon with alibi"] = """{ "model_type": "falcon", "alibi": true, "multi_query": false, "parallel_attn": false, "bias": true }""",
        ["gemma"] = """{ "model_type": "gemma" }""",
        ["gemma2"] = """{ "model_type": "gemma2", "sliding_window": 4, "attn_logit_softcapping": 3, "final_logit_softcapping": 5, "query_pre_attn_scalar": 10 }""",
        ["gemma3_text"] = """{ "model_type": "gemma3_text", "sliding_window": 4, "sliding_window_pattern": 2, "query_pre_attn_scalar": 10, "rope_local_base_freq": 100 }""",
        ["gemma3_text capped"] = """{ "model_type": "gemma3_text", "final_logit_softcapping": 4, "attention_bias": true, "tie_word_embeddings": false }""",
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
        ["granite"] = """{ "model_type": "granite", "embedding_multiplier": 1.5, "attention_multiplier": 0.3, "residual_multiplier": 0.7, "logits_scaling": 0.6 }""",
        ["granite with biases"] = """{ "model_type": "granite", "attention_bias": true, "mlp_bias": true, "attention_multiplier": 0.4, "tie_word_embeddings": true }""",
        ["llama"] = """{ "model_type": "llama", "tie_word_embeddings": false }""",
        ["llama tied"] = """{ "model_type": "llama", "tie_word_embeddings": true }""",
        ["llama with biases"] = """{ "model_type": "llama", "attention_bias": true, "mlp_bias": true, "hidden_act": "gelu" }""",
        ["mistral"] = """{ "model_type": "mistral", "sliding_window": 4 }""",
        ["mixtral"] = """{ "model_type": "mixtral", "num_local_experts": 4, "sliding_window": 5 }""",
        ["mixtral, balanced"] = """{ "model_type": "mixtral", "num_local_experts": 3, "output_router_logits": true, "router_aux_loss_coef": 0.1 }""",
        ["olmo2"] = """{ "model_type": "olmo2" }""",
        ["olmo2 with biases"] = """{ "model_type": "olmo2", "attention_bias": true, "tie_word_embeddings": true }""",
        ["olmoe"] = """{ "model_type": "olmoe", "num_experts": 4, "num_experts_per_tok": 2 }""",
        ["olmoe, clipped"] = """{ "model_type": "olmoe", "num_experts": 3, "num_experts_per_tok": 2, "norm_topk_prob": true, "clip_qkv": 0.9, "attention_bias": true }""",
        ["opt"] = """{ "model_type": "opt" }""",
        ["opt, norms last, narrow embedding"] = """{ "model_type": "opt", "do_layer_norm_before": false, "word_embed_proj_dim": 20 }""",
        ["opt without biases"] = """{ "model_type": "opt", "enable_bias": false, "layer_norm_elementwise_affine": false, "tie_word_embeddings": false }""",
        ["phi"] = """{ "model_type": "phi" }""",
        ["phi with head norms"] = """{ "model_type": "phi", "qk_layernorm": true, "num_key_value_heads": 2 }""",
        ["phi3"] = """{ "model_type": "phi3", "sliding_window": 5 }""",
        ["phi3 for long texts"] = """
            { "model_type": "phi3", "partial_rotary_factor": 0.75, "original_max_position_embeddings": 24, "head_dim": 8,
              "rope_scaling": { "type": "longrope", "short_factor": [1, 1.1, 1.3], "long_factor": [1.2, 2, 4] } }
            """,
        ["qwen2"] = """{ "model_type": "qwen2", "use_sliding_window": true, "sliding_window": 4, "max_window_layers": 1 }""",
        ["qwen2 tied"] = """{ "model_type": "qwen2", "tie_word_embeddings": true }""",
        ["qwen3"] = """{ "model_type": "qwen3" }""",
        ["qwen3 with biases"] = """{ "model_type": "qwen3", "attention_bias": true, "layer_types": ["sliding_attention", "full_attention"], "use_sliding_window": true, "sliding_window": 3 }""",
        ["qwen3_moe"] = """{ "model_type": "qwen3_moe", "num_experts": 4, "num_experts_per_tok": 2, "norm_topk_prob": true }""",
        ["qwen3_moe, partly dense"] = """{ "model_type": "qwen3_moe", "num_experts": 3, "num_experts_per_tok": 2, "mlp_only_layers": [0], "attention_bias": true }""",
        ["smollm3"] = """{ "model_type": "smollm3", "no_rope_layers": [0, 1] }""",
        ["smollm3 with windows"] = """{ "model_type": "smollm3", "no_rope_layer_interval": 2, "use_sliding_window": true, "sliding_window": 4, "mlp_bias": true, "attention_bias": true }""",
        ["stablelm"] = """{ "model_type": "stablelm" }""",
        ["stablelm parallel"] = """{ "model_type": "stablelm", "use_parallel_residual": true, "qk_layernorm": true, "use_qkv_bias": true, "hidden_act": "gelu", "tie_word_embeddings": true }""",
        ["starcoder2"] = """{ "model_type": "starcoder2", "sliding_window": 5 }""",
        ["starcoder2 without biases"] = """{ "model_type": "starcoder2", "use_bias": false, "hidden_act": "relu2", "tie_word_embeddings": false }""",
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
        ["opt"] = $$"""{ "hidden_size": 32, "num_attention_heads": 4, "ffn_dim": 44, "num_hidden_layers": 2, "max_position_embeddings": {{MaximumLength}} }""",
        ["phi"] = $$"""{ "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 44, "num_hidden_layers": 2, "max_position_embeddings": {{MaximumLength}} }""",
        ["stablelm"] = $$"""{ "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 44, "num_hidden_layers": 2, "max_position_embeddings": {{MaximumLength}} }""",
    };

    // Of all whose keys are Llama's.
    private static readonly string LlamaSizes = $$"""
        { "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6, "intermediate_size": 44,
          "num_hidden_layers": 2, "moe_intermediate_size": 20, "max_position_embeddings": {{MaximumLength}} }
        """;

    /// <summary>What can be started, by name.</summary>
    public static IEnumerable<string> Names => Configs.Keys;

    /// <summary>The family of a tiny model.</summary>
    public static string FamilyOf(string name) => Config(name)["model_type"]!.ToString();

    /// <summary>The configuration as it would lie on disk.</summary>
    public static JsonObject Config(string name, int vocabulary = Vocabulary)
    {
        var config = JsonNode.Parse(Configs[name])!.AsObject();
        foreach (var (key, value) in JsonNode.Parse(Sizes.GetValueOrDefault(config["model_type"]!.ToString(), LlamaSizes))!.AsObject())
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
