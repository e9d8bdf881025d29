using Perenos.Kernels;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Kernels;

public sealed class FusedAdamWTests
{
    private static readonly AdamWStep Settings = new(3e-3, 0.9, 0.999, 1e-8, 0.1, 1, 0.25);

    // Float32 constants against torch's, and one division less: a few units in the last place.
    private const double Tolerance = 1e-6;

    private delegate void Stepper(Tensor parameter, Tensor gradient, Tensor first, Tensor second, in AdamWStep step, Tensor? copy);

    [Theory]
    [InlineData(1)]
    [InlineData(15)]
    [InlineData(1031)]
    [InlineData(70_003)]
    public void Twenty_steps_of_every_width_equal_the_torch_form(int length)
    {
        using var scope = NewDisposeScope();
        var expected = Train(length, ScalarType.Float32, FusedAdamW.StepWithTorch);
        Stepper[] steppers =
        [
            FusedAdamW.Step, FusedAdamW.StepAtWidth<Floats1>, FusedAdamW.StepAtWidth<Floats128>,
            FusedAdamW.StepAtWidth<Floats256>, FusedAdamW.StepAtWidth<Floats512>,
        ];
        var first = Train(length, ScalarType.Float32, steppers[0]);
        foreach (var stepper in steppers)
        {
            var actual = Train(length, ScalarType.Float32, stepper);
            for (int tensor = 0; tensor < 3; tensor++)
            {
                Assert.True(Difference(actual[tensor], expected[tensor]) <= Tolerance);
                Assert.True(actual[tensor].equal(first[tensor]).all().item<bool>(), "widths must agree to the bit");
            }

            Assert.True(actual[3].to(ScalarType.Float32).equal(actual[0].to(ScalarType.BFloat16).to(ScalarType.Float32)).all().item<bool>());
        }
    }

    [Fact]
    public void A_bfloat16_gradient_gives_what_its_float32_values_give()
    {
        using var scope = NewDisposeScope();
        var expected = Train(70_001, ScalarType.BFloat16, FusedAdamW.StepWithTorch);
        var actual = Train(70_001, ScalarType.BFloat16, FusedAdamW.Step);
        for (int tensor = 0; tensor < 3; tensor++)
            Assert.True(Difference(actual[tensor], expected[tensor]) <= Tolerance);
    }

    [Fact]
    public void One_step_by_hand()
    {
        using var scope = NewDisposeScope();
        var (parameter, gradient) = (torch.tensor(new[] { 2f }), torch.tensor(new[] { 8f }));
        var (first, second) = (torch.zeros(1), torch.zeros(1));
        FusedAdamW.Step(parameter, gradient, first, second, new AdamWStep(0.1, 0.9, 0.99, 0, 0.5, 1, 0.5));
        // g = 4; m = 0.4, v = 0.16; corrected m / sqrt(v) = 4 / 4 = 1; p = 2 - 0.1 · 0.5 · 2 - 0.1.
        Assert.Equal(1.8f, parameter.item<float>(), 1e-6f);
        Assert.Equal(0.4f, first.item<float>(), 1e-6f);
        Assert.Equal(0.16f, second.item<float>(), 1e-6f);
        Assert.Equal(8f, gradient.item<float>());
    }

    [Fact]
    public void A_step_of_rate_zero_still_moves_the_moments()
    {
        using var scope = NewDisposeScope();
        var (parameter, gradient, first, second) = (torch.ones(5), torch.ones(5), torch.zeros(5), torch.zeros(5));
        FusedAdamW.Step(parameter, gradient, first, second, Settings with { LearningRate = 0, GradientScale = 1 });
        Assert.Equal(5f, parameter.sum().item<float>());
        Assert.Equal(0.1f, first[0].item<float>(), 1e-6f);
        Assert.Equal(0.001f, second[0].item<float>(), 1e-8f);
    }

    [Fact]
    public void Rounding_to_bfloat16_is_torchs_for_ties_infinities_and_nans()
    {
        using var scope = NewDisposeScope();
        float[] values =
        [
            1.00390625f, 1.01171875f, -1.00390625f, 3.4e38f, float.MaxValue, float.PositiveInfinity, float.NegativeInfinity,
            float.NaN, 1e-40f, -1e-40f, 0f, -0f, 65504.7f, 1.0039063f, 0.1f, 1e-45f, 7f,
        ];
        var expected = torch.tensor(values).to(ScalarType.BFloat16);
        Stepper[] steppers =
        [
            FusedAdamW.StepAtWidth<Floats1>, FusedAdamW.StepAtWidth<Floats128>, FusedAdamW.StepAtWidth<Floats256>, FusedAdamW.StepAtWidth<Floats512>,
        ];
        foreach (var stepper in steppers)
        {
            var parameter = torch.tensor(values);
            var copy = torch.zeros(values.Length, dtype: ScalarType.BFloat16);
            stepper(parameter, torch.zeros_like(parameter), torch.zeros_like(parameter), torch.zeros_like(parameter),
                Settings with { LearningRate = 0 }, copy);
            Assert.True(torch.allclose(copy.to(ScalarType.Float32), expected.to(ScalarType.Float32), 0, 0, equal_nan: true));
        }
    }

    [Fact]
    public void Other_types_and_layouts_take_the_torch_form()
    {
        using var scope = NewDisposeScope();
        var parameter = torch.arange(12, ScalarType.Float64).view(3, 4);
        var transposed = torch.ones(4, 3, dtype: ScalarType.Float64).t();
        var (first, second) = (torch.zeros_like(parameter), torch.zeros_like(parameter));
        FusedAdamW.Step(parameter, transposed, first, second, Settings with { WeightDecay = 0 });
        // m / sqrt(v) is 1 at the first step.
        Assert.Equal(66 - 12 * 3e-3, parameter.sum().item<double>(), 1e-6);
    }

    [Fact]
    public void Tensors_of_different_shapes_are_refused()
    {
        using var scope = NewDisposeScope();
        var (three, four) = (torch.zeros(3), torch.zeros(4));
        Assert.Throws<ArgumentException>(() => FusedAdamW.Step(three, four, three, three, Settings));
    }

    [Fact]
    public void A_step_leaves_no_tensor_behind()
    {
        using var scope = NewDisposeScope();
        var (parameter, gradient, first, second) = (torch.ones(70_000), torch.ones(70_000), torch.zeros(70_000), torch.zeros(70_000));
        long before = Tensor.TotalCount;
        FusedAdamW.Step(parameter, gradient, first, second, Settings);
        FusedAdamW.StepWithTorch(parameter, gradient, first, second, Settings);
        Assert.Equal(before, Tensor.TotalCount);
    }

    private static Tensor[] Train(int length, ScalarType gradientType, Stepper stepper)
    {
        using var generator = new Generator(7);
        var parameter = torch.randn(length, generator: generator);
        Tensor[] tensors =
            [parameter, torch.zeros_like(parameter), torch.zeros_like(parameter), torch.zeros(length, dtype: ScalarType.BFloat16)];
        for (int step = 1; step <= 20; step++)
        {
            using var gradient = torch.randn(length, generator: generator).to(gradientType);
            stepper(tensors[0], gradient, tensors[1], tensors[2], Settings with { Step = step }, tensors[3]);
        }

        return tensors;
    }

    // Largest difference, relative to the tensor's own size.
    private static double Difference(Tensor actual, Tensor expected) =>
        ((actual - expected).abs().max() / expected.abs().max()).item<float>();
}
