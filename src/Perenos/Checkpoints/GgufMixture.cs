using Perenos.Runs;

namespace Perenos.Checkpoints;

/// <summary>
/// Which tensor of a model is stored how, as llama.cpp does it
/// (<see href="https://github.com/ggml-org/llama.cpp/blob/master/src/llama-quant.cpp"/>): vectors, norms and positions in float32; the
/// output layer, or the embedding that doubles as one, in more bits than the rest; with <c>Q4_K</c> also some of the values and of the
/// projections back (llama.cpp's Q4_K_M). Rows that are no whole blocks take the next wider type of smaller blocks.
/// </summary>
/// <param name="Name">The type that was asked for.</param>
/// <param name="FileType">Its number in <c>general.file_type</c>.</param>
internal sealed record GgufMixture(string Name, int FileType)
{
    public static IReadOnlyList<GgufMixture> All { get; } =
        [new("F32", 0), new("F16", 1), new("BF16", 32), new("Q8_0", 7), new("Q6_K", 18), new("Q4_K", 15), new("Q4_1", 3), new("Q4_0", 2)];

    /// <exception cref="PerenosException">There is none of that name.</exception>
    public static GgufMixture Named(string name) => All.FirstOrDefault(mixture => string.Equals(mixture.Name, name, StringComparison.OrdinalIgnoreCase))
        ?? throw new PerenosException($"the type {Refusal.Quote(name)} cannot be written as GGUF.", $"use {string.Join(", ", All.Select(mixture => mixture.Name.ToLowerInvariant()))}.");

    private bool IsQuantised => Name is not ("F32" or "F16" or "BF16");

    /// <summary>The type of one tensor.</summary>
    /// <param name="tensor">Its name in GGUF.</param>
    /// <param name="shape">Its sizes, outermost first.</param>
    /// <param name="layers">Layers of the model.</param>
    /// <param name="isTied">Whether the embedding is the output layer too.</param>
    public string TypeOf(string tensor, long[] shape, long layers, bool isTied)
    {
        if (shape.Length < 2 || tensor.EndsWith("_norm.weight", StringComparison.Ordinal) || tensor == "position_embd.weight")
            return "F32";
        if (!IsQuantised)
            return Name;
        string type = Name;
        if (tensor == "output.weight" || isTied && tensor == "token_embd.weight")
            type = Name == "Q8_0" ? Name : "Q6_K";
        else if (Name == "Q4_K" && IsSensitive(tensor, layers))
            type = "Q6_K";
        return Fit(type, shape[^1]);
    }

    // The first and the last eighth of the layers, and every third between.
    private static bool IsSensitive(string tensor, long layers)
    {
        string[] parts = tensor.Split('.');
        if (parts is not ["blk", var number, "attn_v" or "attn_qkv" or "ffn_down", "weight"] || !long.TryParse(number, out long layer))
            return false;
        return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
    }

    private static string Fit(string type, long row)
    {
        if (row % GgmlType.Named(type).BlockSize == 0)
            return type;
        string smaller = type switch { "Q4_K" => "Q5_0", "Q6_K" => "Q8_0", _ => "F16" };
        return row % GgmlType.Named(smaller).BlockSize == 0 ? smaller : "F16";
    }
}
