using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>An update that is computed as a whole matrix, W + ΔW: LoHa and LoKr.</summary>
/// <param name="weights">Its factors by PEFT's names.</param>
/// <param name="compute">ΔW, [outputs, inputs].</param>
internal sealed class WholeUpdate(IReadOnlyList<(string Leaf, Tensor Tensor)> weights, Func<Tensor> compute) : IProjectionUpdate
{
    public IEnumerable<(string Leaf, Tensor Tensor)> Weights => weights;

    public Tensor Apply(Tensor input, Func<Tensor, Tensor> inner)
    {
        using var scope = NewDisposeScope();
        return inner(input).Plus(nn.functional.linear(input, compute().to(input.dtype))).MoveToOuterDisposeScope();
    }

    public Tensor MergedWeight(Tensor weight) => weight.Plus(compute());

    public void Dispose()
    {
        foreach (var (_, tensor) in weights)
            tensor.Dispose();
    }
}
