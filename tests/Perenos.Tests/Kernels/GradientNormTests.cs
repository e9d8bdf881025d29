using Perenos.Kernels;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Kernels;

public sealed class GradientNormTests
{
    [Fact]
    public void Three_and_four_make_five_over_two_tensors() => Scoped(() =>
        Assert.Equal(5.0, GradientNorm.Of([torch.tensor(new[] { 3f }), torch.tensor(new[] { 0f, 4f })]), 12));

    [Fact]
    public void No_gradients_have_norm_zero() => Scoped(() =>
    {
        Assert.Equal(0.0, GradientNorm.Of([]));
        Assert.Equal(0.0, GradientNorm.Of([torch.zeros(0)]));
    });

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    public void Every_width_equals_the_sum_in_double(ScalarType type) => Scoped(() =>
    {
        foreach (int length in new[] { 1, 17, 1025, 150_001 })
        {
            using var generator = new Generator(3);
            var gradient = torch.randn(length, generator: generator).to(type);
            double expected = gradient.to(ScalarType.Float64).square().sum().item<double>();
            double[] sums =
            [
                GradientNorm.SumOfSquaresAtWidth<Floats1>(gradient), GradientNorm.SumOfSquaresAtWidth<Floats128>(gradient),
                GradientNorm.SumOfSquaresAtWidth<Floats256>(gradient), GradientNorm.SumOfSquaresAtWidth<Floats512>(gradient),
                Math.Pow(GradientNorm.Of([gradient]), 2),
            ];
            foreach (double sum in sums)
                Assert.Equal(1.0, sum / expected, 1e-12);
            Assert.Equal(1.0, GradientNorm.SumOfSquaresWithTorch([gradient]) / expected, 1e-6);
        }
    });

    [Fact]
    public void Strided_tensors_and_other_types_are_counted_too() => Scoped(() =>
    {
        var strided = torch.ones(6, 4).t()[TensorIndex.Slice(0, 2)];
        var wide = torch.full([4], 2.0, dtype: ScalarType.Float64);
        Assert.Equal(Math.Sqrt(12 + 16), GradientNorm.Of([strided, wide]), 12);
    });

    [Fact]
    public void Huge_and_tiny_gradients_neither_overflow_nor_vanish() => Scoped(() =>
    {
        Assert.Equal(1.0, GradientNorm.Of([torch.full([4], 1e30f)]) / 2e30, 1e-6);
        Assert.Equal(1.0, GradientNorm.Of([torch.full([4], 1e-30f)]) / 2e-30, 1e-6);
    });

    [Fact]
    public void A_nan_shows_in_the_norm() => Scoped(() =>
        Assert.True(double.IsNaN(GradientNorm.Of([torch.ones(40), torch.tensor(new[] { float.NaN })]))));

    [Fact]
    public void The_norm_leaves_no_tensor_behind() => Scoped(() =>
    {
        Tensor[] gradients = [torch.ones(70_000), torch.ones(3, 4).t(), torch.ones(2, dtype: ScalarType.Float64)];
        long before = Tensor.TotalCount;
        GradientNorm.Of(gradients);
        Assert.Equal(before, Tensor.TotalCount);
    });

    private static void Scoped(Action test)
    {
        using var scope = NewDisposeScope();
        test();
    }
}
