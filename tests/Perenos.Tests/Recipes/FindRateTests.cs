using Perenos.Recipes;
using Perenos.Runs;
using Perenos.Runs.Config;
using Xunit;

namespace Perenos.Tests.Recipes;

public sealed class FindRateTests : IDisposable
{
    private readonly TinyProject _project = new();

    public void Dispose() => _project.Dispose();

    [Fact]
    public void A_made_up_curve_is_read_where_it_was_drawn()
    {
        // Level until 1e-4, falls fastest at 1e-3, lowest at 1e-2, back at its start at 1e-1.
        static double Loss(double decades) => decades < -4 ? 4 : decades < -2 ? 3 + Math.Cos((decades + 4) / 2 * Math.PI) : 2 + 2 * Math.Pow(decades + 2, 2);
        var finding = FindRate.Read([.. Enumerable.Range(0, 121).Select(step => -6 + step / 20.0).Select(decades => (Math.Pow(10, decades), Loss(decades)))]);
        Assert.Equal(-3, Math.Log10(finding.Steepest), 0.15);
        Assert.Equal(-2, Math.Log10(finding.Lowest), 0.15);
        Assert.Equal(-1, Math.Log10(finding.Diverges!.Value), 0.15);
    }

    [Fact]
    public void A_loss_that_only_rises_suggests_nothing() =>
        Assert.Contains("never fell", Assert.Throws<PerenosException>(() => FindRate.Read([.. Enumerable.Range(0, 60).Select(step => (1e-6 * (step + 1), 1.0 + step))])).Message, StringComparison.Ordinal);

    [Fact]
    public void A_tiny_model_learns_at_the_suggested_rate_and_not_at_the_last()
    {
        var config = _project.Config(new FullConfig());
        using var run = PreparedRun.Open(config, stop: TestContext.Current.CancellationToken);
        List<double> rates = [];
        var finding = FindRate.Take(run, 60, 1e-5, 1e2, (_, point) => rates.Add(point.Rate), CancellationToken.None);
        Assert.Equal(rates.Order(), rates);
        Assert.InRange(finding.Steepest, 1e-4, finding.Lowest);
        Assert.True(finding.Lowest < 10, "far beyond any sensible rate the loss should not be lowest");

        var result = _project.Run(config with { Training = config.Training with { LearningRate = finding.Steepest } }, "run");
        Assert.True(result.Summary.LastLoss < result.Summary.FirstLoss, "the suggested rate should lower the loss");
    }
}
