using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>
/// A norm's weight or a bias, trained in place: while the piece is attached the model's own tensor holds the trained values and is
/// what learns, and the base's bits wait here.
/// </summary>
internal sealed class ExchangedWeight(string path, string name, Tensor target, Tensor value, bool isNorm) : AdapterPart
{
    // The values that are not in place.
    private readonly Tensor _other = value.DetachFromDisposeScope();
    private bool _isIn;
    private bool _learns;

    public override string Path => path;

    public override IEnumerable<(string Name, Tensor Tensor)> Weights => [(name, _isIn ? target : _other)];

    public override bool IsSpared => isNorm;

    public override void Attach()
    {
        Exchange();
        target.requires_grad = _learns;
    }

    public override void Detach()
    {
        _learns = target.requires_grad;
        target.requires_grad = false;
        Exchange();
    }

    // What is attached stands in the base's weights already.
    public override void Merge()
    {
        _learns = target.requires_grad;
        target.requires_grad = false;
    }

    public override void Unmerge() => target.requires_grad = _learns;

    public override void Dispose() => _other.Dispose();

    private void Exchange()
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        var before = target.clone();
        target.copy_(_other);
        _other.copy_(before);
        _isIn = !_isIn;
    }
}
