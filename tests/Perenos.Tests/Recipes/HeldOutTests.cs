using Perenos.Recipes;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;
using Perenos.Transfer;
using Xunit;

namespace Perenos.Tests.Recipes;

/// <summary>What one task is judged by teaches nothing to another: not as its data, not mixed in, replayed or kept, whatever templates read it.</summary>
public sealed class HeldOutTests : IDisposable
{
    private const string CacheVariable = "XDG_CACHE_HOME";
    private const int AllRecords = TinyProject.TrainRecords + TinyProject.ValidationRecords + TinyProject.TestRecords;
    private readonly TinyProject _project = new();
    private readonly string? _cache = Environment.GetEnvironmentVariable(CacheVariable);
    private readonly DataConfig _target;

    // The target is one file, of which shares are held out; another file has the same records in another order, and one more.
    public HeldOutTests()
    {
        Environment.SetEnvironmentVariable(CacheVariable, _project.PathOf("cache"));
        string[] lines = [.. new[] { "train", "valid", "test" }.SelectMany(part => File.ReadAllLines(_project.PathOf($"data/{part}.jsonl")))];
        _target = Config.Data with { Path = _project.Write("target.jsonl", string.Join('\n', lines)) };
        _project.Write("copy.jsonl", string.Join('\n', lines.Reverse().Append("""{"en": "Fog.", "fr": "Brouillard."}""")));
    }

    private RunConfig Config => _project.Config(new FullConfig());

    private DataSplit Split => RunData.SplitOf(_target, Config.Seed);

    private int HeldOut => Split.Validation.Count + Split.Test.Count;

    public void Dispose()
    {
        Environment.SetEnvironmentVariable(CacheVariable, _cache);
        _project.Dispose();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Data_lose_the_records_that_another_task_holds_out(bool streaming)
    {
        var config = Config with
        {
            Data = _target with { Path = _project.PathOf("copy.jsonl"), ValidationShare = 0, TestShare = 0, Streaming = streaming },
            Evaluation = Config.Evaluation with { Apart = [_target] },
        };
        using var run = PreparedRun.Open(config, stop: TestContext.Current.CancellationToken);
        Assert.True(HeldOut >= 2);
        Assert.Equal((HeldOut, AllRecords + 1 - HeldOut), (run.Data.LeftOut, run.Data.Train.Count));
        Assert.Equal(run.Data.Train.Count, run.Data.Split.Train.Count);
        Assert.Equal([.. Split.Train.Select(record => record.PromptText).Append("English: Fog.\nFrench:").Order(StringComparer.Ordinal)],
            run.Data.Split.Train.Select(record => record.PromptText).Order(StringComparer.Ordinal));
        using var alone = PreparedRun.Open(config with { Evaluation = Config.Evaluation }, stop: TestContext.Current.CancellationToken);
        Assert.Equal((0, AllRecords + 1), (alone.Data.LeftOut, alone.Data.Train.Count));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_row_that_is_held_out_is_not_mixed_in_by_other_templates(bool streaming)
    {
        var mix = new MixConfig { Path = _target.Path, Share = 0.2, Text = "{en} = {fr}" };
        using var own = PreparedRun.Open(Config with { Data = _target with { Mix = [mix], Streaming = streaming } }, stop: TestContext.Current.CancellationToken);
        Assert.Equal((Split.Train.Count, HeldOut), (own.Data.Mix[0].Records, own.Data.Mix[0].LeftOut));
        var other = Config with { Data = Config.Data with { Mix = [mix], Streaming = streaming }, Evaluation = Config.Evaluation with { Apart = [_target] } };
        using var apart = PreparedRun.Open(other, stop: TestContext.Current.CancellationToken);
        Assert.Equal(0, apart.Data.Mix[0].Examples.Count(example => Split.Test.Any(record => example.Source == record.Source)));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void General_text_that_is_itself_the_data_is_learnt(bool streaming)
    {
        var data = new DataConfig { Path = Config.Evaluation.Reference!, ValidationShare = 0, TestShare = 0, Streaming = streaming };
        using var run = PreparedRun.Open(Config with { Data = data }, stop: TestContext.Current.CancellationToken);
        Assert.Equal((3, 3, 0), (run.Data.Train.Count, run.Data.Split.Train.Select(record => record.Source).Count(), run.Data.LeftOut));
    }

    [Fact]
    public void All_of_the_data_held_out_elsewhere_is_an_error_that_says_so()
    {
        _project.Write("test.jsonl", File.ReadAllText(_project.PathOf("data/test.jsonl")));
        var config = Config with
        {
            Data = _target with { Path = _project.PathOf("test.jsonl"), ValidationShare = 0, TestShare = 0 },
            Evaluation = Config.Evaluation with { Apart = [Config.Data] },
        };
        var problem = Assert.Throws<PerenosException>(() => PreparedRun.Open(config, stop: TestContext.Current.CancellationToken));
        Assert.Contains($"all {TinyProject.TestRecords} of its training records", problem.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_later_stage_keeps_of_the_targets_file_what_is_for_training()
    {
        _project.Run(Config with { Data = _target }, "pretrained");
        string basis = _project.Open("pretrained").Model;
        // The last template is another one than the target's, so that only the row tells.
        var keep = new KeepConfig { Path = _target.Path, Prompt = "{en}:", Completion = " {fr}" };
        string training = _project.Write("training.jsonl", string.Join('\n', Split.Train.Select(record => File.ReadAllLines(_target.Path)[int.Parse(record.Source.Split(':')[1], System.Globalization.CultureInfo.InvariantCulture) - 1])));
        string Kept(KeepConfig what, string name)
        {
            var config = new StagedConfig
            {
                Start = new PretrainedStart { Model = basis },
                Data = _target,
                Stages = [new StageConfig { Name = "other", Data = Config.Data with { Path = _project.PathOf("copy.jsonl") }, Method = new FullConfig(), Training = Config.Training, Retention = new RetentionConfig { Penalty = new EwcConfig { Keep = what } } }],
                Evaluation = Config.Evaluation,
                Seed = Config.Seed,
                Dtype = "float32",
            };
            var stage = RunFolder.Open(_project.RunStages(config, name).Summary.Stages[0].Folder);
            Assert.Equal(_target, Assert.Single(ConfigFile.Read<RunConfig>(stage.Config).Evaluation.Apart!));
            using var fisher = FisherFile.Open(stage.Fisher);
            return fisher.Origin.CorpusHash;
        }

        Assert.Equal(Kept(keep with { Path = training }, "by-hand"), Kept(keep, "target"));
    }
}
