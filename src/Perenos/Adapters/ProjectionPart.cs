using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>What a method does to one linear layer: its numbers and its arithmetic.</summary>
internal interface IProjectionUpdate : IProjectionAdapter, IDisposable
{
    /// <summary>What learns, by its name below the layer's.</summary>
    IEnumerable<(string Leaf, Tensor Tensor)> Weights { get; }

    /// <summary>What PEFT keeps, by its name below the layer's.</summary>
    IEnumerable<(string Leaf, Tensor Tensor)> Saved => Weights;

    /// <summary>Why the layer cannot take the update over, or null.</summary>
    string? WhyNotMerged(Projection target) => null;

    /// <summary>The weight [outputs, inputs], float32, with the update in it.</summary>
    Tensor MergedWeight(Tensor weight);

    /// <summary>The bias [outputs], float32, with the update in it.</summary>
    Tensor MergedBias(Tensor bias) => bias;
}

/// <summary>An update at its linear layer: attaching, detaching, merging.</summary>
internal sealed class ProjectionPart(Projection target, IProjectionUpdate update) : AdapterPart
{
    private readonly KeptWeight _weight = new(target.Weight);
    private readonly KeptWeight? _bias = target.Bias is null ? null : new KeptWeight(target.Bias);

    public override string Path => target.Path;

    public Projection Target => target;

    public IProjectionUpdate Update => update;

    public override IEnumerable<(string Name, Tensor Tensor)> Weights =>
        update.Weights.Select(weight => (PeftNames.OnDisk(target.Path, weight.Leaf), weight.Tensor));

    public override IEnumerable<(string Name, Tensor Tensor)> Saved =>
        update.Saved.Select(weight => (PeftNames.OnDisk(target.Path, weight.Leaf), weight.Tensor));

    public override string? WhyNotMerged => target.IsTied
        ? "it shares its weight with the token embedding, which would change too"
        : update.WhyNotMerged(target);

    public override void Attach() => target.Attach(update);

    public override void Detach() => target.Detach(update);

    public override void Merge()
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        // float32: a narrow sum would lose small updates before the one rounding at the end.
        var weight = target.Weight.to(ScalarType.Float32);
        var merged = update.MergedWeight(target.IsTransposed ? weight.t() : weight);
        _weight.Replace(target.IsTransposed ? merged.t() : merged);
        if (target.Bias is not null)
            _bias!.Replace(update.MergedBias(target.Bias.to(ScalarType.Float32)));
        Detach();
    }

    public override void Unmerge()
    {
        _weight.Restore();
        _bias?.Restore();
        Attach();
    }

    public override void Dispose()
    {
        update.Dispose();
        _weight.Dispose();
        _bias?.Dispose();
    }
}
