using Perenos.Layers;
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
        ["gelu_fast"] = GeluTanh,
        ["gelu_python"] = input => nn.functional.gelu(input),
        ["quick_gelu"] = QuickGelu,
        ["relu2"] = SquaredRelu,
        ["tanh"] = input => input.tanh(),
    };

    /// <summary>The function of that name, or an error that lists the known ones.</summary>
    public static Func<Tensor, Tensor> Named(string name, string location) =>
        Known.TryGetValue(name, out var function)
            ? function
            : throw new PerenosException($"{location}: the activation \"{name}\" is not implemented.", $"Implemented: {string.Join(", ", Known.Keys)}.");

    /// <summary>act(gate) · up for the activation of that name.</summary>
    public static Func<Tensor, Tensor, Tensor> Gated(string name, string location)
    {
        var activation = Named(name, location);
        return name is "silu" or "swish" ? SiluGate.Apply : (gate, up) => activation(gate) * up;
    }

    // x σ(1.702 x): https://arxiv.org/abs/1606.08415, section 2.
    private static Tensor QuickGelu(Tensor input)
    {
        using var scope = NewDisposeScope();
        return input.Times(1.702).sigmoid().mul(input).MoveToOuterDisposeScope();
    }

    // https://arxiv.org/abs/2109.08668, section 2.
    private static Tensor SquaredRelu(Tensor input)
    {
        using var scope = NewDisposeScope();
        var positive = nn.functional.relu(input);
        return positive.mul(positive).MoveToOuterDisposeScope();
    }

    // 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))): https://arxiv.org/abs/1606.08415, section 2.
    private static Tensor GeluTanh(Tensor input)
    {
        using var scope = NewDisposeScope();
        var inner = input.mul(input).mul(input).Times(0.044715).Plus(input).Times(Math.Sqrt(2 / Math.PI));
        return inner.tanh().Plus(1).mul(input).Times(0.5).MoveToOuterDisposeScope();
    }
}
