using static TorchSharp.torch;

namespace Perenos.Layers;

/// <summary>What all layers of one forward call share: positions, who may see whom, rotary angles, and the cache.</summary>
public sealed class ForwardContext
{
    // Finite, so that a row that may see nothing gives numbers and not NaN, which would spread through 0 · NaN.
    private const double Hidden = -1e30;

    private readonly long _time;
    private readonly long _past;

    private readonly Tensor? _attentionMask;

    // Whether virtual tokens stand before the text: padding then lies between them and the text.
    private bool _isBehind;

    private readonly bool _positionsAreGiven;

    private ForwardContext(Tensor positions, bool positionsAreGiven, Tensor? attentionMask, Tensor? mask, KeyValueCache? cache, long time, long past)
    {
        (Positions, _positionsAreGiven, _attentionMask) = (positions, positionsAreGiven, attentionMask);
        (Mask, Cache, _time, _past) = (mask, cache, time, past);
    }

    /// <summary>(B, T) or (1, T) int64, virtual tokens included.</summary>
    public Tensor Positions { get; }

    /// <summary>Tokens that the last one sees, itself, cached and virtual ones included, K.</summary>
    public long Length => _past + _time;

    /// <summary>(1 or B, N, C): vectors that stand before the embedded text in this call, or none.</summary>
    public Tensor? Prompt { get; private init; }

    /// <summary>(2 · layers, 1 or B, heads, N, D): keys and values that stand before the text's in this call, or none.</summary>
    public Tensor? Prefix { get; private init; }

    /// <summary>(B, 1, T, K), (1, 1, T, K) or with H heads instead of 1, added to attention scores; none means plainly causal.</summary>
    public Tensor? Mask { get; private set; }

    /// <summary>Keys and values of earlier tokens, or none.</summary>
    public KeyValueCache? Cache { get; }

    /// <summary>Cosines and sines of the rotary angles, where the family has them.</summary>
    public RotaryAngles? Rotary { get; set; }

    /// <summary>Those of the layers that see a window, where the family has others for them.</summary>
    internal RotaryAngles? LocalRotary { get; set; }

    /// <summary>Told what routers choose, where somebody asks.</summary>
    internal RouterBalance? Balance { get; set; }

    /// <summary>Prepares a call on <paramref name="tokens"/> (B, T).</summary>
    /// <param name="tokens">(B, T) int64.</param>
    /// <param name="attentionMask">(B, K) int64 over all tokens of text including the cached ones, 1 for real tokens and 0 for padding; none where nothing is padded on the left.</param>
    /// <param name="positions">(B, T), counted from the start of the text; by default they count on from the cache's length.</param>
    /// <param name="cache">Keys and values of earlier tokens.</param>
    /// <param name="type">Type of the attention scores.</param>
    /// <param name="parts">The model's parts: virtual tokens that are attached there stand before the text and move it back.</param>
    public static ForwardContext For(Tensor tokens, Tensor? attentionMask, Tensor? positions, KeyValueCache? cache, ScalarType type, ModelParts parts)
    {
        long time = tokens.shape[1];
        long past = cache?.Length ?? 0;
        bool positionsAreGiven = positions is not null;
        positions ??= Arithmetic.Counting(past, past + time, tokens.device).unsqueeze(0);
        if (parts.VirtualTokens > 0)
            return Behind(parts, attentionMask, positions, positionsAreGiven, cache, type, time);
        // A single new token sees everything; several tokens without a past are plainly causal.
        bool isPlain = attentionMask is null && (past == 0 || time == 1);
        var mask = isPlain ? null : VisibleFrom(time, past, attentionMask, tokens.device, type);
        return new ForwardContext(positions, positionsAreGiven, attentionMask, mask, cache, time, past);
    }

    // The first call computes the prompt with the text, and finds the prefix before both; later ones find all in the cache.
    private static ForwardContext Behind(
        ModelParts parts, Tensor? attentionMask, Tensor positions, bool positionsAreGiven, KeyValueCache? cache, ScalarType type, long given)
    {
        var (past, ahead, device) = (cache?.Length ?? 0, parts.VirtualTokens, positions.device);
        bool isFirst = past == 0;
        if (isFirst && cache is not null)
            cache.Ahead = ahead;
        var (prompt, prefix) = isFirst ? (parts.Prompt?.Vectors(), parts.Prefix?.KeysAndValues()) : (null, null);
        long time = given + (prompt?.shape[1] ?? 0);
        long before = ahead + past + given - time;
        var starts = Arithmetic.Counting(0, ahead, device).unsqueeze(0); // (1, N): positions of the virtual tokens
        var (missing, visible) = Padding(parts, starts);
        positions = positions.Plus(Arithmetic.Filled([1, 1], ahead, ScalarType.Int64, device));
        if (missing is not null)
            (starts, positions) = (starts.sub(missing).relu(), positions.sub(missing));
        if (prompt is not null)
        {
            long rows = Math.Max(starts.shape[0], positions.shape[0]);
            positions = cat([starts.narrow(1, before, ahead - before).expand(rows, ahead - before), positions.expand(rows, positions.shape[1])], 1);
        }

        if (visible is not null)
            attentionMask ??= ones([visible.shape[0], past + given], ScalarType.Int64, device);
        if (attentionMask is not null)
            attentionMask = cat([visible?.to(attentionMask.dtype) ?? ones([attentionMask.shape[0], ahead], attentionMask.dtype, device), attentionMask], 1);
        bool isPlain = attentionMask is null && (before == 0 || time == 1);
        var mask = isPlain ? null : VisibleFrom(time, before, attentionMask, device, type);
        return new ForwardContext(positions, positionsAreGiven, attentionMask, mask, cache, time, before) { _isBehind = true, Prompt = prompt, Prefix = prefix };
    }

    // By row, where rows have different numbers of virtual tokens: how many are missing (B, 1), and which are there (B, N).
    private static (Tensor? Missing, Tensor? Visible) Padding(ModelParts parts, Tensor columns)
    {
        if (parts.Prefix?.Missing is null && parts.Prompt?.Missing is null)
            return (null, null);
        long prefix = parts.Prefix?.Count ?? 0;
        var none = Arithmetic.Filled([1, 1], 0, ScalarType.Int64, columns.device);
        var inPrefix = parts.Prefix?.Missing?.unsqueeze(1) ?? none; // (B or 1, 1)
        var inPrompt = parts.Prompt?.Missing?.unsqueeze(1) ?? none;
        var behind = Arithmetic.Filled([1, 1], prefix, ScalarType.Int64, columns.device);
        // A column of the prefix counts from its own start, one of the prompt from behind the prefix.
        var visible = where(columns.lt(behind), columns.ge(inPrefix), columns.sub(behind).ge(inPrompt));
        return (inPrefix.Plus(inPrompt), visible);
    }

    /// <summary>(B, G, T, D) keys or values of a layer behind those of the prefix, (B, G, N + T, D).</summary>
    internal Tensor Before(Tensor heads, int slot)
    {
        using var scope = NewDisposeScope();
        var ahead = Prefix![slot].to(heads.dtype); // (1 or B, G, N, D)
        return cat([ahead.expand(heads.shape[0], ahead.shape[1], ahead.shape[2], ahead.shape[3]), heads], 2).MoveToOuterDisposeScope();
    }

    /// <summary>Keeps texts that share a row apart: a token sees those of its own number only. (B, T) int64.</summary>
    internal void Separate(Tensor texts, ScalarType type)
    {
        using var apart = Apart(texts, type);
        AddToScores(apart);
    }

    /// <summary>Adds (B or 1, H or 1, T or 1, K) to the scores of every layer.</summary>
    internal void AddToScores(Tensor biases)
    {
        using var scope = NewDisposeScope();
        var mask = Mask ?? VisibleFrom(_time, _past, null, biases.device, biases.dtype);
        Mask = mask.Plus(biases).MoveToOuterDisposeScope();
    }

    /// <summary>The given positions of the call's tokens or, where none were given, those that the mask counts: −1 on padding. (B or 1, T) int64.</summary>
    internal Tensor PositionsByMask()
    {
        if (_positionsAreGiven || _attentionMask is null)
            return Positions;
        using var scope = NewDisposeScope();
        var mask = _attentionMask.to(ScalarType.Int64);
        return (mask.cumsum(1) * mask).Plus(MinusOne()).narrow(1, _past, _time).MoveToOuterDisposeScope();
    }

    /// <summary>The real tokens before each cached and given one, 0 on padding; given positions do not matter. (B or 1, K) int64.</summary>
    internal Tensor CountsByMask()
    {
        if (_attentionMask is null)
            return Arithmetic.Counting(0, _past + _time, Positions.device).unsqueeze(0);
        using var scope = NewDisposeScope();
        var mask = _attentionMask.to(ScalarType.Int64);
        return (mask.cumsum(1).Plus(MinusOne()) * mask).MoveToOuterDisposeScope();
    }

    /// <summary>The mask of a layer that sees only the last <paramref name="window"/> tokens, itself included; columns are counted, not positions, and behind virtual tokens real ones only.</summary>
    internal Tensor? MaskWithin(long window, ScalarType type)
    {
        if (_past + _time <= window)
            return Mask;
        using var scope = NewDisposeScope();
        var columns = Arithmetic.Counting(0, _past + _time, Positions.device).unsqueeze(0); // (1, K)
        var rows = Arithmetic.Counting(_past, _past + _time, Positions.device).unsqueeze(1); // (T, 1)
        var before = Arithmetic.Counting(_past - window, _past + _time - window, Positions.device).unsqueeze(1); // (T, 1)
        var visible = columns.le(rows).logical_and(columns.gt(before)); // (T, K)
        if (_isBehind && _attentionMask is not null)
        {
            var counts = CountsByMask(); // (B, K)
            var least = counts.narrow(1, _past, _time).sub(Arithmetic.Filled([1], window, ScalarType.Int64, counts.device)).unsqueeze(2);
            visible = columns.le(rows).logical_and(counts.unsqueeze(1).gt(least)).unsqueeze(1); // (B, 1, T, K)
        }

        var hidden = visible.logical_not().to(type).Scale(Hidden);
        return (Mask is null ? hidden : Mask.Plus(hidden)).MoveToOuterDisposeScope();
    }

    /// <summary>The plainly causal mask, (1, 1, T, K), for who computes the scores himself.</summary>
    internal Tensor CausalMask(ScalarType type) => VisibleFrom(_time, _past, null, Positions.device, type);

    private Tensor MinusOne() => Arithmetic.Filled([1], -1, ScalarType.Int64, Positions.device);

    // (B, T) -> (B, 1, T, T)
    private static Tensor Apart(Tensor texts, ScalarType type)
    {
        using var scope = NewDisposeScope();
        return texts.unsqueeze(2).ne(texts.unsqueeze(1)).unsqueeze(1).to(type).Scale(Hidden).MoveToOuterDisposeScope();
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
