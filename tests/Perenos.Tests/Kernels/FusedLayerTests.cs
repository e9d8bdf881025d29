using Perenos.Kernels;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Kernels;

/// <summary>The fused layers against their torch forms: values, gradients, widths, layouts, leaks.</summary>
public sealed class FusedLayerTests
{
    private const double Epsilon = 1e-5;
    private const double Float32Tolerance = 2e-6;

    // One rounding to 8 bits here, up to three in the torch form.
    private const double BFloat16Tolerance = 2e-2;

    private static readonly (string Name, Func<Tensor[], Tensor> Fused, Func<Tensor[], Tensor> Reference, Func<Tensor[]> Inputs)[] Layers =
    [
        ("norm", x => RootMeanSquareNorm.Apply(x[0], x[1], Epsilon), x => RootMeanSquareNorm.ApplyWithTorch(x[0], x[1], Epsilon), () => Random([7, 300, 37], [37])),
        ("norm of few channels", x => RootMeanSquareNorm.Apply(x[0], x[1], Epsilon), x => RootMeanSquareNorm.ApplyWithTorch(x[0], x[1], Epsilon), () => Random([5, 3], [3])),
        ("norm of nothing", x => RootMeanSquareNorm.Apply(x[0], x[1], Epsilon), x => RootMeanSquareNorm.ApplyWithTorch(x[0], x[1], Epsilon), () => Random([0, 8], [8])),
        ("norm of a transposed input", x => RootMeanSquareNorm.Apply(x[0].t(), x[1], Epsilon), x => RootMeanSquareNorm.ApplyWithTorch(x[0].t(), x[1], Epsilon), () => Random([16, 9], [16])),
        ("gate", x => GatedActivation.Apply(x[0], x[1]), x => GatedActivation.ApplyWithTorch(x[0], x[1]), () => Random([3, 111, 301], [3, 111, 301])),
        ("gate of transposed inputs", x => GatedActivation.Apply(x[0].t(), x[1].t()), x => GatedActivation.ApplyWithTorch(x[0].t(), x[1].t()), () => Random([5, 9], [5, 9])),
        ("rotation", x => RotaryRotation.Apply(x[0], Cosine(40, 12), Sine(40, 12)), x => RotaryRotation.ApplyWithTorch(x[0], Cosine(40, 12), Sine(40, 12)), () => Random([2, 40, 3, 24])),
        ("partial rotation", x => RotaryRotation.Apply(x[0], Cosine(4, 5), Sine(4, 5)), x => RotaryRotation.ApplyWithTorch(x[0], Cosine(4, 5), Sine(4, 5)), () => Random([2, 4, 3, 24])),
        ("rotation by row", x => RotaryRotation.Apply(x[0], Cosine(8, 9).view(2, 4, 9), Sine(8, 9).view(2, 4, 9)), x => RotaryRotation.ApplyWithTorch(x[0], Cosine(8, 9).view(2, 4, 9), Sine(8, 9).view(2, 4, 9)), () => Random([2, 4, 3, 18])),
    ];

    public static TheoryData<string> Names() => [.. Layers.Select(layer => layer.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Values_and_gradients_equal_the_torch_form_in_float64(string name)
    {
        using var scope = NewDisposeScope();
        var layer = Layers.Single(layer => layer.Name == name);
        var expected = Solve(layer.Reference, layer.Inputs(), ScalarType.Float64);
        foreach (var (type, tolerance) in new[] { (ScalarType.Float32, Float32Tolerance), (ScalarType.BFloat16, BFloat16Tolerance) })
        {
            var actual = Solve(layer.Fused, layer.Inputs(), type);
            for (int index = 0; index < expected.Length; index++)
            {
                Assert.Equal(type, actual[index].dtype);
                Assert.Equal(expected[index].shape, actual[index].shape);
                AssertNear(expected[index], actual[index], tolerance);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Nothing_is_left_behind_and_inference_has_no_graph(string name)
    {
        using var scope = NewDisposeScope();
        var layer = Layers.Single(layer => layer.Name == name);
        var inputs = layer.Inputs().Select(input => input.detach().requires_grad_()).ToArray();
        void Step()
        {
            using var inner = NewDisposeScope();
            layer.Fused(inputs).sum().backward();
            layer.Fused(inputs);
            using var noGraph = no_grad();
            Assert.False(layer.Fused(inputs).requires_grad);
        }

        Step();
        long before = Tensor.TotalCount;
        for (int step = 0; step < 10; step++)
            Step();
        Assert.Equal(before, Tensor.TotalCount);
    }

    [Fact]
    public void A_frozen_norm_weight_gets_no_gradient()
    {
        using var scope = NewDisposeScope();
        var inputs = Random([4, 8], [8]);
        var input = inputs[0].detach().requires_grad_();
        RootMeanSquareNorm.Apply(input, inputs[1], Epsilon).sum().backward();
        Assert.Null(inputs[1].grad);
        var weight = inputs[1].detach().requires_grad_();
        RootMeanSquareNorm.Apply(inputs[0], weight, Epsilon).sum().backward();
        Assert.Null(inputs[0].grad);
        Assert.NotNull(weight.grad);
    }

    [Fact]
    public void Saturated_gates_stay_finite()
    {
        using var scope = NewDisposeScope();
        var gate = torch.tensor(new[] { -1e4f, -100f, 0f, 100f, 1e4f }).requires_grad_();
        var output = GatedActivation.Apply(gate, torch.ones(5));
        output.sum().backward();
        AssertNear(torch.tensor(new[] { 0f, 0f, 0f, 100f, 1e4f }), output, Float32Tolerance);
        AssertNear(torch.tensor(new[] { 0f, 0f, 0.5f, 1f, 1f }), gate.grad!, Float32Tolerance);
    }

    [Fact]
    public void Wrong_shapes_are_refused()
    {
        using var scope = NewDisposeScope();
        Assert.Throws<ArgumentException>(() => RootMeanSquareNorm.Apply(torch.zeros(2, 3), torch.ones(6), Epsilon));
        Assert.Throws<ArgumentException>(() => GatedActivation.Apply(torch.zeros(2, 3), torch.zeros(3, 2)));
        Assert.Throws<ArgumentException>(() => RotaryRotation.Apply(torch.zeros(1, 4, 2, 6), Cosine(5, 3), Sine(5, 3)));
        Assert.Throws<ArgumentException>(() => RotaryRotation.Apply(torch.zeros(1, 4, 2, 6), Cosine(4, 4), Sine(4, 4)));
    }

    [Fact]
    public void Every_width_gives_the_same_layers()
    {
        CheckWidth<Floats1>();
        CheckWidth<Floats128>();
        CheckWidth<Floats256>();
        CheckWidth<Floats512>();
    }

    private static void CheckWidth<TFloats>()
        where TFloats : struct, IFloats<TFloats>
    {
        using var scope = NewDisposeScope();
        foreach (var (type, tolerance) in new[] { (ScalarType.Float32, Float32Tolerance), (ScalarType.BFloat16, BFloat16Tolerance) })
        {
            var inputs = Random([130, 37], [37], [130, 37]);
            var (input, weight, gradient) = (inputs[0].to(type), inputs[1], inputs[2].to(type));
            var expected = Differentiate(x => RootMeanSquareNorm.ApplyWithTorch(x[0], x[1], Epsilon), [input, weight], gradient);
            var (output, roots, inputGradient) = (empty_like(input), torch.empty(130), empty_like(input));
            var parts = torch.zeros((130 + RootMeanSquareNorm.RowsPerTask(37) - 1) / RootMeanSquareNorm.RowsPerTask(37), 37);
            RootMeanSquareNorm.ForwardAtWidth<TFloats>(input, weight, output, roots, Epsilon);
            RootMeanSquareNorm.BackwardAtWidth<TFloats>(input, weight, roots, gradient, inputGradient, parts);
            AssertNear(expected[0], output, tolerance);
            AssertNear(expected[1], inputGradient, tolerance);
            AssertNear(expected[2], parts.sum(dim: 0), tolerance);

            var up = inputs[2].to(type);
            expected = Differentiate(x => GatedActivation.ApplyWithTorch(x[0], x[1]), [input, up], gradient);
            var upGradient = empty_like(up);
            GatedActivation.RunAtWidth<TFloats>(input, up, output);
            GatedActivation.RunAtWidth<TFloats>(input, up, inputGradient, gradient, upGradient);
            AssertNear(expected[0], output, tolerance);
            AssertNear(expected[1], inputGradient, tolerance);
            AssertNear(expected[2], upGradient, tolerance);

            var heads = Random([2, 5, 3, 46])[0].to(type);
            var turned = empty_like(heads);
            RotaryRotation.RunAtWidth<TFloats>(heads, Cosine(5, 21), Sine(5, 21), turned, 1);
            AssertNear(RotaryRotation.ApplyWithTorch(heads, Cosine(5, 21), Sine(5, 21)), turned, tolerance);
            RotaryRotation.RunAtWidth<TFloats>(turned, Cosine(5, 21), Sine(5, 21), turned, -1);
            AssertNear(heads, turned, tolerance);
        }
    }

    // Output and the gradients of all inputs, for a fixed uneven weighting of the outputs.
    private static Tensor[] Solve(Func<Tensor[], Tensor> layer, Tensor[] inputs, ScalarType type)
    {
        using var generator = new Generator(9);
        Tensor[] leaves = [.. inputs.Select(input => input.to(type).detach().clone().requires_grad_())];
        var output = layer(leaves);
        (output * torch.randn(output.shape, generator: generator).to(type)).sum().backward();
        return [output, .. leaves.Select(leaf => leaf.grad!)];
    }

    private static Tensor[] Differentiate(Func<Tensor[], Tensor> layer, Tensor[] inputs, Tensor gradient)
    {
        Tensor[] leaves = [.. inputs.Select(input => input.to(ScalarType.Float64).detach().clone().requires_grad_())];
        var output = layer(leaves);
        (output * gradient.to(ScalarType.Float64)).sum().backward();
        return [output, .. leaves.Select(leaf => leaf.grad!)];
    }

    private static Tensor[] Random(params long[][] shapes)
    {
        using var generator = new Generator(4);
        return [.. shapes.Select(shape => torch.randn(shape, generator: generator))];
    }

    private static Tensor Cosine(long time, long half) => Angles(time, half).cos();

    private static Tensor Sine(long time, long half) => Angles(time, half).sin();

    private static Tensor Angles(long time, long half) =>
        torch.arange(time, ScalarType.Float32).unsqueeze(1) * torch.pow(100, -torch.arange(half, ScalarType.Float32) / half);

    // Relative to the largest element.
    private static void AssertNear(Tensor expected, Tensor actual, double tolerance)
    {
        if (expected.NumberOfElements == 0)
            return;
        var (left, right) = (actual.to(ScalarType.Float64), expected.to(ScalarType.Float64));
        Assert.InRange(((left - right).abs().max() / right.abs().max().clamp(min: 1e-3)).item<double>(), 0, tolerance);
    }
}
