using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>Dropout of the inputs of all updates; off unless a step has named its seed.</summary>
internal sealed class UpdateDropout(double chance) : IDisposable
{
    private Generator? _generator;

    /// <summary>Whether inputs are dropped in this step.</summary>
    public bool IsOn => _generator is not null;

    public void Renew(ulong? seed)
    {
        _generator?.Dispose();
        _generator = seed is { } value && chance > 0 ? new Generator(value) : null;
    }

    public Tensor Apply(Tensor input)
    {
        if (_generator is null)
            return input;
        using var scope = NewDisposeScope();
        using var threshold = chance.ToScalar();
        var kept = rand(input.shape, generator: _generator).ge(threshold).to(input.device);
        return input.mul(kept).Times(1 / (1 - chance)).MoveToOuterDisposeScope();
    }

    public void Dispose() => _generator?.Dispose();
}
