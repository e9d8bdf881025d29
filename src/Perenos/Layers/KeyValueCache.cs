using static TorchSharp.torch;

namespace Perenos.Layers;

/// <summary>Keys and values of the tokens seen so far, for every layer: what makes generation linear in its length.</summary>
public sealed class KeyValueCache : IDisposable
{
    private readonly Tensor?[] _keys;
    private readonly Tensor?[] _values;
    private readonly long _capacity;

    /// <summary>An empty cache.</summary>
    /// <param name="layers">Number of layers of the model.</param>
    /// <param name="capacity">Most tokens of text that will be kept in each row.</param>
    public KeyValueCache(int layers, long capacity)
    {
        _keys = new Tensor?[layers];
        _values = new Tensor?[layers];
        _capacity = capacity;
    }

    /// <summary>Tokens of text in each row so far.</summary>
    public long Length { get; private set; }

    /// <summary>Virtual tokens before the text; set by the first call.</summary>
    internal long Ahead { get; set; }

    /// <summary>Keys (B, H, Ahead + Length, D) of a layer that has been appended to.</summary>
    internal Tensor Keys(int layer) => _keys[layer]!.narrow(2, 0, Ahead + Length);

    /// <summary>Values (B, H, Ahead + Length, D) of a layer that has been appended to.</summary>
    internal Tensor Values(int layer) => _values[layer]!.narrow(2, 0, Ahead + Length);

    /// <summary>Adds (B, H, T, D) keys and values of a layer and gives all of them so far; the first call's begin with the virtual tokens.</summary>
    public (Tensor Keys, Tensor Values) Append(int layer, Tensor keys, Tensor values)
    {
        long added = keys.shape[2];
        long kept = Length == 0 ? 0 : Ahead + Length;
        if (kept + added > Ahead + _capacity)
            throw new InvalidOperationException($"The cache holds {_capacity} tokens a row; {kept + added - Ahead} were asked for.");
        var allKeys = _keys[layer] ??= Room(keys);
        var allValues = _values[layer] ??= Room(values);
        using (var place = allKeys.narrow(2, kept, added))
            place.copy_(keys);
        using (var place = allValues.narrow(2, kept, added))
            place.copy_(values);
        return (allKeys.narrow(2, 0, kept + added), allValues.narrow(2, 0, kept + added));
    }

    /// <summary>Says that all layers have appended a step of <paramref name="tokens"/> tokens.</summary>
    public void Advance(long tokens) => Length += tokens;

    /// <summary>Forgets all tokens, to be filled anew.</summary>
    public void Clear() => Length = 0;

    /// <summary>Writes to all places, so that the memory of a full cache is taken; what was kept is gone.</summary>
    internal void Fill()
    {
        using var quiet = inference_mode();
        foreach (var tensor in _keys.Concat(_values).OfType<Tensor>())
            tensor.zero_();
        Clear();
    }

    /// <summary>Frees the kept keys and values.</summary>
    public void Dispose()
    {
        foreach (var tensor in _keys.Concat(_values))
            tensor?.Dispose();
    }

    private Tensor Room(Tensor like) =>
        empty([like.shape[0], like.shape[1], Ahead + _capacity, like.shape[3]], dtype: like.dtype, device: like.device).DetachFromDisposeScope();
}
