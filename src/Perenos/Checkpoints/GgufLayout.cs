using System.Text.RegularExpressions;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Checkpoints;

/// <summary>How a tensor of llama.cpp differs from Hugging Face's.</summary>
internal enum GgufChange
{
    /// <summary>Equal.</summary>
    None,

    /// <summary>Rows of queries: within each head the two halves of the rotation are interleaved.</summary>
    QueryRows,

    /// <summary>Rows of keys, likewise.</summary>
    KeyRows,

    /// <summary>[out, in] where GPT-2's Conv1D has [in, out].</summary>
    Transposed,

    /// <summary>Rows of query, key and value as [3, head, d] where GPT-NeoX has [head, 3, d].</summary>
    FusedRows,

    /// <summary>1 + w where Gemma's norms have w, to which they add 1 when they compute.</summary>
    PlusOne,
}

/// <summary>
/// Names and layouts of one architecture in GGUF and in Hugging Face. Names: <see href="https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/tensor_mapping.py"/>.
/// </summary>
internal sealed partial class GgufLayout
{
    private const string Block = "blk.N.";

    /// <summary>Names of everything but norms and biases that gated models with separate query, key and value share.</summary>
    private static readonly (string Gguf, string Name, GgufChange Change)[] Gated =
    [
        ("token_embd", "model.embed_tokens", GgufChange.None),
        ("output", "lm_head", GgufChange.None),
        ("blk.N.attn_q", "self_attn.q_proj", GgufChange.None),
        ("blk.N.attn_k", "self_attn.k_proj", GgufChange.None),
        ("blk.N.attn_v", "self_attn.v_proj", GgufChange.None),
        ("blk.N.attn_output", "self_attn.o_proj", GgufChange.None),
        ("blk.N.ffn_gate", "mlp.gate_proj", GgufChange.None),
        ("blk.N.ffn_up", "mlp.up_proj", GgufChange.None),
        ("blk.N.ffn_down", "mlp.down_proj", GgufChange.None),
    ];

    private static readonly GgufLayout Llama = new("model.layers.N.",
    [
        .. Gated.Select(module => module with
        {
            Change = module.Gguf switch { "blk.N.attn_q" => GgufChange.QueryRows, "blk.N.attn_k" => GgufChange.KeyRows, _ => GgufChange.None },
        }),
        .. Norms(GgufChange.None),
    ]);

    // Its rotation is the half-split kind in llama.cpp too: nothing is interleaved.
    private static readonly GgufLayout Qwen2 = new("model.layers.N.", [.. Gated, .. Norms(GgufChange.None)]);

    private static readonly GgufLayout Qwen3 = new("model.layers.N.", [.. Gated, .. Norms(GgufChange.None), .. HeadNorms(GgufChange.None)]);

    private static readonly GgufLayout Gemma = new("model.layers.N.", [.. Gated, .. Norms(GgufChange.PlusOne)]);

    private static readonly GgufLayout Gemma2 = new("model.layers.N.", [.. Gated, .. SandwichNorms()]);

    private static readonly GgufLayout Gemma3 = new("model.layers.N.", [.. Gated, .. SandwichNorms(), .. HeadNorms(GgufChange.PlusOne)]);

    private static readonly GgufLayout Gpt2 = new("transformer.h.N.",
    [
        ("token_embd", "transformer.wte", GgufChange.None),
        ("position_embd", "transformer.wpe", GgufChange.None),
        ("output_norm", "transformer.ln_f", GgufChange.None),
        ("output", "lm_head", GgufChange.None),
        ("blk.N.attn_norm", "ln_1", GgufChange.None),
        ("blk.N.attn_qkv", "attn.c_attn", GgufChange.Transposed),
        ("blk.N.attn_output", "attn.c_proj", GgufChange.Transposed),
        ("blk.N.ffn_norm", "ln_2", GgufChange.None),
        ("blk.N.ffn_up", "mlp.c_fc", GgufChange.Transposed),
        ("blk.N.ffn_down", "mlp.c_proj", GgufChange.Transposed),
    ]);

    private static readonly GgufLayout GptNeoX = new("gpt_neox.layers.N.",
    [
        ("token_embd", "gpt_neox.embed_in", GgufChange.None),
        ("output_norm", "gpt_neox.final_layer_norm", GgufChange.None),
        ("output", "embed_out", GgufChange.None),
        ("blk.N.attn_norm", "input_layernorm", GgufChange.None),
        ("blk.N.attn_qkv", "attention.query_key_value", GgufChange.FusedRows),
        ("blk.N.attn_output", "attention.dense", GgufChange.None),
        ("blk.N.ffn_norm", "post_attention_layernorm", GgufChange.None),
        ("blk.N.ffn_up", "mlp.dense_h_to_4h", GgufChange.None),
        ("blk.N.ffn_down", "mlp.dense_4h_to_h", GgufChange.None),
    ]);

    private static readonly Dictionary<string, GgufLayout> Architectures = new(StringComparer.Ordinal)
    {
        ["gemma"] = Gemma,
        ["gemma2"] = Gemma2,
        ["gemma3"] = Gemma3,
        ["gpt2"] = Gpt2,
        ["gptneox"] = GptNeoX,
        ["llama"] = Llama,
        ["qwen2"] = Qwen2,
        ["qwen3"] = Qwen3,
    };

    private readonly Dictionary<string, (string Name, GgufChange Change)> _modules;
    private readonly Dictionary<string, string> _names;

    private GgufLayout(string layer, (string Gguf, string Name, GgufChange Change)[] modules)
    {
        _modules = modules.ToDictionary(
            m => m.Gguf,
            m => (m.Gguf.StartsWith(Block, StringComparison.Ordinal) ? layer + m.Name : m.Name, m.Change),
            StringComparer.Ordinal);
        _names = _modules.ToDictionary(m => m.Value.Name, m => m.Key, StringComparer.Ordinal);
    }

    /// <summary>The architectures that can be read and written.</summary>
    public static IEnumerable<string> Known => Architectures.Keys;

    /// <summary>The layout of an architecture as GGUF spells it.</summary>
    /// <exception cref="PerenosException">It is not known here.</exception>
    public static GgufLayout Of(string architecture, string location) => Architectures.TryGetValue(architecture, out var layout)
        ? layout
        : throw new PerenosException(
            $"{location} is of the architecture {Refusal.Quote(architecture)}, which is not known here.", $"known are {string.Join(", ", Known)}.");

    /// <summary>The Hugging Face name and what to change, or null for a name that has no place in the architecture.</summary>
    public (string Name, GgufChange Change)? Translate(string gguf)
    {
        var match = NameParts().Match(gguf);
        if (!match.Success)
            return null;
        string number = match.Groups["layer"].Value, suffix = match.Groups["suffix"].Value;
        string module = (number.Length > 0 ? Block : "") + match.Groups["module"].Value;
        if (!_modules.TryGetValue(module, out var found))
            return null;
        return ($"{found.Name.Replace(".N.", $".{number}.", StringComparison.Ordinal)}.{suffix}", Change(module, suffix));
    }

    /// <summary>The GGUF name of a Hugging Face name and what <see cref="Revert"/> has to do, or null for a name that has no place.</summary>
    public (string Gguf, GgufChange Change)? Place(string name)
    {
        int end = name.LastIndexOf('.');
        if (end < 0 || name[(end + 1)..] is not ("weight" or "bias"))
            return null;
        string module = name[..end];
        var number = LayerNumber().Match(module);
        if (number.Success)
            module = $"{module[..number.Index]}.N.{module[(number.Index + number.Length)..]}";
        return _names.TryGetValue(module, out string? found)
            ? ($"{found.Replace(".N.", $".{number.Groups[1].Value}.", StringComparison.Ordinal)}{name[end..]}", Change(found, name[(end + 1)..]))
            : null;
    }

    /// <summary>The shape after <see cref="Apply"/>, and after <see cref="Revert"/>.</summary>
    public static long[] ShapeAfter(GgufChange change, long[] shape) =>
        change == GgufChange.Transposed && shape.Length == 2 ? [shape[1], shape[0]] : shape;

    /// <summary>The tensor in Hugging Face's layout. <paramref name="heads"/> divides the rows evenly, which has been checked.</summary>
    public static Tensor Apply(GgufChange change, Tensor tensor, long heads)
    {
        long[] shape = tensor.shape;
        long[] rest = shape[1..];
        return change switch
        {
            GgufChange.Transposed => tensor.t(),
            // [head, d/2, 2, …] -> [head, 2, d/2, …]
            GgufChange.QueryRows or GgufChange.KeyRows =>
                tensor.view([heads, shape[0] / heads / 2, 2, .. rest]).transpose(1, 2).reshape(shape),
            // [3, head, d, …] -> [head, 3, d, …]
            GgufChange.FusedRows => tensor.view([3, heads, shape[0] / heads / 3, .. rest]).transpose(0, 1).reshape(shape),
            GgufChange.PlusOne => tensor.Plus(-1),
            _ => tensor,
        };
    }

    /// <summary>The tensor in GGUF's layout: the inverse of <see cref="Apply"/>.</summary>
    public static Tensor Revert(GgufChange change, Tensor tensor, long heads)
    {
        long[] shape = tensor.shape;
        long[] rest = shape[1..];
        return change switch
        {
            GgufChange.Transposed => tensor.t(),
            // [head, 2, d/2, …] -> [head, d/2, 2, …]
            GgufChange.QueryRows or GgufChange.KeyRows =>
                tensor.view([heads, 2, shape[0] / heads / 2, .. rest]).transpose(1, 2).reshape(shape),
            // [head, 3, d, …] -> [3, head, d, …]
            GgufChange.FusedRows => tensor.view([heads, 3, shape[0] / heads / 3, .. rest]).transpose(0, 1).reshape(shape),
            GgufChange.PlusOne => tensor.Plus(1),
            _ => tensor,
        };
    }

    /// <summary>What the number of rows must be a multiple of.</summary>
    public static long RowUnit(GgufChange change, long heads) => change switch
    {
        GgufChange.QueryRows or GgufChange.KeyRows => heads * 2,
        GgufChange.FusedRows => heads * 3,
        _ => 1,
    };

    // A bias is one row long: transposing it changes nothing.
    private GgufChange Change(string module, string suffix) =>
        _modules[module].Change is GgufChange.Transposed && suffix == "bias" ? GgufChange.None : _modules[module].Change;

    private static (string Gguf, string Name, GgufChange Change)[] Norms(GgufChange change) =>
    [
        ("output_norm", "model.norm", change),
        ("blk.N.attn_norm", "input_layernorm", change),
        ("blk.N.ffn_norm", "post_attention_layernorm", change),
    ];

    /// <summary>Before and behind each of the two parts of a layer.</summary>
    private static (string Gguf, string Name, GgufChange Change)[] SandwichNorms() =>
    [
        ("output_norm", "model.norm", GgufChange.PlusOne),
        ("blk.N.attn_norm", "input_layernorm", GgufChange.PlusOne),
        ("blk.N.post_attention_norm", "post_attention_layernorm", GgufChange.PlusOne),
        ("blk.N.ffn_norm", "pre_feedforward_layernorm", GgufChange.PlusOne),
        ("blk.N.post_ffw_norm", "post_feedforward_layernorm", GgufChange.PlusOne),
    ];

    private static (string Gguf, string Name, GgufChange Change)[] HeadNorms(GgufChange change) =>
    [
        ("blk.N.attn_q_norm", "self_attn.q_norm", change),
        ("blk.N.attn_k_norm", "self_attn.k_norm", change),
    ];

    [GeneratedRegex(@"\.(0|[1-9][0-9]{0,4})\.", RegexOptions.CultureInvariant)]
    private static partial Regex LayerNumber();

    [GeneratedRegex(@"^(?:blk\.(?<layer>0|[1-9][0-9]{0,4})\.)?(?<module>[a-z_]+)\.(?<suffix>weight|bias)$", RegexOptions.CultureInvariant)]
    private static partial Regex NameParts();
}
