using System.CommandLine;
using Perenos.Runs.Config;
using Xunit;

namespace Perenos.Cli.Tests;

/// <summary>What options make of a recipe in stages, and of a kind of transfer; nothing is trained.</summary>
public sealed class ModeTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("perenos-modes-").FullName;
    private readonly Command _command = new("tune");
    private readonly RecipeOptions _options;

    public ModeTests()
    {
        _options = new RecipeOptions(_command, isPretrained: true);
        File.WriteAllText(Path.Combine(_folder, "text.txt"), "A line.\n\nAnother.\n");
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Unsupervised_transfer_fills_in_what_is_left_open()
    {
        var config = Read("--mode", "unsupervised", "--model", "base", "--data", Path.Combine(_folder, "text.txt"));
        Assert.IsType<FullConfig>(config.Method);
        Assert.IsType<GeneratedReplay>(config.Retention.Replay);
        Assert.Equal((1, 0.1), (config.Training.Epochs, config.Training.FinalRateShare));
    }

    [Fact]
    public void What_the_user_says_comes_before_the_mode()
    {
        var config = Read("--mode", "unsupervised", "--model", "base", "--data", Path.Combine(_folder, "text.txt"), "--rank", "4", "--epochs", "2", "--distill", "0.5");
        Assert.Equal(4, Assert.IsType<LoraConfig>(config.Method).Rank);
        Assert.Equal((2, 0.1), (config.Training.Epochs, config.Training.FinalRateShare));
        Assert.Equal((null, 0.5), (config.Retention.Replay, config.Retention.Distillation!.Weight));
    }

    [Fact]
    public void Transductive_transfer_becomes_three_stages()
    {
        var config = Stages("--mode", "transductive", "--model", "base", "--data", "source", "--target", "target", "--prompt", "{en}\\n", "--completion", "{fr}", "--target-text", "{en}", "--confidence", "0.6", "--steps", "7")!;
        Assert.Equal("target", config.Data.Path);
        Assert.Equal([("target", "{en}"), ("source", null), ("source", null)], config.Stages.Select(stage => (stage.Data!.Path, stage.Data.Text)));
        Assert.Equal(("target", "{en}\n", 0.6), (config.Stages[2].SelfTraining!.Path, config.Stages[2].SelfTraining!.Prompt, config.Stages[2].SelfTraining!.Confidence));
        Assert.All(config.Stages, stage => Assert.Equal(7, stage.Training.MaximumSteps));
    }

    [Fact]
    public void Options_of_the_loop_are_laid_over_every_stage_and_those_of_the_whole_over_the_whole()
    {
        string recipe = Path.Combine(_folder, "stages.yaml");
        File.WriteAllText(recipe, """
            start: {kind: pretrained, model: base}
            data: {path: data}
            stages:
              - {name: first, training: {epochs: 5, batch_size: 2}}
              - {name: second, adapter: attach, method: {kind: prompt}}
            """);
        var config = Stages(recipe, "--epochs", "2", "--test-records", "3", "--seed", "9")!;
        Assert.Equal([(2.0, 2), (2.0, 16)], config.Stages.Select(stage => (stage.Training.Epochs, stage.Training.BatchSize)));
        Assert.Equal((3, 9UL, AdapterHandover.Attach), (config.Evaluation.TestRecords, config.Seed, config.Stages[1].Adapter));
    }

    [Fact]
    public void Every_recipe_that_comes_with_the_program_is_read_and_its_stages_fit()
    {
        var recipes = Directory.GetFiles(Path.Combine(Perenos.Testing.Shared.Checkout, "recipes"), "*.yaml");
        Assert.NotEmpty(recipes);
        foreach (string recipe in recipes)
        {
            if (Stages(recipe) is { } stages)
                Assert.Equal(stages.Stages.Count, Perenos.Recipes.FineTuneInStages.Check(stages).Count);
            else
                Assert.NotNull(Read(recipe));
        }
    }

    private RunConfig Read(params string[] arguments) => _options.Read(_command.Parse(arguments));

    private StagedConfig? Stages(params string[] arguments) => _options.ReadStages(_command.Parse(arguments));
}
