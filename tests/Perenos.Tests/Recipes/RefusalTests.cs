using Perenos.Checkpoints;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Testing;
using Perenos.Training;
using Xunit;

namespace Perenos.Tests.Recipes;

/// <summary>What would train nothing, or the wrong thing, is refused before the first step, by name.</summary>
public sealed class RefusalTests : IDisposable
{
    private readonly TinyProject _project = new();

    public void Dispose() => _project.Dispose();

    [Fact]
    public void Empty_completions_are_refused_by_row()
    {
        var problem = RefusedData("""{"en": "Sunny.", "fr": "Ensoleillé."}""", """{"en": "Cloudy.", "fr": ""}""");
        Assert.Contains("data.jsonl:2", problem.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_whose_completions_are_all_too_long_is_refused()
    {
        string rows = string.Join('\n', Enumerable.Range(0, 12).Select(row => $$"""{"en": "Sunny {{row}}.", "fr": "{{string.Join(' ', Enumerable.Repeat("neige", 300))}}"}"""));
        var problem = RefusedData(rows);
        Assert.Contains("longer than 160 tokens", problem.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"en": "Cloudy.", "fr": """)]
    [InlineData("""["Cloudy.", "Nuageux."]""")]
    [InlineData("""{"en": "Cloudy."}""")]
    [InlineData("""{"en": "Cloudy.", "fr": null}""")]
    public void A_broken_row_is_refused_by_its_number(string row)
    {
        var problem = RefusedData("""{"en": "Sunny.", "fr": "Ensoleillé."}""", """{"en": "Rain.", "fr": "Pluie."}""", row);
        Assert.Contains("data.jsonl:3", problem.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Text_that_is_not_utf8_is_refused_by_its_row()
    {
        string path = _project.PathOf("data.jsonl");
        File.WriteAllBytes(path, [.. "{\"en\": \"Sunny.\", \"fr\": \"Ensoleillé.\"}\n{\"en\": \"Rain.\", \"fr\": \""u8, 0xE9, .. "\"}\n"u8]);
        var problem = Refused(config => config with { Data = config.Data with { Path = path } });
        Assert.Contains("data.jsonl:2", problem.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_placeholder_without_a_field_is_refused_with_the_fields_there_are()
    {
        var problem = Refused(config => config with { Data = config.Data with { Completion = " {fre}" } });
        Assert.Contains("fre", problem.Message, StringComparison.Ordinal);
        Assert.Contains("fr", problem.Hint, StringComparison.Ordinal);
    }

    [Fact]
    public void Nothing_is_learnt_from_an_empty_file()
    {
        string path = _project.Write("data.jsonl", "\n");
        Assert.Contains("no records", Refused(config => config with { Data = config.Data with { Path = path } }).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("query")]
    [InlineData("re:model\\.layers\\.[0-9]\\.attn\\..*")]
    public void A_layer_that_is_not_there_is_refused_with_those_that_are(string target)
    {
        var problem = Refused(config => config with { Method = new LoraConfig { Targets = ["v_proj", target] } });
        Assert.Contains(target, problem.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("v_proj", problem.Message, StringComparison.Ordinal);
        Assert.Contains("q_proj", problem.Hint, StringComparison.Ordinal);
    }

    [Fact]
    public void No_targets_at_all_are_refused()
    {
        var problem = Refused(config => config with { Method = new LoraConfig { Targets = [] } });
        Assert.Equal("method.targets is empty.", problem.Message);
    }

    [Theory]
    [InlineData("training.learning_rate")]
    [InlineData("training.batch_size")]
    [InlineData("data.maximum_length")]
    [InlineData("evaluation.resamples")]
    public void Values_out_of_range_are_refused_by_their_key(string key)
    {
        var problem = Refused(config => key switch
        {
            "training.learning_rate" => config with { Training = config.Training with { LearningRate = 0 } },
            "training.batch_size" => config with { Training = config.Training with { BatchSize = 0 } },
            "data.maximum_length" => config with { Data = config.Data with { MaximumLength = 1 } },
            _ => config with { Evaluation = config.Evaluation with { Resamples = 0 } },
        });
        Assert.StartsWith(key, problem.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_that_cannot_be_written_is_refused()
    {
        // A file where the folder of runs should be: not even root can make a folder in it.
        string root = _project.Write("runs", "not a folder");
        var problem = Assert.Throws<PerenosException>(() => _project.Run(_project.Config(new FullConfig()), "run"));
        Assert.Contains(root, problem.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_run_folder_that_becomes_unwritable_keeps_the_last_checkpoint()
    {
        var config = _project.Config(new FullConfig());
        var problem = Assert.Throws<PerenosException>(() => _project.Run(config, "run", happened =>
        {
            // From now on no checkpoint can be made: its name is taken by a file.
            if (happened is RunEvent.Checkpoint { Number: 4 })
                File.WriteAllText(_project.Open("run").CheckpointAt(4), "in the way");
        }));
        Assert.Contains("step-000004", problem.Message, StringComparison.Ordinal);
        var folder = _project.Open("run");
        Assert.IsType<RunEvent.Failed>(EventLog.Read(folder.Events).Last());
        File.Delete(folder.CheckpointAt(4));
        Assert.Equal(2, Assert.Single(folder.SavedCheckpoints()).Step);

        Assert.Equal(TrainingEnd.Completed, _project.Resume("run").End);
        _project.Run(config, "straight");
        RunComparison.Equal(_project.Open("straight"), _project.Open("run"));
    }

    [Fact]
    public void A_loss_that_is_not_a_number_leaves_the_last_checkpoint_and_says_so()
    {
        var config = _project.Config(new FullConfig());
        config = config with { Training = config.Training with { LearningRate = 1e30, WarmupShare = 0, SaveEvery = 1, ValidateEvery = 100 } };
        var problem = Assert.Throws<PerenosException>(() => _project.Run(config, "run"));

        Assert.Contains("learning_rate", problem.Hint, StringComparison.Ordinal);
        var folder = _project.Open("run");
        var failed = Assert.IsType<RunEvent.Failed>(EventLog.Read(folder.Events).Last());
        Assert.Equal((problem.Message, problem.Hint), (failed.Message, failed.Hint));
        Assert.Equal((RunStatus.Failed, failed.Number), (RunSummary.Read(folder)!.Status, RunSummary.Read(folder)!.Steps));
        var (step, checkpoint) = Assert.Single(folder.SavedCheckpoints());
        Assert.Equal(failed.Number, step);
        using var weights = SafetensorsFile.Open(Path.Combine(checkpoint, "weights.safetensors"));
        Assert.All(weights.Tensors.Keys, name =>
        {
            using var tensor = weights.Read(name);
            WeightCheck.RefuseNotFinite(name, tensor);
        });
    }

    private PerenosException RefusedData(params string[] rows)
    {
        string path = _project.Write("data.jsonl", string.Join('\n', rows) + "\n");
        return Refused(config => config with { Data = config.Data with { Path = path, ValidationShare = 0, TestShare = 0 } });
    }

    private PerenosException Refused(Func<RunConfig, RunConfig> change)
    {
        var problem = Assert.Throws<PerenosException>(() => _project.Run(change(_project.Config(new FullConfig())), "run"));
        Assert.False(File.Exists(Path.Combine(_project.Runs, "run", "config.json")), "a refused run should not be listed");
        Assert.NotEmpty(problem.Hint);
        return problem;
    }
}
