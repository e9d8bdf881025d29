using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>A weight of the base whose bits are set aside while other values stand in its place.</summary>
internal sealed class KeptWeight(Tensor weight) : IDisposable
{
    private Tensor? _kept;

    /// <summary>Keeps the bits and writes other values, rounded to the weight's type.</summary>
    public void Replace(Tensor value)
    {
        using var quiet = no_grad();
        _kept ??= weight.clone().DetachFromDisposeScope();
        weight.copy_(value);
    }

    /// <summary>Puts the kept bits back.</summary>
    public void Restore()
    {
        if (_kept is null)
            return;
        using var quiet = no_grad();
        weight.copy_(_kept);
        _kept.Dispose();
        _kept = null;
    }

    /// <summary>Forgets the kept bits: the values in place stay.</summary>
    public void Dispose() => _kept?.Dispose();
}
