using Perenos.Checkpoints;
using Perenos.Runs;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Checkpoints;

public sealed class WeightCheckTests
{
    [Theory]
    [InlineData(torch.ScalarType.Float32)]
    [InlineData(torch.ScalarType.Float64)]
    [InlineData(torch.ScalarType.BFloat16)]
    [InlineData(torch.ScalarType.Float16)]
    public void One_value_that_is_not_finite_is_found_wherever_it_stands(torch.ScalarType type)
    {
        using var scope = NewDisposeScope();
        foreach (int at in new[] { 0, 1, 31, 32, 63, 98, 99 })
        {
            foreach (double value in new[] { double.NaN, double.PositiveInfinity, double.NegativeInfinity })
            {
                var values = ones(100, dtype: type);
                WeightCheck.RefuseNotFinite("w", values);
                values[at] = value;
                var error = Assert.Throws<PerenosException>(() => WeightCheck.RefuseNotFinite("model.w", values));
                Assert.Contains("model.w", error.Message, StringComparison.Ordinal);
                Assert.Contains($"element {at} of 100", error.Message, StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public void The_largest_numbers_views_integers_and_empty_tensors_pass()
    {
        using var scope = NewDisposeScope();
        WeightCheck.RefuseNotFinite("w", full(40, float.MaxValue).reshape(4, 10).t());
        WeightCheck.RefuseNotFinite("w", full(40, float.Epsilon));
        WeightCheck.RefuseNotFinite("w", ones(4, dtype: torch.ScalarType.Int64));
        WeightCheck.RefuseNotFinite("w", ones(0));
        var parameter = new TorchSharp.Modules.Parameter(ones(3));
        WeightCheck.RefuseNotFinite("w", parameter);
        Assert.True(parameter.requires_grad);
    }
}
