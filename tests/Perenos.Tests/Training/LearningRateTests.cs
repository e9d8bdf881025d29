using System.Text.Json.Nodes;
using Perenos.Runs.Config;
using Perenos.Testing;
using Perenos.Training;
using Xunit;

namespace Perenos.Tests.Training;

/// <summary>Every schedule against transformers' own values, three steps beyond the end included.</summary>
public sealed class LearningRateTests
{
    // Powers and cosines in double on both sides.
    private const double Tolerance = 1e-12;

    [Fact]
    public void Every_schedule_equals_the_reference()
    {
        var fixture = JsonNode.Parse(File.ReadAllText(Shared.ParityOrSkip("training", "schedules.json")))!;
        int warmup = fixture["warmup_steps"]!.GetValue<int>(), total = fixture["training_steps"]!.GetValue<int>();
        var schedules = fixture["schedules"]!.AsObject();
        Assert.NotEmpty(schedules);
        foreach (var (name, expected) in schedules)
        {
            var rate = Named(name, expected!["arguments"]!, warmup, total);
            var multipliers = expected["multiplier"]!.AsArray();
            for (int step = 0; step < multipliers.Count; step++)
                Assert.True(Math.Abs(multipliers[step]!.GetValue<double>() - rate.At(step)) <= Tolerance, $"{name}, step {step}: {rate.At(step)}");
        }
    }

    [Theory]
    [InlineData(Schedule.Linear)]
    [InlineData(Schedule.Cosine)]
    [InlineData(Schedule.CosineWithRestarts)]
    [InlineData(Schedule.Polynomial)]
    [InlineData(Schedule.WarmupStableDecay)]
    public void A_falling_schedule_ends_at_its_final_share(Schedule schedule)
    {
        var rate = new LearningRate(2, schedule, 5, 50) { FinalShare = 0.25, DecaySteps = 10, Cycles = 2, Power = 3 };
        Assert.Equal(2, rate.At(5), Tolerance);
        Assert.Equal(0.5, rate.At(50), Tolerance);
        Assert.All(Enumerable.Range(5, 46), step => Assert.InRange(rate.At(step), 0.5 - Tolerance, 2));
    }

    private static LearningRate Named(string name, JsonNode arguments, int warmup, int total)
    {
        double Number(string key, double absent) => arguments[key]?.GetValue<double>() ?? absent;
        return name switch
        {
            "constant" => new LearningRate(1, Schedule.Constant, 0, total),
            "constant_with_warmup" => new LearningRate(1, Schedule.Constant, warmup, total),
            "linear" => new LearningRate(1, Schedule.Linear, warmup, total),
            "cosine" => new LearningRate(1, Schedule.Cosine, warmup, total),
            "cosine_with_restarts" => new LearningRate(1, Schedule.CosineWithRestarts, warmup, total) { Cycles = (int)Number("num_cycles", 1) },
            "polynomial" => new LearningRate(1, Schedule.Polynomial, warmup, total) { FinalShare = Number("lr_end", 1e-7), Power = Number("power", 1) },
            "inverse_sqrt" => new LearningRate(1, Schedule.InverseSqrt, warmup, total),
            "cosine_with_min_lr" => new LearningRate(1, Schedule.Cosine, warmup, total) { FinalShare = Number("min_lr_rate", 0) },
            "warmup_stable_decay" => new LearningRate(1, Schedule.WarmupStableDecay, warmup, total) { DecaySteps = (int)Number("num_decay_steps", 0), FinalShare = Number("min_lr_ratio", 0) },
            _ => throw new InvalidOperationException($"The fixture has the schedule {name}."),
        };
    }
}
