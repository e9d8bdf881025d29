using System.Text.Json.Nodes;
using Perenos.Checkpoints;
using Perenos.Runs;

namespace Perenos.Models;

/// <summary>
/// A <c>config.json</c> as the metadata of a GGUF file: the inverse of <see cref="GgufConfig"/>. Keys:
/// <see href="https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/constants.py"/>. What llama.cpp computes in one way only
/// is not written; that a file means what the configuration meant is checked when it is read back.
/// </summary>
internal sealed class GgufHyperparameters
{
    private readonly ConfigReader _config;
    private readonly string _prefix;
    private readonly List<KeyValuePair<string, GgufValue>> _pairs = [];

    private GgufHyperparameters(ConfigReader config, string architecture)
    {
        (_config, Architecture, _prefix) = (config, architecture, architecture + ".");
        switch (architecture)
        {
            case "gpt2":
                AddGpt2();
                break;
            case "gptneox":
                AddGptNeoX();
                break;
            default:
                AddGated();
                break;
        }
    }

    /// <summary>The architecture in GGUF's spelling.</summary>
    public string Architecture { get; }

    /// <summary>The keys of the architecture.</summary>
    public IReadOnlyList<KeyValuePair<string, GgufValue>> Pairs => _pairs;

    /// <summary>Query heads.</summary>
    public long Heads { get; private set; }

    /// <summary>Key and value heads.</summary>
    public long KeyValueHeads { get; private set; }

    /// <summary>Tensors that hold part of the configuration.</summary>
    public List<(string Name, float[] Values)> Tensors { get; } = [];

    /// <summary>What the file cannot say, one sentence each.</summary>
    public List<string> Losses { get; } = [];

    /// <summary>The architecture that holds a family, and its metadata.</summary>
    /// <exception cref="PerenosException">GGUF has no place for the family here, or for a setting.</exception>
    public static GgufHyperparameters Of(JsonObject config, string location)
    {
        string type = config["model_type"]?.ToString() ?? "(missing)";
        string? architecture = ArchitectureOf(type);
        return architecture is null
            ? throw new PerenosException(
                $"{location}: models of the type \"{type}\" cannot be written as GGUF here.",
                $"Architectures that can: {string.Join(", ", GgufLayout.Known)}. The safetensors form holds any model: --to safetensors.")
            : new GgufHyperparameters(new ConfigReader(config, location), architecture);
    }

    /// <summary>The architecture of a family, or null.</summary>
    public static string? ArchitectureOf(string modelType) => modelType switch
    {
        "mistral" => "llama",
        "gpt_neox" => "gptneox",
        "gemma3_text" => "gemma3",
        "gemma" or "gemma2" or "gpt2" or "llama" or "qwen2" or "qwen3" => modelType,
        _ => null,
    };

    private void AddGpt2()
    {
        RefuseOtherActivation("gelu_new", "gelu_fast", "gelu_pytorch_tanh");
        long width = _config.Size("n_embd");
        Heads = KeyValueHeads = _config.Size("n_head");
        Add("context_length", GgufValue.Size(_config.Size("n_positions", absent: 1024)));
        Add("embedding_length", GgufValue.Size(width));
        Add("feed_forward_length", GgufValue.Size(_config.Size("n_inner", absent: 4 * width)));
        Add("block_count", GgufValue.Size(_config.Size("n_layer")));
        Add("attention.head_count", GgufValue.Size(Heads));
        Add("attention.layer_norm_epsilon", GgufValue.Number(_config.Number("layer_norm_epsilon") ?? 1e-5));
    }

    private void AddGptNeoX()
    {
        RefuseOtherActivation("gelu");
        Heads = KeyValueHeads = _config.Size("num_attention_heads");
        var rotary = _config.Section("rope_parameters");
        double share = rotary?.Number("partial_rotary_factor") ?? _config.Number("rotary_pct") ?? 0.25;
        Add("context_length", GgufValue.Size(_config.Size("max_position_embeddings", absent: 2048)));
        Add("embedding_length", GgufValue.Size(_config.Size("hidden_size")));
        Add("feed_forward_length", GgufValue.Size(_config.Size("intermediate_size")));
        Add("block_count", GgufValue.Size(_config.Size("num_hidden_layers")));
        Add("attention.head_count", GgufValue.Size(Heads));
        Add("attention.layer_norm_epsilon", GgufValue.Number(_config.Number("layer_norm_eps") ?? 1e-5));
        Add("rope.dimension_count", GgufValue.Size((long)(share * (_config.Size("hidden_size") / Heads))));
        if ((rotary?.Number("rope_theta") ?? _config.Number("rotary_emb_base") ?? 10_000) is var theta and not 10_000)
            Add("rope.freq_base", GgufValue.Number(theta));
        Add("use_parallel_residual", GgufValue.Flag(_config.Flag("use_parallel_residual", absent: true)));
    }

    private void AddGated()
    {
        if (Architecture.StartsWith("gemma", StringComparison.Ordinal))
            RefuseOtherActivation("gelu_pytorch_tanh", "gelu_new", "gelu"); // transformers takes all three for the first
        else
            RefuseOtherActivation("silu", "swish");
        long width = _config.Size("hidden_size");
        Heads = _config.Size("num_attention_heads");
        KeyValueHeads = _config.Size("num_key_value_heads", absent: Heads);
        long headSize = _config.Size("head_dim", absent: Architecture.StartsWith("gemma", StringComparison.Ordinal) ? 256 : Architecture == "qwen3" ? 128 : width / Heads);
        Add("context_length", GgufValue.Size(_config.Size("max_position_embeddings", absent: Architecture switch { "gemma3" => 131_072, "gemma" or "gemma2" => 8192, "llama" => 2048, _ => 32_768 })));
        Add("embedding_length", GgufValue.Size(width));
        Add("feed_forward_length", GgufValue.Size(_config.Size("intermediate_size")));
        Add("block_count", GgufValue.Size(_config.Size("num_hidden_layers")));
        Add("attention.head_count", GgufValue.Size(Heads));
        Add("attention.head_count_kv", GgufValue.Size(KeyValueHeads));
        Add("attention.layer_norm_rms_epsilon", GgufValue.Number(_config.Number("rms_norm_eps") ?? 1e-6));
        Add("attention.key_length", GgufValue.Size(headSize));
        Add("attention.value_length", GgufValue.Size(headSize));
        if (Architecture == "llama")
        {
            Add("vocab_size", GgufValue.Size(_config.Size("vocab_size")));
            Add("rope.dimension_count", GgufValue.Size(headSize));
        }

        AddRotary(headSize);
        AddWindow();
        if (Architecture is "gemma2" or "gemma3")
        {
            AddCap("attn_logit_softcapping");
            AddCap("final_logit_softcapping");
        }
    }

    private void AddRotary(long headSize)
    {
        var section = _config.Section("rope_parameters") ?? _config.Section("rope_scaling");
        // Gemma 3 turns the heads of layers with a window otherwise.
        var full = section?.Section("full_attention") ?? section;
        double theta = full?.Number("rope_theta") ?? _config.Number("rope_theta") ?? (Architecture == "gemma3" ? 1_000_000 : 10_000);
        Add("rope.freq_base", GgufValue.Number(theta));
        if (Architecture == "gemma3")
            Add("rope.freq_base_swa", GgufValue.Number(section?.Section("sliding_attention")?.Number("rope_theta") ?? _config.Number("rope_local_base_freq") ?? 10_000));
        string kind = full?.Text("rope_type") ?? full?.Text("type") ?? "default";
        double Factor() => full!.Number("factor") ?? throw full.Wrong("factor", "a number");
        long Original() => full!.OptionalInteger("original_max_position_embeddings") ?? _config.OptionalInteger("original_max_position_embeddings") ?? _config.Size("max_position_embeddings");
        switch (kind)
        {
            case "default":
                return;
            case "linear":
                Add("rope.scaling.type", GgufValue.Text("linear"));
                Add("rope.scaling.factor", GgufValue.Number(Factor()));
                return;
            case "yarn":
                full!.Refuse("attention_factor", _ => false, "the factor that follows from factor; GGUF has no key for another");
                full.Refuse("truncate", node => node.GetValue<bool>(), "true");
                Add("rope.scaling.type", GgufValue.Text("yarn"));
                Add("rope.scaling.factor", GgufValue.Number(Factor()));
                Add("rope.scaling.original_context_length", GgufValue.Size(Original()));
                if (full.Number("beta_fast") is { } fast)
                    Add("rope.scaling.yarn_beta_fast", GgufValue.Number(fast));
                if (full.Number("beta_slow") is { } slow)
                    Add("rope.scaling.yarn_beta_slow", GgufValue.Number(slow));
                return;
            case "longrope":
                Add("rope.scaling.type", GgufValue.Text("longrope"));
                Add("rope.scaling.original_context_length", GgufValue.Size(Original()));
                Tensors.Add((GgufRotaryScaling.LongFactors, Numbers(full!, "long_factor")));
                Tensors.Add((GgufRotaryScaling.ShortFactors, Numbers(full!, "short_factor")));
                return;
            case "llama3":
                Add("rope.scaling.original_context_length", GgufValue.Size(Original()));
                Tensors.Add((GgufRotaryScaling.Divisors, GgufRotaryScaling.Llama3Divisors(
                    (int)(headSize / 2), theta, Factor(), full!.Number("low_freq_factor") ?? 1, full.Number("high_freq_factor") ?? 4, Original())));
                return;
            default:
                throw new PerenosException($"{full!.Location}: GGUF has no key for rope_type \"{kind}\".", "default, linear, yarn, longrope and llama3 can be written; keep the safetensors form.");
        }
    }

    private void AddWindow()
    {
        if (_config.OptionalInteger("sliding_window") is not { } window || Architecture == "gemma")
            return;
        if (Architecture is "gemma2" or "gemma3")
            Add("attention.sliding_window", GgufValue.Size(window));
        else if (_config.Flag("use_sliding_window", absent: Architecture == "llama"))
            Losses.Add($"GGUF's {Architecture} has no window of attention: beyond {window:N0} tokens a reader of the file attends to more than this model does.");
    }

    private void AddCap(string key)
    {
        if (_config.Number(key) is { } cap)
            Add(key, GgufValue.Number(cap));
    }

    // A reader of the file knows one activation for each architecture.
    private void RefuseOtherActivation(params string[] names)
    {
        foreach (string key in new[] { "hidden_act", "hidden_activation", "activation_function" })
            _config.Refuse(key, node => names.Contains(node.ToString()), $"{names[0]}, the only one that GGUF's {Architecture} has");
    }

    private static float[] Numbers(ConfigReader section, string key) => section.Json[key] is JsonArray array && array.All(node => node is JsonValue value && value.TryGetValue(out double _))
        ? [.. array.Select(node => (float)node!.GetValue<double>())]
        : throw section.Wrong(key, "a list of numbers");

    private void Add(string key, GgufValue value) => _pairs.Add(new(_prefix + key, value));
}
