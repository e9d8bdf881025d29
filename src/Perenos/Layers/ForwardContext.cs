using static TorchSharp.torch;

namespace Perenos.Layers;

/// <summary>What all layers of one forward call share: positions, who may see whom, rotary angles, and the cache.</summary>
public sealed class ForwardContext
{
    // Finite, so that a row that may see nothing gives numbers and not NaN, which would spread through 0 · NaN.
    private const double Hidden = -1e30;

    private readonly long _time;
    private readonly long _past;

    private ForwardContext(Tensor positions, Tensor? mask, KeyValueCache? cache, long time, long past)
        => (Positions, Mask, Cache, _time, _past) = (positions, mask, cache, time, past);

    /// <summary>(B, T) or (1, T) int64.</summary>
    public Tensor Positions { get; }

    /// <summary>(B, 1, T, K) or (1, 1, T, K), added to attention scores; none means plainly causal.</summary>
    public Tensor? Mask { get; }

    /// <summary>Keys and values of earlier tokens, or none.</summary>
    public KeyValueCache? Cache { get; }

    /// <summary>Cosines and sines of the rotary angles, where the family has them.</summary>
    public RotaryAngles? Rotary { get; set; }

    /// <summary>Prepares a call on <paramref name="tokens"/> (B, T).</summary>
    /// <param name="tokens">(B, T) int64.</param>
    /// <param name="attentionMask">(B, K) int64 over all tokens including the cached ones, 1 for real tokens and 0 for padding; none where nothing is padded on the left.</param>
    /// <param name="positions">(B, T); by default they count on from the cache's length.</param>
    /// <param name="cache">Keys and values of earlier tokens.</param>
    /// <param name="type">Type of the attention scores.</param>
    public static ForwardContext For(Tensor tokens, Tensor? attentionMask, Tensor? positions, KeyValueCache? cache, ScalarType type)
    {
        long time = tokens.shape[1];
        long past = cache?.Length ?? 0;
        positions ??= Arithmetic.Counting(past, past + time, tokens.device).unsqueeze(0);
        // A single new token sees everything; several tokens without a past are plainly causal.
        bool isPlain = attentionMask is null && (past == 0 || time == 1);
        return new ForwardContext(positions, isPlain ? null : VisibleFrom(time, past, attentionMask, tokens.device, type), cache, time, past);
    }

    /// <summary>The mask of a layer that sees only the last <paramref name="window"/> tokens, itself included; columns are counted, not positions.</summary>
    internal Tensor? MaskWithin(long window, ScalarType type)
    {
        if (_past + _time <= window)
            return Mask;
        using var scope = NewDisposeScope();
        var columns = Arithmetic.Counting(0, _past + _time, Positions.device).unsqueeze(0); // (1, K)
        var rows = Arithmetic.Counting(_past, _past + _time, Positions.device).unsqueeze(1); // (T, 1)
        var before = Arithmetic.Counting(_past - window, _past + _time - window, Positions.device).unsqueeze(1); // (T, 1)
        var visible = columns.le(rows).logical_and(columns.gt(before));
        var hidden = visible.logical_not().to(type).Scale(Hidden); // (T, K)
        return (Mask is null ? hidden : Mask.Plus(hidden)).MoveToOuterDisposeScope();
    }

    private static Tensor VisibleFrom(long time, long past, Tensor? attentionMask, Device device, ScalarType type)
    {
        using var scope = NewDisposeScope();
        var columns = Arithmetic.Counting(0, past + time, device).unsqueeze(0); // (1, K)
        var rows = Arithmetic.Counting(past, past + time, device).unsqueeze(1); // (T, 1)
        var visible = columns.le(rows).unsqueeze(0).unsqueeze(0); // (1, 1, T, K)
        if (attentionMask is not null)
        {
            // A token always sees itself: padding then computes something finite that nobody reads.
            var itself = columns.eq(rows).unsqueeze(0).unsqueeze(0);
            visible = visible.logical_and(attentionMask.to(ScalarType.Bool).unsqueeze(1).unsqueeze(1).logical_or(itself));
        }

        return visible.logical_not().to(type).Scale(Hidden).MoveToOuterDisposeScope();
    }
}
