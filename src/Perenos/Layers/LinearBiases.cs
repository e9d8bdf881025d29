using static TorchSharp.torch;

namespace Perenos.Layers;

/// <summary>
/// ALiBi: attention scores fall linearly with distance, by a slope of each head's own (Press et al. 2021, https://arxiv.org/abs/2108.12409).
/// The bias depends on the key alone: what all keys of a row have in common, the query's own place, softmax takes away.
/// </summary>
internal static class LinearBiases
{
    /// <summary>slope · (real tokens before the key), (B or 1, H, 1, K).</summary>
    /// <param name="context">Mask and cache of the call.</param>
    /// <param name="slopes">One for each head.</param>
    /// <param name="type">Type of the attention scores.</param>
    /// <param name="product">Type in which slope and count are multiplied: Falcon rounds to bfloat16 there.</param>
    public static Tensor For(ForwardContext context, float[] slopes, ScalarType type, ScalarType product = ScalarType.Float32)
    {
        using var scope = NewDisposeScope();
        var counts = context.CountsByMask().to(product).unsqueeze(1).unsqueeze(1); // (B, 1, 1, K)
        var steepness = tensor(slopes, device: counts.device).to(product).view(1, -1, 1, 1); // (1, H, 1, 1)
        return (steepness * counts).to(type).MoveToOuterDisposeScope();
    }

    /// <summary>2^(−8/n), 2^(−16/n) … for n heads; where n is no power of two, those of the next lower power and every second of the next higher.</summary>
    public static float[] Slopes(int heads)
    {
        int lower = 1 << (int)Math.Log2(heads);
        static float Slope(int count, int power) => MathF.Pow((float)Math.Pow(2, -8.0 / count), power);
        return [.. Enumerable.Range(1, lower).Select(power => Slope(lower, power)),
            .. Enumerable.Range(0, heads - lower).Select(place => Slope(2 * lower, 2 * place + 1))];
    }
}
