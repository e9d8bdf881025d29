using Perenos.Layers;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Layers;

/// <summary>ALiBi: the slopes of the paper, and distances that padding does not change.</summary>
public sealed class LinearBiasesTests
{
    // Section 3 of the paper: 2^(−8/n) and its powers; for other numbers of heads the authors' own rule.
    [Theory]
    [InlineData(1, new[] { 1f / 256 })]
    [InlineData(2, new[] { 1f / 16, 1f / 256 })]
    [InlineData(3, new[] { 1f / 16, 1f / 256, 1f / 4 })]
    [InlineData(6, new[] { 1f / 4, 1f / 16, 1f / 64, 1f / 256, 1f / 2, 1f / 8 })]
    [InlineData(8, new[] { 1f / 2, 1f / 4, 1f / 8, 1f / 16, 1f / 32, 1f / 64, 1f / 128, 1f / 256 })]
    public void Slopes_are_those_of_the_paper(int heads, float[] expected) => Assert.Equal(expected, LinearBiases.Slopes(heads));

    [Fact]
    public void Slopes_of_sixteen_heads_fall_by_the_root_of_two() =>
        Assert.All(LinearBiases.Slopes(16).Zip(LinearBiases.Slopes(16).Skip(1)), pair => Assert.Equal(Math.Sqrt(2), pair.First / pair.Second, 1e-5));

    [Fact]
    public void Biases_count_real_tokens_only()
    {
        using var scope = NewDisposeScope();
        var tokens = zeros([2, 4], ScalarType.Int64);
        var mask = tensor(new long[] { 1, 1, 1, 1, 0, 0, 1, 1 }, [2, 4]);
        var context = ForwardContext.For(tokens, mask, null, null, ScalarType.Float32, new ModelParts());
        var biases = LinearBiases.For(context, [0.5f, 0.25f], ScalarType.Float32);
        Assert.Equal([2, 2, 1, 4], biases.shape);
        Assert.Equal([0, 0.5f, 1, 1.5f, 0, 0.25f, 0.5f, 0.75f, 0, 0, 0, 0.5f, 0, 0, 0, 0.25f], biases.contiguous().data<float>().ToArray());
    }

    [Fact]
    public void Rounded_to_bfloat16_a_bias_is_the_rounded_product_of_rounded_numbers()
    {
        using var scope = NewDisposeScope();
        var context = ForwardContext.For(zeros([1, 40], ScalarType.Int64), null, null, null, ScalarType.Float32, new ModelParts());
        float slope = LinearBiases.Slopes(16)[0];
        float rounded = LinearBiases.For(context, [slope], ScalarType.Float32, ScalarType.BFloat16)[0, 0, 0, 39].item<float>();
        // 0.70711 -> 0.70703; 39 · 0.70703 = 27.574 -> 27.625: eight binary digits.
        Assert.Equal(27.625f, rounded);
        Assert.Equal(39 * slope, LinearBiases.For(context, [slope], ScalarType.Float32)[0, 0, 0, 39].item<float>(), 1e-5);
    }
}
