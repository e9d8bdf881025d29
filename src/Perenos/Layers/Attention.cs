using static TorchSharp.torch;

namespace Perenos.Layers;

/// <summary>Causal attention over heads, with grouped keys and values and a cache.</summary>
public static class CausalAttention
{
    /// <summary>softmax(q kᵀ / √D) v, each token seeing those before it and itself.</summary>
    /// <param name="query">(B, H, T, D).</param>
    /// <param name="key">(B, G, T, D), G divides H (Ainslie et al. 2023, https://arxiv.org/abs/2305.13245).</param>
    /// <param name="value">(B, G, T, D).</param>
    /// <param name="context">Mask and cache of the call.</param>
    /// <param name="layer">Which layer asks, for the cache.</param>
    /// <param name="window">Tokens that each token sees, itself and those just before it; all by default.</param>
    /// <param name="scale">Factor of the scores instead of 1 / √D.</param>
    /// <param name="cap">c in c · tanh(score / c), by which scores stay below c; none by default.</param>
    /// <returns>(B, T, H · D), the heads side by side.</returns>
    public static Tensor Attend(
        Tensor query, Tensor key, Tensor value, ForwardContext context, int layer, long? window = null, double? scale = null, double? cap = null)
    {
        using var scope = NewDisposeScope();
        if (context.Prefix is not null)
            (key, value) = (context.Before(key, 2 * layer), context.Before(value, 2 * layer + 1));
        if (context.Cache is not null)
            (key, value) = context.Cache.Append(layer, key, value);
        long heads = query.shape[1], groups = key.shape[1];
        if (groups != heads)
            (key, value) = (Spread(key, heads / groups), Spread(value, heads / groups));

        // The kernel divides by √D.
        if (scale is not null)
            query = query.Times(scale.Value * Math.Sqrt(query.shape[3]));
        var mask = window is null ? context.Mask : context.MaskWithin(window.Value, query.dtype);
        bool isCausal = mask is null && query.shape[2] > 1;
        var mixed = cap is null
            ? nn.functional.scaled_dot_product_attention(query, key, value, attn_mask: mask, is_casual: isCausal)
            : AttendCapped(query, key, value, isCausal ? context.CausalMask(query.dtype) : mask, cap.Value);
        // (B, H, T, D) -> (B, T, H · D)
        return mixed.transpose(1, 2).reshape(query.shape[0], query.shape[2], -1).MoveToOuterDisposeScope();
    }

    // No kernel of the engine caps scores.
    private static Tensor AttendCapped(Tensor query, Tensor key, Tensor value, Tensor? mask, double cap)
    {
        using var scope = NewDisposeScope();
        var scores = query.Times(1 / (cap * Math.Sqrt(query.shape[3]))).matmul(key.transpose(-2, -1)).tanh().Times(cap); // (B, H, T, K)
        if (mask is not null)
            scores = scores.Plus(mask);
        // float32: softmax loses mass in bfloat16 for long rows.
        var weights = nn.functional.softmax(scores, -1, scores.dtype == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32);
        return weights.to(value.dtype).matmul(value).MoveToOuterDisposeScope();
    }

    // (B, G, K, D) -> (B, G · times, K, D), each group's head repeated for its queries.
    private static Tensor Spread(Tensor heads, long times)
    {
        var (batch, groups, length, size) = (heads.shape[0], heads.shape[1], heads.shape[2], heads.shape[3]);
        return heads.unsqueeze(2).expand(batch, groups, times, length, size).reshape(batch, groups * times, length, size);
    }
}
