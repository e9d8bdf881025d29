using Perenos.Layers;
using Perenos.Models;
using Perenos.Recipes;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Recipes;

/// <summary>The self-test on the embedded base model, sound and broken on purpose.</summary>
public sealed class SelfTestTests
{
    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    public void A_sound_model_passes_and_keeps_its_weights(ScalarType type)
    {
        using var pretrained = Pretrained.Open(Pretrained.BaseName, type);
        var weights = pretrained.Model.Parts.Weights.ToDictionary(weight => weight.Key, weight => weight.Value.clone());
        var checks = Run(pretrained);
        Assert.All(checks, check => Assert.NotEqual(CheckVerdict.Failed, check.Verdict));
        Assert.Equal(["chat template"], checks.Where(check => check.Verdict == CheckVerdict.Skipped).Select(check => check.Name));
        Assert.Equal(12, checks.Count);
        foreach (var (name, before) in weights)
        {
            Assert.True(before.eq(pretrained.Model.Parts.Weights[name]).all().item<bool>(), name);
            Assert.False(pretrained.Model.Parts.Weights[name].requires_grad);
            before.Dispose();
        }
    }

    [Fact]
    public void A_model_whose_rows_look_at_each_other_fails_where_they_do()
    {
        using var pretrained = Pretrained.Open(Pretrained.BaseName, ScalarType.Float32);
        pretrained.Model.Parts.Projections[0].Attach(new Mixing());
        var failed = Run(pretrained).Where(check => check.Verdict == CheckVerdict.Failed).Select(check => check.Name).ToList();
        Assert.Contains("batch size, padding on the right", failed);
        Assert.Contains("padding on the left", failed);
        Assert.Contains("gradient accumulation", failed);
        Assert.DoesNotContain("tokens return", failed);
    }

    [Fact]
    public void Numbers_that_are_none_do_not_pass()
    {
        using var pretrained = Pretrained.Open(Pretrained.BaseName, ScalarType.Float32);
        pretrained.Model.Parts.Projections[0].Attach(new Spoiling());
        Assert.Contains(Run(pretrained), check => check is { Name: "cache", Verdict: CheckVerdict.Failed });
    }

    private static IReadOnlyList<SelfTestCheck> Run(Pretrained pretrained) => SelfTest.Run(pretrained, null, _ => { }, TestContext.Current.CancellationToken);

    /// <summary>Adds to each row something of the others.</summary>
    private sealed class Mixing : IProjectionAdapter
    {
        public Tensor Apply(Tensor input, Func<Tensor, Tensor> inner)
        {
            var output = inner(input);
            return output.Plus(output.mean([0], keepdim: true).Times(0.1));
        }
    }

    private sealed class Spoiling : IProjectionAdapter
    {
        public Tensor Apply(Tensor input, Func<Tensor, Tensor> inner) => inner(input).Times(double.NaN);
    }
}
