using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>The non-linearities that configurations name.</summary>
internal static class Activation
{
    private static readonly Dictionary<string, Func<Tensor, Tensor>> Known = new()
    {
        ["silu"] = input => nn.functional.silu(input),
        ["swish"] = input => nn.functional.silu(input),
        ["relu"] = input => nn.functional.relu(input),
        ["gelu"] = input => nn.functional.gelu(input),
        ["gelu_new"] = GeluTanh,
        ["gelu_pytorch_tanh"] = GeluTanh,
    };

    /// <summary>The function of that name, or an error that lists the known ones.</summary>
    public static Func<Tensor, Tensor> Named(string name, string location) =>
        Known.TryGetValue(name, out var function)
            ? function
            : throw new PerenosException($"{location}: the activation \"{name}\" is not implemented.", $"Implemented: {string.Join(", ", Known.Keys)}.");

    // 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))): https://arxiv.org/abs/1606.08415, section 2.
    private static Tensor GeluTanh(Tensor input)
    {
        using var scope = NewDisposeScope();
        var inner = input.mul(input).mul(input).Times(0.044715).Plus(input).Times(Math.Sqrt(2 / Math.PI));
        return inner.tanh().Plus(1).mul(input).Times(0.5).MoveToOuterDisposeScope();
    }
}
