using Perenos.Checkpoints;
using Perenos.Evaluation;
using Perenos.Models;
using Perenos.Recipes;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Testing;
using Perenos.Training;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Recipes;

public sealed class FineTuneTests : IDisposable
{
    private static readonly LoraConfig SmallLora = new() { Rank = 4, Alpha = 8, Dropout = 0.1 };
    private readonly TinyProject _project = new();

    public static TheoryData<string> Methods => ["full", "lora"];

    public static TheoryData<string> AllMethods => ["full", "lora", "lora+", "dora", "ia3", "prompt", "prompt from text", "prefix", "prefix, projected", "p-tuning", "p-tuning by lstm", "norm"];

    public void Dispose() => _project.Dispose();

    [Theory]
    [MemberData(nameof(Methods))]
    public void A_run_leaves_everything_in_its_folder(string method)
    {
        var result = _project.Run(_project.Config(MethodOf(method)), "run");
        var folder = _project.Open("run");

        Assert.Equal(TrainingEnd.Completed, result.End);
        string[] files = [.. Directory.EnumerateFiles(folder.Path, "*", SearchOption.AllDirectories)
            .Select(file => Path.GetRelativePath(folder.Path, file).Replace('\\', '/')).Order(StringComparer.Ordinal)];
        string[] saved = method == "full"
            ? ["model/config.json", "model/generation_config.json", "model/model.safetensors", "model/tokenizer.json", "model/tokenizer_config.json"]
            : ["adapter/adapter_config.json", "adapter/adapter_model.safetensors", "adapter/perenos_passport.json"];
        string[] others = [".lock", "after.json", "before.json", "checkpoints/best/weights.safetensors", "checkpoints/step-000006/optimizer.safetensors", "checkpoints/step-000006/state.json",
            "checkpoints/step-000006/weights.safetensors", "config.json", "environment.json", "events.jsonl", "report.html", "samples.jsonl", "summary.json"];
        Assert.Equal(saved.Concat(others).Order(StringComparer.Ordinal), files);

        Assert.Equal("float32", ConfigFile.Read<RunConfig>(folder.Config).Dtype);
        Assert.Equal("Float32", RunEnvironment.Read(folder).ComputeType);
        Assert.Equal(TinyProject.TestRecords, File.ReadAllLines(folder.Samples).Length);
        string report = File.ReadAllText(folder.Report);
        Assert.Contains(result.Report!.Title, report, StringComparison.Ordinal);
    }

    [Fact]
    public void The_log_tells_the_run_in_order()
    {
        _project.Run(_project.Config(new FullConfig()), "run");
        var kinds = EventLog.Read(_project.Open("run").Events).Select(happened => happened.GetType().Name);
        string[] twoSteps = ["Step", "Step", "Validation", "Checkpoint"];
        Assert.Equal(["Started", "Planned", "Evaluation", "Validation", .. twoSteps, .. twoSteps, .. twoSteps, "Evaluation", "Sample", "Sample", "Sample", "Finished"], kinds);
    }

    [Fact]
    public void The_summary_agrees_with_the_log()
    {
        var result = _project.Run(_project.Config(new FullConfig()), "run");
        var folder = _project.Open("run");
        var steps = RunComparison.Steps(folder);
        var summary = RunSummary.Read(folder)!;
        Assert.Equal(RunStatus.Finished, summary.Status);
        Assert.Equal((6, steps[0].Loss, steps[^1].Loss), (summary.Steps, summary.FirstLoss!.Value, summary.LastLoss!.Value));
        Assert.Equal(RunComparison.Validations(folder).Min(validation => validation.Loss), summary.BestValidationLoss);
        Assert.Equal(result.Examination!.Scores(result.After!), summary.Metrics);
        Assert.True(summary.LastLoss < summary.FirstLoss, "six steps should lower the loss");
    }

    [Theory]
    [MemberData(nameof(AllMethods))]
    public void What_is_saved_is_what_was_judged(string method)
    {
        var result = _project.Run(_project.Config(MethodOf(method)), "run");
        var folder = _project.Open("run");
        using var opened = method == "full" ? Pretrained.Open(folder.Model, ScalarType.Float32) : Start(result.Config);
        var verified = method == "full" ? null : OpenedAdapter.Open(folder.Adapter, opened);
        using var adapter = verified?.Adapter;
        Assert.Empty(verified?.Unverified ?? []);
        var again = result.Examination!.Take(opened.Model, opened.Tokenizer, FineTune.Prefix(opened), cancellation: TestContext.Current.CancellationToken);
        Assert.Equal(result.After!.Answers, again.Answers);
        Assert.Equal(result.After.Losses, again.Losses);
        Assert.Equal(result.After.Reference, again.Reference);
        Assert.True(Judgement.Read(folder.After).HasSameTest(again));
        Assert.NotEqual(result.Before!.Losses, again.Losses);
    }

    [Theory]
    [InlineData("prompt")]
    [InlineData("prefix, projected")]
    [InlineData("p-tuning")]
    public void What_is_judged_before_is_the_bare_base(string method)
    {
        var lora = _project.Run(_project.Config(MethodOf("lora")), "lora");
        var other = _project.Run(_project.Config(MethodOf(method)), "other");
        Assert.Equal(lora.Before!.Losses, other.Before!.Losses);
        Assert.Equal(lora.Before.Answers, other.Before.Answers);
    }

    [Theory]
    [MemberData(nameof(Methods))]
    public void A_run_is_repeated_bit_for_bit_from_its_configuration(string method)
    {
        _project.Run(_project.Config(MethodOf(method)), "first");
        _project.Run(ConfigFile.Read<RunConfig>(_project.Open("first").Config), "second");
        RunComparison.Equal(_project.Open("first"), _project.Open("second"));
    }

    [Fact]
    public void Conversations_are_learnt_answered_and_kept_as_samples()
    {
        var result = _project.Run(_project.ChatConfig(new FullConfig()), "chat");
        var samples = EventLog.Read(_project.Open("chat").Events).OfType<RunEvent.Sample>().ToList();
        Assert.Equal(TinyProject.TestRecords, samples.Count);
        Assert.Equal(result.Examination!.Answers, samples.Select(sample => sample.Reference));
        Assert.Equal(result.After!.Answers, samples.Select(sample => sample.After));
        Assert.All(samples, sample => Assert.Contains(" ", sample.Input, StringComparison.Ordinal));
    }

    [Fact]
    public void The_measured_type_is_written_down_so_that_going_on_computes_alike()
    {
        using var run = PreparedRun.Open(_project.Config(new FullConfig()) with { Dtype = "auto" }, stop: TestContext.Current.CancellationToken);
        Assert.Equal(run.Compute.Type == ScalarType.BFloat16 ? "bfloat16" : "float32", run.Config.Dtype);
    }

    [Fact]
    public void Another_seed_is_another_run()
    {
        var config = _project.Config(new FullConfig());
        _project.Run(config, "first");
        _project.Run(config with { Seed = config.Seed + 1 }, "second");
        Assert.NotEqual(RunComparison.Steps(_project.Open("first")), RunComparison.Steps(_project.Open("second")));
    }

    [Fact]
    public void A_run_that_gets_worse_stops_early_and_keeps_its_best_state()
    {
        var result = _project.Run(Overfitting(patience: 2), "run");
        var folder = _project.Open("run");

        Assert.Equal(TrainingEnd.StoppedEarly, result.End);
        var validations = RunComparison.Validations(folder);
        Assert.True(validations[^1].Number < 60, "it should have stopped before the last step");
        Assert.Equal([true, false, false], validations.TakeLast(3).Select(validation => validation.Best));
        AssertHoldsTheBestState(folder, result);
    }

    [Fact]
    public void Without_patience_all_steps_are_taken_and_the_best_state_is_still_kept()
    {
        // The same road as with patience, up to the same step: two validations beyond the best.
        int steps = (int)_project.Run(Overfitting(patience: 2), "patient").Summary.Steps;
        var config = Overfitting(patience: null);
        var result = _project.Run(config with { Training = config.Training with { MaximumSteps = steps } }, "run");
        Assert.Equal((TrainingEnd.Completed, (long)steps), (result.End, result.Summary.Steps));
        Assert.False(RunComparison.Validations(_project.Open("run"))[^1].Best);
        AssertHoldsTheBestState(_project.Open("run"), result);
    }

    [Theory]
    [MemberData(nameof(Methods))]
    public void The_plan_states_the_numbers_and_changes_nothing(string method)
    {
        var config = _project.Config(MethodOf(method));
        using var run = PreparedRun.Open(config with { Training = config.Training with { MaximumSteps = null, Epochs = 3 } }, stop: TestContext.Current.CancellationToken);

        const int perLayer = TinyProject.Width * (2 * TinyProject.Width + 2 * TinyProject.KeyValueWidth) + 3 * TinyProject.Width * TinyProject.InnerWidth;
        const int model = TinyProject.Vocabulary * TinyProject.Width + TinyProject.Layers * (perLayer + 2 * TinyProject.Width) + TinyProject.Width;
        // q and o: 16 → 16, k and v: 16 → 8; gate and up: 16 → 24, down: 24 → 16. A and B have rank · (inputs + outputs) numbers.
        const int sides = 2 * (16 + 16) + 2 * (16 + 8) + 3 * (16 + 24);
        int adapter = TinyProject.Layers * SmallLora.Rank * sides;
        Assert.Equal(method == "full" ? model : adapter, run.TrainableParameters);
        Assert.Equal(method == "full" ? model : model + adapter, run.TotalParameters);
        Assert.Equal(3 * TinyProject.TrainRecords / TinyProject.BatchSize, run.Order.TotalSteps);
        Assert.Equal(run.Data.Train.Sum(example => (long)example.Ids.Length), run.Data.Labels.Tokens);

        var before = run.Trainables.Select(trainable => Numbers(trainable.Tensor)).ToList();
        var plan = run.Rehearse(TimeProvider.System, TestContext.Current.CancellationToken);
        Assert.All(plan.Parts, part => Assert.True(0 < part.LeastSeconds && part.LeastSeconds <= part.Seconds && part.Seconds <= part.MostSeconds, part.Name));
        Assert.True(plan.Memory > 0);
        Assert.Equal(before, run.Trainables.Select(trainable => Numbers(trainable.Tensor)));
        Assert.All(run.Trainables, trainable => Assert.Null(trainable.Tensor.grad));
    }

    internal static MethodConfig MethodOf(string name) => name switch
    {
        "full" => new FullConfig(),
        "lora" => SmallLora,
        "lora+" => SmallLora with { RateRatio = 8, Start = LoraStart.Random, TrainableTokens = [3, 7], ModulesToSave = ["norm"], RankPattern = new Dictionary<string, int> { ["q_proj"] = 2 } },
        "dora" => new DoraConfig { Rank = 4, Dropout = 0.1 },
        "ia3" => new Ia3Config(),
        "prompt" => new PromptConfig { VirtualTokens = 5 },
        "prompt from text" => new PromptConfig { VirtualTokens = 5, Text = "Translate to French:" },
        "prefix" => new PrefixConfig { VirtualTokens = 5 },
        "prefix, projected" => new PrefixConfig { VirtualTokens = 5, ProjectionSize = 8 },
        "p-tuning" => new PTuningConfig { VirtualTokens = 5, HiddenSize = 8 },
        "p-tuning by lstm" => new PTuningConfig { VirtualTokens = 5, HiddenSize = 8, Encoder = PromptEncoderKind.Lstm },
        "norm" => new NormConfig(),
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, null),
    };

    // A constant rate far too high for twenty sentences: validation falls, then rises.
    private RunConfig Overfitting(int? patience)
    {
        var config = _project.Config(new FullConfig());
        return config with
        {
            Training = config.Training with { MaximumSteps = 60, Epochs = 100, LearningRate = 0.1, Schedule = Schedule.Constant, WarmupShare = 0, ValidateEvery = 3, SaveEvery = 3, Patience = patience },
        };
    }

    private static void AssertHoldsTheBestState(RunFolder folder, RunResult result)
    {
        using var best = SafetensorsFile.Open(Path.Combine(folder.Checkpoints, "best", "weights.safetensors"));
        using var last = SafetensorsFile.Open(Path.Combine(folder.SavedCheckpoints()[^1].Path, "weights.safetensors"));
        using var model = SafetensorsFile.Open(Path.Combine(folder.Model, "model.safetensors"));
        const string name = "model.norm.weight";
        Assert.Equal(Numbers(best, name), Numbers(model, name));
        Assert.NotEqual(Numbers(last, name), Numbers(model, name));
        Assert.Equal(RunComparison.Validations(folder).Min(validation => validation.Loss), result.Summary.BestValidationLoss);
    }

    private static float[] Numbers(SafetensorsFile file, string name)
    {
        using var tensor = file.Read(name);
        return Numbers(tensor);
    }

    private static float[] Numbers(Tensor tensor)
    {
        using var detached = tensor.detach();
        return detached.data<float>().ToArray();
    }

    private static Pretrained Start(RunConfig config)
    {
        var start = (RandomStart)config.Start;
        return Pretrained.Start(start.Architecture, start.Tokenizer, config.Seed, ScalarType.Float32);
    }
}
