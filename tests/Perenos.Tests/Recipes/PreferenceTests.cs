using System.Text.Json.Nodes;
using Perenos.Recipes;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Testing;
using Xunit;

namespace Perenos.Tests.Recipes;

/// <summary>Preferences on the whole road: learnt, told in log and report, resumed, refused where they have no meaning.</summary>
public sealed class PreferenceTests : IDisposable
{
    private readonly TinyProject _project = new();

    public void Dispose() => _project.Dispose();

    [Theory]
    [InlineData("full")]
    [InlineData("lora")]
    [InlineData("prompt")]
    public void What_is_preferred_is_learnt_told_and_resumed_bit_for_bit(string method)
    {
        var config = Preferring(FineTuneTests.MethodOf(method));
        var result = _project.Run(config, "straight");
        var steps = RunComparison.Steps(_project.Open("straight"));
        Assert.All(steps, step => Assert.InRange(step.RewardAccuracy!.Value, 0, 1));
        if (method == "full")
        {
            // The first step has rate 0, and the model is still its base.
            Assert.Equal(Math.Log(2), steps[0].Loss, 1e-5);
            Assert.Equal(0, steps[0].RewardMargin!.Value, 1e-6);
            Assert.True(steps[^1].RewardMargin > 0.1, $"margin {steps[^1].RewardMargin}");
        }

        Assert.NotNull(result.Preference);
        Assert.Contains(result.Report!.Verdict, finding => finding.Sentence.Contains("held-out preferences", StringComparison.Ordinal));
        Assert.Contains(result.Summary.Metrics, metric => metric.Name == "preference accuracy");
        Assert.Equal(RunComparison.Validations(_project.Open("straight")).Min(validation => validation.Loss), result.Summary.BestValidationLoss);

        _project.Interrupt(config, "interrupted", atStep: 3);
        _project.Resume("interrupted");
        RunComparison.Equal(_project.Open("straight"), _project.Open("interrupted"));
    }

    [Theory]
    [InlineData("random weights")]
    [InlineData("beta")]
    [InlineData("replay")]
    [InlineData("distillation")]
    [InlineData("pack")]
    [InlineData("templates")]
    [InlineData("recompute")]
    public void What_has_no_meaning_with_preferences_is_refused(string mistake)
    {
        var config = Preferring(FineTuneTests.MethodOf("lora"));
        config = mistake switch
        {
            "random weights" => config with { Start = _project.Config(new FullConfig()).Start },
            "beta" => config with { Objective = new DpoConfig { Beta = 0 } },
            "replay" => config with { Retention = new RetentionConfig { Replay = new TextReplay { Path = "x" } } },
            "distillation" => config with { Retention = new RetentionConfig { Distillation = new DistillationConfig() } },
            "pack" => config with { Training = config.Training with { Pack = true } },
            "templates" => config with { Data = config.Data with { Prompt = "{prompt}", Completion = "{chosen}" } },
            _ => config with { Training = config.Training with { Recompute = true } },
        };
        Assert.Contains(mistake, Assert.Throws<PerenosException>(() => PreparedRun.Open(config, stop: TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);
    }

    // The translation is preferred to no translation.
    private RunConfig Preferring(MethodConfig method)
    {
        var plain = _project.Config(new FullConfig());
        _project.Run(plain with { Evaluation = plain.Evaluation with { TestRecords = 0 } }, "old");
        foreach (string part in new[] { "train", "valid", "test" })
        {
            var pairs = File.ReadLines(_project.PathOf($"data/{part}.jsonl")).Select(line => JsonNode.Parse(line)!).ToList();
            _project.Write($"pairs/{part}.jsonl", string.Concat(pairs.Select(pair => new JsonObject
            {
                ["prompt"] = $"English: {pair["en"]}\nFrench:",
                ["chosen"] = $" {pair["fr"]}",
                ["rejected"] = $" {pair["en"]}",
            }.ToJsonString() + "\n")));
        }

        return _project.Config(method) with
        {
            Start = new PretrainedStart { Model = _project.Open("old").Model },
            Data = new DataConfig { Path = _project.PathOf("pairs"), MaximumLength = 160 },
            Objective = new DpoConfig(),
        };
    }
}
