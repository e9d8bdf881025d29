using Perenos.Layers;
using Perenos.Runs.Config;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>
/// Weight-decomposed low-rank adaptation: y = m ⊙ (W x + s · B A x) / ‖W + s · B A‖ + b, the norm of each row of the sum
/// (Liu et al. 2024, https://arxiv.org/abs/2402.09353). m starts as the norms of W, so the model is unchanged at the start.
/// </summary>
public static class Dora
{
    /// <summary>A fresh DoRA, attached.</summary>
    /// <exception cref="Runs.PerenosException">A setting is out of range, or names a layer that the model does not have.</exception>
    public static Adapter Start(ModelParts parts, DoraConfig settings, ulong seed) => Start(parts, settings, [], seed);

    /// <summary>The same beside trained rows of tokens.</summary>
    internal static Adapter Start(ModelParts parts, DoraConfig settings, IReadOnlyList<int> tokens, ulong seed) =>
        PeftMethods.Start(Lora.Describe(parts, settings.Update with { TrainableTokens = tokens }, isDora: true), parts, seed);

    /// <summary>The magnitudes of one layer over its low-rank pair.</summary>
    internal static IProjectionUpdate On(LoraUpdate pair, AdapterWeights weights, Projection target)
    {
        var magnitude = weights.Take(target.Path, "lora_magnitude_vector", [target.Outputs], target.Weight,
            _ => Norms(Upright(target).to(ScalarType.Float32)));
        return new DoraUpdate(pair, magnitude, target);
    }

    /// <summary>The norm of each row of [rows, columns].</summary>
    internal static Tensor Norms(Tensor weight)
    {
        using var scope = NewDisposeScope();
        return weight.mul(weight).sum(1).sqrt().MoveToOuterDisposeScope();
    }

    internal static Tensor Upright(Projection target) => target.IsTransposed ? target.Weight.t() : target.Weight;
}

/// <summary>The update of one layer.</summary>
internal sealed class DoraUpdate(LoraUpdate pair, Tensor magnitude, Projection target) : IProjectionUpdate
{
    private readonly Tensor _magnitude = magnitude.DetachFromDisposeScope();

    public IEnumerable<(string Leaf, Tensor Tensor)> Weights => pair.Weights.Append(("lora_magnitude_vector", _magnitude));

    public Tensor Apply(Tensor input, Func<Tensor, Tensor> inner)
    {
        using var scope = NewDisposeScope();
        var output = inner(input);
        var gain = _magnitude.div(Norm()).to(output.dtype); // [outputs]
        // Without dropout W x is there already; a dropped input needs a product of its own.
        bool isDropped = pair.Dropout.IsOn;
        input = pair.Dropout.Apply(input);
        var plain = isDropped ? nn.functional.linear(input, Dora.Upright(target))
            : target.Bias is null ? target.Plain(input) : target.Plain(input).sub(target.Bias);
        // y = W x + b + (m / ‖·‖ − 1) W x + m / ‖·‖ · s · B A x
        return output.Plus(plain.mul(gain.Plus(-1))).Plus(pair.Product(input).mul(gain).Times(pair.Scale)).MoveToOuterDisposeScope();
    }

    public Tensor MergedWeight(Tensor weight)
    {
        var sum = weight.Plus(pair.Update());
        return sum.mul(_magnitude.div(Dora.Norms(sum)).unsqueeze(1));
    }

    // A constant in the backward pass: section 4.3 of the paper.
    private Tensor Norm()
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        return Dora.Norms(Dora.Upright(target).to(ScalarType.Float32).Plus(pair.Update())).MoveToOuterDisposeScope();
    }

    public void Dispose()
    {
        pair.Dispose();
        _magnitude.Dispose();
    }
}
