using System.Text.RegularExpressions;
using Perenos.Checkpoints;

namespace Perenos.Recipes;

/// <summary>A part of a model.</summary>
/// <param name="Name">embedding, attention, feed-forward, experts, norms, head, or other.</param>
/// <param name="Tensors">How many.</param>
/// <param name="Parameters">Their values.</param>
/// <param name="Bytes">Their size on disk.</param>
/// <param name="Types">Types on disk, most values first.</param>
public sealed record ParameterPart(string Name, int Tensors, long Parameters, long Bytes, IReadOnlyList<string> Types);

/// <summary>Sorts tensors into parts by their names, which are enough for every family that is known here, and for most others.</summary>
internal static partial class ParameterParts
{
    private static readonly string[] Order = ["embedding", "attention", "feed-forward", "experts", "norms", "head", "other"];

    public static IReadOnlyList<ParameterPart> Of(IEnumerable<TensorInfo> tensors) =>
    [
        .. tensors.GroupBy(tensor => PartOf(tensor.Name)).OrderBy(part => Array.IndexOf(Order, part.Key)).Select(part => new ParameterPart(
            part.Key, part.Count(), part.Sum(Count), part.Sum(tensor => tensor.Length),
            [.. part.GroupBy(tensor => tensor.DType).OrderByDescending(type => type.Sum(Count)).Select(type => type.Key)])),
    ];

    public static long Count(TensorInfo tensor) => tensor.Shape.Aggregate(1L, (product, size) => product * size);

    internal static string PartOf(string name)
    {
        // Norms first: they lie inside the other parts.
        if (Norms().IsMatch(name))
            return "norms";
        if (Experts().IsMatch(name))
            return "experts";
        if (Head().IsMatch(name))
            return "head";
        if (Embedding().IsMatch(name))
            return "embedding";
        return FeedForward().IsMatch(name) ? "feed-forward" : Attention().IsMatch(name) ? "attention" : "other";
    }

    [GeneratedRegex(@"(^|[._])(layer_?norm|norm|ln|rms_?norm)[_\w]*\.(weight|bias)$|(^|\.)ln_\w+\.(weight|bias)$|norm\d?\.(weight|bias)$|\.(q|k)_layernorm\.", RegexOptions.CultureInvariant)]
    private static partial Regex Norms();

    [GeneratedRegex(@"\.experts\.|block_sparse_moe|\.router\.|shared_expert|mlp\.gate\.weight$", RegexOptions.CultureInvariant)]
    private static partial Regex Experts();

    [GeneratedRegex(@"^(lm_head|embed_out|output_projection|score)\.", RegexOptions.CultureInvariant)]
    private static partial Regex Head();

    [GeneratedRegex(@"(^|\.)(embed_tokens|embed_in|wte|wpe|word_embeddings|embed_positions|word_embeddings_layernorm)\.", RegexOptions.CultureInvariant)]
    private static partial Regex Embedding();

    [GeneratedRegex(@"\.(mlp|ffn|feed_forward|fc1|fc2|fc_in|fc_out|dense_h_to_4h|dense_4h_to_h)\.", RegexOptions.CultureInvariant)]
    private static partial Regex FeedForward();

    [GeneratedRegex(@"\.(self_attn|self_attention|attention|attn)\.", RegexOptions.CultureInvariant)]
    private static partial Regex Attention();
}
