using System.Text.Json.Nodes;
using Perenos.Runs;

namespace Perenos.Checkpoints;

/// <summary>Writes the metadata of a GGUF model as the <c>config.json</c> of its Hugging Face twin (spelling of transformers 4, which 5 reads too).</summary>
public static class GgufConfig
{
    private static readonly string[] Ends = ["eos", "eot", "eom"];

    /// <summary>The configuration of a model file of any architecture that can be read.</summary>
    /// <exception cref="PerenosException">A size is missing, the architecture is unknown, or it has a variant that the twin cannot express.</exception>
    public static JsonObject ToHuggingFace(GgufFile file)
    {
        _ = GgufLayout.Of(file.Architecture, file.Location);
        var config = file.Architecture switch
        {
            "gpt2" => Gpt2(file),
            "gptneox" => GptNeoX(file),
            "llama" => Llama(file),
            "qwen2" => Qwen(file, "Qwen2ForCausalLM"),
            "qwen3" => Qwen(file, "Qwen3ForCausalLM"),
            "gemma" => Gemma(file, "GemmaForCausalLM", "gemma"),
            "gemma2" => Gemma2(file),
            _ => Gemma3(file),
        };
        config["vocab_size"] = file.Tensors.GetValueOrDefault("token_embd.weight") is { Shape: [var rows, _] }
            ? rows
            : throw Refusal.Malformed(file.Location, "it lacks the embedding token_embd.weight");
        config["tie_word_embeddings"] = !file.Tensors.ContainsKey("output.weight");
        foreach (var (key, name) in new[] { ("bos", "bos"), ("padding", "pad") })
        {
            if (file.Integer($"tokenizer.ggml.{key}_token_id") is { } id)
                config[$"{name}_token_id"] = id;
        }

        // The end of a text, of a turn, and of a message that asks for a tool: each ends what a model says.
        long[] ends = [.. Ends.Select(end => file.Integer($"tokenizer.ggml.{end}_token_id")).OfType<long>().Distinct()];
        if (ends.Length > 0)
            config["eos_token_id"] = ends.Length == 1 ? ends[0] : new JsonArray([.. ends.Select(id => (JsonNode)id)]);

        // Read back as from a file: a number that a program put there is read as its own type only.
        return JsonNode.Parse(config.ToJsonString())!.AsObject();
    }

    private static JsonObject Llama(GgufFile file)
    {
        var config = Gated(file, "LlamaForCausalLM", "llama");
        long headSize = config["head_dim"]!.GetValue<long>();
        if (file.Integer("llama.rope.dimension_count") is { } rotated && rotated != headSize)
            throw new PerenosException($"{file.Location} rotates {rotated} of {headSize} dimensions of a head.", "Hugging Face's llama rotates all of them.");
        config["hidden_act"] = "silu";
        config["rope_scaling"] = GgufRotaryScaling.Read(file);
        config["attention_bias"] = file.Tensors.ContainsKey("blk.0.attn_q.bias");
        config["mlp_bias"] = file.Tensors.ContainsKey("blk.0.ffn_up.bias");
        return config;
    }

    private static JsonObject Qwen(GgufFile file, string architecture)
    {
        var config = Gated(file, architecture, file.Architecture);
        config["hidden_act"] = "silu";
        config["rope_scaling"] = GgufRotaryScaling.Read(file);
        config["use_sliding_window"] = false;
        if (file.Architecture == "qwen3")
            config["attention_bias"] = file.Tensors.ContainsKey("blk.0.attn_q.bias");
        return config;
    }

    private static JsonObject Gemma(GgufFile file, string architecture, string type)
    {
        var config = Gated(file, architecture, type);
        config["hidden_act"] = "gelu_pytorch_tanh";
        config["hidden_activation"] = "gelu_pytorch_tanh";
        config["attention_bias"] = file.Tensors.ContainsKey("blk.0.attn_q.bias");
        return config;
    }

    private static JsonObject Gemma2(GgufFile file)
    {
        var config = Gemma(file, "Gemma2ForCausalLM", "gemma2");
        long layers = Size(file, "block_count");
        config["query_pre_attn_scalar"] = ScoreDivisor(config, isLargest: layers == 46);
        config["attn_logit_softcapping"] = file.Number("gemma2.attn_logit_softcapping") ?? 50.0;
        config["final_logit_softcapping"] = file.Number("gemma2.final_logit_softcapping") ?? 30.0;
        config["sliding_window"] = file.Integer("gemma2.attention.sliding_window") ?? 4096;
        config["layer_types"] = LayerTypes(file, layers, period: 2);
        return config;
    }

    private static JsonObject Gemma3(GgufFile file)
    {
        var config = Gemma(file, "Gemma3ForCausalLM", "gemma3_text");
        long layers = Size(file, "block_count");
        config["rope_theta"] = file.Number("gemma3.rope.freq_base") ?? 1_000_000.0;
        config["rope_local_base_freq"] = file.Number("gemma3.rope.freq_base_swa") ?? 10_000.0;
        config["rope_scaling"] = GgufRotaryScaling.Read(file);
        config["query_pre_attn_scalar"] = ScoreDivisor(config, isLargest: layers == 62);
        config["attn_logit_softcapping"] = null;
        config["final_logit_softcapping"] = file.Number("gemma3.final_logit_softcapping");
        config["sliding_window"] = file.Integer("gemma3.attention.sliding_window")
            ?? throw Refusal.Malformed(file.Location, "it lacks gemma3.attention.sliding_window");
        config["layer_types"] = LayerTypes(file, layers, period: 6);
        return config;
    }

    /// <summary>What the gated models have in common.</summary>
    private static JsonObject Gated(GgufFile file, string architecture, string type)
    {
        if (file.Integer($"{file.Architecture}.expert_count") is > 0 and var experts)
            throw new PerenosException($"{file.Location} is a mixture of {experts} experts.", "only dense models can be read from GGUF.");
        long width = Size(file, "embedding_length"), heads = Size(file, "attention.head_count");
        return new JsonObject
        {
            ["architectures"] = new JsonArray(architecture),
            ["model_type"] = type,
            ["hidden_size"] = width,
            ["intermediate_size"] = Size(file, "feed_forward_length"),
            ["num_hidden_layers"] = Size(file, "block_count"),
            ["num_attention_heads"] = heads,
            ["num_key_value_heads"] = file.Integer($"{file.Architecture}.attention.head_count_kv") ?? heads,
            ["head_dim"] = file.Integer($"{file.Architecture}.attention.key_length") ?? width / heads,
            ["max_position_embeddings"] = Size(file, "context_length"),
            ["rms_norm_eps"] = Required(file, "attention.layer_norm_rms_epsilon"),
            ["rope_theta"] = file.Number($"{file.Architecture}.rope.freq_base") ?? 10_000.0,
        };
    }

    /// <summary>
    /// Scores are divided by the root of this number. GGUF does not hold it: llama.cpp takes the size of a head, but in the largest
    /// model of each generation, which it knows by its layers, width / heads.
    /// </summary>
    private static long ScoreDivisor(JsonObject config, bool isLargest) => isLargest
        ? config["hidden_size"]!.GetValue<long>() / config["num_attention_heads"]!.GetValue<long>()
        : config["head_dim"]!.GetValue<long>();

    /// <summary>Windows in all layers but the last of each period.</summary>
    private static JsonArray LayerTypes(GgufFile file, long layers, int period) => layers <= file.Tensors.Count
        ? new([.. Enumerable.Range(1, (int)layers).Select(layer => (JsonNode)(layer % period == 0 ? "full_attention" : "sliding_attention"))])
        : throw Refusal.Malformed(file.Location, $"it claims {layers:N0} layers but holds {file.Tensors.Count:N0} tensors");

    private static JsonObject Gpt2(GgufFile file)
    {
        long width = Size(file, "embedding_length"), inner = Size(file, "feed_forward_length");
        return new JsonObject
        {
            ["architectures"] = new JsonArray("GPT2LMHeadModel"),
            ["model_type"] = "gpt2",
            ["n_embd"] = width,
            ["n_head"] = Size(file, "attention.head_count"),
            ["n_layer"] = Size(file, "block_count"),
            ["n_positions"] = Size(file, "context_length"),
            ["n_inner"] = inner == 4 * width ? null : inner,
            ["activation_function"] = "gelu_new",
            ["layer_norm_epsilon"] = Required(file, "attention.layer_norm_epsilon"),
        };
    }

    private static JsonObject GptNeoX(GgufFile file)
    {
        long width = Size(file, "embedding_length"), heads = Size(file, "attention.head_count");
        return new JsonObject
        {
            ["architectures"] = new JsonArray("GPTNeoXForCausalLM"),
            ["model_type"] = "gpt_neox",
            ["hidden_size"] = width,
            ["intermediate_size"] = Size(file, "feed_forward_length"),
            ["num_hidden_layers"] = Size(file, "block_count"),
            ["num_attention_heads"] = heads,
            ["max_position_embeddings"] = Size(file, "context_length"),
            ["hidden_act"] = "gelu",
            ["layer_norm_eps"] = Required(file, "attention.layer_norm_epsilon"),
            ["rotary_pct"] = (double)Size(file, "rope.dimension_count") / (width / heads),
            // llama.cpp's converter does not store the base.
            ["rotary_emb_base"] = file.Number("gptneox.rope.freq_base") ?? 10_000.0,
            ["use_parallel_residual"] = file.Flag("gptneox.use_parallel_residual") ?? true,
            ["attention_bias"] = file.Tensors.ContainsKey("blk.0.attn_qkv.bias"),
        };
    }

    private static long Size(GgufFile file, string key) => file.Integer($"{file.Architecture}.{key}") switch
    {
        > 0 and <= int.MaxValue and var size => size,
        null => throw Refusal.Malformed(file.Location, $"it lacks {file.Architecture}.{key}"),
        var size => throw Refusal.Malformed(file.Location, $"its {file.Architecture}.{key} is {size}"),
    };

    private static double Required(GgufFile file, string key) =>
        file.Number($"{file.Architecture}.{key}") ?? throw Refusal.Malformed(file.Location, $"it lacks {file.Architecture}.{key}");
}
