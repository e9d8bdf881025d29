using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests;

/// <summary>Compares tensors within an absolute tolerance and says where they differ most.</summary>
internal static class Near
{
    public static void Equal(Tensor expected, Tensor actual, double tolerance, string what)
    {
        using var scope = NewDisposeScope();
        Assert.True(expected.shape.SequenceEqual(actual.shape), $"{what}: [{string.Join(", ", actual.shape)}] instead of [{string.Join(", ", expected.shape)}]");
        double worst = Largest(expected, actual);
        Assert.True(worst <= tolerance, $"{what}: differs by {worst:G3}, allowed {tolerance:G3}");
    }

    public static double Largest(Tensor expected, Tensor actual)
    {
        using var scope = NewDisposeScope();
        var difference = expected.to(ScalarType.Float64).sub(actual.detach().to(ScalarType.Float64)).abs().flatten();
        return difference.numel() == 0 ? 0 : difference.max().item<double>();
    }
}
