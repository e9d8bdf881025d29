using System.Text.RegularExpressions;
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
}

/// <summary>
/// Names and layouts of one architecture in GGUF and in Hugging Face. Names: <see href="https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/tensor_mapping.py"/>.
/// </summary>
internal sealed partial class GgufLayout
{
    private const string Block = "blk.N.";

    private static readonly GgufLayout Llama = new("model.layers.N.",
    [
        ("token_embd", "model.embed_tokens", GgufChange.None),
        ("output_norm", "model.norm", GgufChange.None),
        ("output", "lm_head", GgufChange.None),
        ("blk.N.attn_norm", "input_layernorm", GgufChange.None),
        ("blk.N.attn_q", "self_attn.q_proj", GgufChange.QueryRows),
        ("blk.N.attn_k", "self_attn.k_proj", GgufChange.KeyRows),
        ("blk.N.attn_v", "self_attn.v_proj", GgufChange.None),
        ("blk.N.attn_output", "self_attn.o_proj", GgufChange.None),
        ("blk.N.ffn_norm", "post_attention_layernorm", GgufChange.None),
        ("blk.N.ffn_gate", "mlp.gate_proj", GgufChange.None),
        ("blk.N.ffn_up", "mlp.up_proj", GgufChange.None),
        ("blk.N.ffn_down", "mlp.down_proj", GgufChange.None),
    ]);

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

    private readonly Dictionary<string, (string Name, GgufChange Change)> _modules;

    private GgufLayout(string layer, (string Gguf, string Name, GgufChange Change)[] modules) =>
        _modules = modules.ToDictionary(
            m => m.Gguf,
            m => (m.Gguf.StartsWith(Block, StringComparison.Ordinal) ? layer + m.Name : m.Name, m.Change),
            StringComparer.Ordinal);

    /// <summary>Null where the architecture is not known here.</summary>
    public static GgufLayout? Find(string architecture) => architecture switch
    {
        "llama" => Llama,
        "gpt2" => Gpt2,
        "gptneox" => GptNeoX,
        _ => null,
    };

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
        // A bias is one row long: transposing it changes nothing.
        var change = found.Change == GgufChange.Transposed && suffix == "bias" ? GgufChange.None : found.Change;
        return ($"{found.Name.Replace(".N.", $".{number}.", StringComparison.Ordinal)}.{suffix}", change);
    }

    /// <summary>The shape after <see cref="Apply"/>.</summary>
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

    [GeneratedRegex(@"^(?:blk\.(?<layer>0|[1-9][0-9]{0,4})\.)?(?<module>[a-z_]+)\.(?<suffix>weight|bias)$", RegexOptions.CultureInvariant)]
    private static partial Regex NameParts();
}
