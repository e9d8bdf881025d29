using System.Text.Json.Nodes;
using Perenos.Runs;

namespace Perenos.Checkpoints;

/// <summary>Writes the metadata of a GGUF model as the <c>config.json</c> of its Hugging Face twin (spelling of transformers 4, which 5 reads too).</summary>
public static class GgufConfig
{
    /// <summary>The configuration of a llama, gpt2 or gptneox file.</summary>
    /// <exception cref="PerenosException">A size is missing, the architecture is unknown, or it has a variant that the twin cannot express.</exception>
    public static JsonObject ToHuggingFace(GgufFile file)
    {
        var config = file.Architecture switch
        {
            "llama" => Llama(file),
            "gpt2" => Gpt2(file),
            "gptneox" => GptNeoX(file),
            _ => throw new PerenosException(
                $"{file.Location} is of the architecture {Refusal.Quote(file.Architecture)}, which is not known here.", "known are llama, gpt2 and gptneox."),
        };
        config["vocab_size"] = file.Tensors.GetValueOrDefault("token_embd.weight") is { Shape: [var rows, _] }
            ? rows
            : throw Refusal.Malformed(file.Location, "it lacks the embedding token_embd.weight");
        config["tie_word_embeddings"] = !file.Tensors.ContainsKey("output.weight");
        foreach (var (key, name) in new[] { ("bos", "bos"), ("eos", "eos"), ("padding", "pad") })
        {
            if (file.Integer($"tokenizer.ggml.{key}_token_id") is { } id)
                config[$"{name}_token_id"] = id;
        }

        // Read back as from a file: a number that a program put there is read as its own type only.
        return JsonNode.Parse(config.ToJsonString())!.AsObject();
    }

    private static JsonObject Llama(GgufFile file)
    {
        if (file.Integer("llama.expert_count") is > 0 and var experts)
            throw new PerenosException($"{file.Location} is a mixture of {experts} experts.", "only dense llama models can be read from GGUF.");
        long width = Size(file, "embedding_length"), heads = Size(file, "attention.head_count");
        long headSize = file.Integer("llama.attention.key_length") ?? width / heads;
        if (file.Integer("llama.rope.dimension_count") is { } rotated && rotated != headSize)
            throw new PerenosException($"{file.Location} rotates {rotated} of {headSize} dimensions of a head.", "Hugging Face's llama rotates all of them.");
        return new JsonObject
        {
            ["architectures"] = new JsonArray("LlamaForCausalLM"),
            ["model_type"] = "llama",
            ["hidden_size"] = width,
            ["intermediate_size"] = Size(file, "feed_forward_length"),
            ["num_hidden_layers"] = Size(file, "block_count"),
            ["num_attention_heads"] = heads,
            ["num_key_value_heads"] = file.Integer("llama.attention.head_count_kv") ?? heads,
            ["head_dim"] = headSize,
            ["max_position_embeddings"] = Size(file, "context_length"),
            ["hidden_act"] = "silu",
            ["rms_norm_eps"] = Required(file, "attention.layer_norm_rms_epsilon"),
            ["rope_theta"] = file.Number("llama.rope.freq_base") ?? 10_000.0,
            ["rope_scaling"] = Scaling(file),
            ["attention_bias"] = file.Tensors.ContainsKey("blk.0.attn_q.bias"),
            ["mlp_bias"] = file.Tensors.ContainsKey("blk.0.ffn_up.bias"),
        };
    }

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

    private static JsonObject? Scaling(GgufFile file)
    {
        if (file.Tensors.ContainsKey(GgufSource.RotaryFactors))
            return Llama3Scaling(file);
        double? factor = file.Number("llama.rope.scaling.factor");
        return file.Text("llama.rope.scaling.type") switch
        {
            null or "none" => null,
            "linear" when factor is { } f => new JsonObject { ["rope_type"] = "linear", ["factor"] = f },
            "yarn" when factor is { } f && file.Integer("llama.rope.scaling.original_context_length") is { } original =>
                new JsonObject { ["rope_type"] = "yarn", ["factor"] = f, ["original_max_position_embeddings"] = original },
            var type => throw new PerenosException(
                $"{file.Location} scales its rotary positions by {Refusal.Quote(type!)} without the numbers it takes, or in a way not known here.",
                "known are linear and yarn; use the safetensors form of the model."),
        };
    }

    /// <summary>
    /// Llama 3's converter stores one divisor for each frequency instead of the four numbers it came from. Released models have
    /// 1, 4 and 8,192 for three of them, and the fourth is the largest divisor; if these do not give the stored divisors back, the file is refused.
    /// </summary>
    private static JsonObject Llama3Scaling(GgufFile file)
    {
        const double LowFrequency = 1, HighFrequency = 4, OriginalContext = 8_192;
        using var tensor = file.Read(GgufSource.RotaryFactors, TorchSharp.torch.ScalarType.Float32);
        float[] divisors = tensor.data<float>().ToArray();
        double theta = file.Number("llama.rope.freq_base") ?? 10_000, factor = divisors.Length > 0 ? divisors.Max() : 1;
        for (int i = 0; i < divisors.Length; i++)
        {
            double wavelength = 2 * Math.PI * Math.Pow(theta, (double)i / divisors.Length);
            double smooth = Math.Clamp((OriginalContext / wavelength - LowFrequency) / (HighFrequency - LowFrequency), 0, 1);
            double expected = 1 / ((1 - smooth) / factor + smooth);
            if (!(Math.Abs(divisors[i] - expected) <= 1e-3 * expected))
            {
                throw new PerenosException(
                    $"{file.Location} rescales its rotary frequencies ({GgufSource.RotaryFactors}) in a way that is not Llama 3's.",
                    "use the safetensors form of the model.");
            }
        }

        return new JsonObject
        {
            ["rope_type"] = "llama3",
            ["factor"] = factor,
            ["low_freq_factor"] = LowFrequency,
            ["high_freq_factor"] = HighFrequency,
            ["original_max_position_embeddings"] = (long)OriginalContext,
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
