using Perenos.Runs;
using Xunit;

namespace Perenos.Testing;

/// <summary>Two runs that must have done the very same: every number of every step, every saved byte.</summary>
public static class RunComparison
{
    /// <summary>Compares two finished runs: steps, validations, weights, moments, result, answers, summary.</summary>
    public static void Equal(RunFolder expected, RunFolder actual)
    {
        Assert.Equal(Steps(expected), Steps(actual));
        Assert.Equal(Validations(expected), Validations(actual));
        AssertEqualFiles(expected.SavedCheckpoints()[^1].Path, actual.SavedCheckpoints()[^1].Path, "weights.safetensors", "optimizer.safetensors");
        if (Directory.Exists(expected.Model))
            AssertEqualFiles(expected.Model, actual.Model, "model.safetensors", "config.json", "tokenizer.json");
        else
            AssertEqualFiles(expected.Adapter, actual.Adapter, "adapter_model.safetensors", "adapter_config.json");
        Assert.Equal(File.ReadAllText(expected.Samples), File.ReadAllText(actual.Samples));
        var (first, second) = (RunSummary.Read(expected)!, RunSummary.Read(actual)!);
        Assert.Equal(first.Metrics, second.Metrics);
        Assert.Equal((first.Steps, first.FirstLoss, first.LastLoss, first.BestValidationLoss), (second.Steps, second.FirstLoss, second.LastLoss, second.BestValidationLoss));
    }

    /// <summary>Steps of a run without their seconds, which differ from run to run.</summary>
    public static IReadOnlyList<RunEvent.Step> Steps(RunFolder run) =>
        [.. EventLog.Read(run.Events).OfType<RunEvent.Step>().Select(step => step with { Seconds = 0, TokensPerSecond = 0 })];

    /// <summary>Validations of a run.</summary>
    public static IReadOnlyList<RunEvent.Validation> Validations(RunFolder run) => [.. EventLog.Read(run.Events).OfType<RunEvent.Validation>()];

    private static void AssertEqualFiles(string expected, string actual, params string[] names)
    {
        foreach (string name in names)
            Assert.True(File.ReadAllBytes(Path.Combine(expected, name)).AsSpan().SequenceEqual(File.ReadAllBytes(Path.Combine(actual, name))), $"{name} differs");
    }
}
