using Perenos.Checkpoints;
using Perenos.Evaluation;
using Perenos.Recipes;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Testing;
using Perenos.Training;
using Perenos.Transfer;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Recipes;

public sealed class StagesTests : IDisposable
{
    private static readonly LoraConfig SmallLora = new() { Rank = 2 };
    private static readonly PromptConfig SmallPrompt = new() { VirtualTokens = 3 };

    private readonly TinyProject _project = new();
    private readonly RunConfig _run;
    private readonly string _base;

    public StagesTests()
    {
        _run = _project.Config(new FullConfig());
        _project.Run(_run, "pretrained");
        _base = _project.Open("pretrained").Model;
    }

    public void Dispose() => _project.Dispose();

    [Fact]
    public void A_hybrid_runs_stage_after_stage_and_measures_each_against_the_base()
    {
        var config = Hybrid();
        List<string> announced = [];
        var result = _project.RunStages(config, "hybrid", announced.Add);
        var folder = _project.Open("hybrid");

        Assert.Equal(TrainingEnd.Completed, result.End);
        Assert.Equal(3, announced.Count);
        Assert.Equal(["pretrained", "hybrid"], RunFolder.List(_project.Runs).Select(run => run.Name).Order(StringComparer.Ordinal).Reverse());
        var summary = RunSummary.Read(folder)!;
        Assert.Equal((RunStatus.Finished, "lora → prompt → prompt", 12L), (summary.Status, summary.Method!, summary.Steps));
        Assert.Equal(["domain", "to-french", "to-english"], summary.Stages.Select(stage => stage.Name));
        Assert.All(summary.Stages, stage => Assert.Equal(RunStatus.Finished, RunSummary.Read(RunFolder.Open(stage.Folder))!.Status));

        // Both prompts start from the domain with its adapter merged; the base of all numbers is the model before the first stage.
        string merged = Path.Combine(folder.Path, "merged-1-domain");
        Assert.All(summary.Stages.Skip(1), stage => Assert.Equal(new PretrainedStart { Model = merged }, ConfigFile.Read<RunConfig>(RunFolder.Open(stage.Folder).Config).Start));
        double before = GeneralLoss(Path.Combine(summary.Stages[0].Folder, "before.json"));
        Assert.Equal(GeneralLoss(Path.Combine(summary.Stages[0].Folder, "after.json")) - before, summary.Stages[0].Forgetting!.Value, 9);
        Assert.Equal(GeneralLoss(Path.Combine(summary.Stages[1].Folder, "after.json")) - before, summary.Stages[1].Forgetting!.Value, 9);
        Assert.Equal(GeneralLoss(Path.Combine(folder.Path, "target-3-to-english.json")) - before, summary.Stages[2].Forgetting!.Value, 9);

        var report = result.Report!;
        Assert.Equal(["base as it is", "domain", "to-french", "to-english"], report.Results!.States);
        Assert.Contains(report.Results.Rows, row => row.Name.EndsWith("to-english: test loss", StringComparison.Ordinal) && row.Values is [not null, null, null, not null]);
        Assert.Equal(["domain", "to-french", "to-english"], report.Forgetting!.Rows.Select(row => row.Name));
        Assert.Contains(report.Title, File.ReadAllText(folder.Report), StringComparison.Ordinal);
        Assert.Contains("finished", Assert.Throws<PerenosException>(() => _project.ResumeStages("hybrid")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_prompt_that_comes_first_stays_attached_frozen_and_is_then_taken_off()
    {
        var result = _project.RunStages(With(Stage("format", SmallPrompt), Stage("task", new FullConfig()) with { Adapter = AdapterHandover.Attach }), "promot");
        var (format, task) = (Folder(result, 0), Folder(result, 1));

        Assert.Equal(["format", "task", "task, adapter off"], result.Summary.Stages.Select(stage => stage.Name));
        Assert.Equal(Adapter(format.Adapter), Adapter(task.Adapter));
        Assert.False(File.ReadAllBytes(Path.Combine(task.Model, "model.safetensors")).AsSpan().SequenceEqual(File.ReadAllBytes(Path.Combine(_base, "model.safetensors"))), "the weights should have learnt");
        AssertHoldsWhatWasJudged(task);
        Assert.NotEqual(result.Summary.Stages[1].Forgetting, result.Summary.Stages[2].Forgetting);
    }

    [Fact]
    public void An_adapter_that_stays_attached_learns_nothing_while_a_prompt_does()
    {
        var result = _project.RunStages(With(Stage("domain", SmallLora), Stage("task", SmallPrompt) with { Adapter = AdapterHandover.Attach }), "attached");
        var (domain, task) = (Folder(result, 0), Folder(result, 1));

        Assert.Equal(domain.Adapter, ((PretrainedStart)ConfigFile.Read<RunConfig>(task.Config).Start).Adapter);
        Assert.Equal([domain.Adapter, task.Adapter], TrainedModel.Of(task).Adapters);
        AssertHoldsWhatWasJudged(domain);
        AssertHoldsWhatWasJudged(task);
    }

    [Fact]
    public void A_dropped_adapter_leaves_the_model_that_it_was_on()
    {
        var result = _project.RunStages(With(Stage("first", SmallPrompt), Stage("second", SmallLora) with { Adapter = AdapterHandover.Drop }), "dropped");
        Assert.Equal(new PretrainedStart { Model = _base }, ConfigFile.Read<RunConfig>(Folder(result, 1).Config).Start);
        Assert.Equal(Judgement.Read(Path.Combine(Folder(result, 0).Path, "before.json")).Losses, Judgement.Read(Path.Combine(Folder(result, 1).Path, "before.json")).Losses);
    }

    [Fact]
    public void Stages_interrupted_within_and_killed_between_end_as_if_never_stopped()
    {
        var config = Hybrid();
        var straight = _project.RunStages(config, "straight");

        using var stop = new CancellationTokenSource();
        int planned = 0;
        var interrupted = _project.RunStages(config, "stopped", happened: happened =>
        {
            planned += happened is RunEvent.Planned ? 1 : 0;
            if (planned == 2 && happened is RunEvent.Step { Number: 2 })
                stop.Cancel();
        }, stop: stop);
        Assert.Equal(TrainingEnd.Interrupted, interrupted.End);
        Assert.Equal(RunStatus.Interrupted, RunSummary.Read(_project.Open("stopped"))!.Status);

        // The second stage goes on in its middle; as the third begins the process is killed.
        Assert.Throws<InvalidOperationException>(() => _project.ResumeStages("stopped", stage => KillAt("3-to-english", stage)));
        Assert.Equal(RunStatus.Running, RunSummary.Read(_project.Open("stopped"))!.Status);
        Assert.Equal(2, RunSummary.Read(_project.Open("stopped"))!.Stages.Count);
        // Or a moment later, when its folder is there and its run is not.
        _project.Write("runs/stopped/stages/3-to-english/environment.json", "{}");
        var resumed = _project.ResumeStages("stopped");

        Assert.Equal(TrainingEnd.Completed, resumed.End);
        for (int stage = 0; stage < 3; stage++)
        {
            var (expected, actual) = (Folder(straight, stage), Folder(resumed, stage));
            Assert.Equal(RunComparison.Steps(expected), RunComparison.Steps(actual));
            Assert.Equal(Adapter(expected.Adapter), Adapter(actual.Adapter));
            Assert.Equal(straight.Summary.Stages[stage].Metrics, resumed.Summary.Stages[stage].Metrics);
            Assert.Equal(straight.Summary.Stages[stage].Forgetting, resumed.Summary.Stages[stage].Forgetting);
        }
    }

    [Fact]
    public void A_stage_that_fails_leaves_the_earlier_ones_and_is_gone_on_with()
    {
        string late = _project.Write("late.jsonl", File.ReadAllText(_project.PathOf("data/train.jsonl")));
        var config = With(Stage("first", SmallLora), Stage("second", SmallLora) with { Data = _run.Data with { Path = late } });
        string kept = File.ReadAllText(late);
        var problem = Assert.Throws<PerenosException>(() => _project.RunStages(config, "run", stage =>
        {
            if (stage.Contains("2-second", StringComparison.Ordinal))
                File.WriteAllText(late, "");
        }));
        Assert.Contains("late", problem.Message, StringComparison.Ordinal);
        var folder = _project.Open("run");
        var summary = RunSummary.Read(folder)!;
        Assert.Equal((RunStatus.Failed, "first"), (summary.Status, Assert.Single(summary.Stages).Name));
        string first = Adapter(RunFolder.Open(summary.Stages[0].Folder).Adapter);

        File.WriteAllText(late, kept);
        Assert.Equal(2, _project.ResumeStages("run").Summary.Stages.Count);
        Assert.Equal(first, Adapter(RunFolder.Open(summary.Stages[0].Folder).Adapter));
    }

    [Fact]
    public void What_can_be_known_before_the_first_stage_is_refused_before_it()
    {
        var lora = Stage("first", SmallLora);
        AssertRefused("earlier", "Did you mean first?", lora, Stage("second", SmallLora) with { From = "frist" });
        AssertRefused("no earlier stage", "base", Stage("first", SmallLora) with { From = "second" }, Stage("second", SmallLora));
        AssertRefused("cannot be merged", "attach", Stage("first", SmallPrompt), Stage("second", SmallLora));
        AssertRefused("no adapter that could stay", "Remove", Stage("first", new FullConfig()), Stage("second", SmallLora) with { Adapter = AdapterHandover.Attach });
        AssertRefused("and so would this one", "drop", Stage("first", SmallPrompt), Stage("second", SmallPrompt) with { Adapter = AdapterHandover.Attach });
        AssertRefused("trained in place", "merge", Stage("first", new NormConfig()), Stage("second", SmallLora) with { Adapter = AdapterHandover.Attach });
        AssertRefused("two adapters", "drop", lora, Stage("second", SmallLora) with { Adapter = AdapterHandover.Attach }, Stage("third", SmallLora));
        AssertRefused("is taken", "name of its own", lora, Stage("FIRST", SmallLora));
        AssertRefused("cannot name a stage", "letters", Stage("a/b", SmallLora));
        AssertRefused("stages is empty", "at least one");
        AssertRefused("The stage second: training.epochs", "more than 0", lora, Stage("second", SmallLora) with { Training = new TrainingConfig { Epochs = 0 } });
        AssertRefused("Fisher file of the base", "keep.path", lora, Stage("second", new FullConfig()) with { Retention = new RetentionConfig { Penalty = new EwcConfig { Fisher = "fisher.safetensors" } } });
        AssertRefused("nowhere.jsonl", "", lora, Stage("second", SmallLora) with { Data = _run.Data with { Path = "nowhere.jsonl" } });
        AssertRefused("nowhere.txt", "", lora, Stage("second", SmallLora) with { Retention = new RetentionConfig { Replay = new TextReplay { Path = "nowhere.txt" } } });
        AssertRefused("nowhere.jsonl", "", lora, Stage("second", SmallLora) with { SelfTraining = new SelfTrainingConfig { Path = "nowhere.jsonl", Prompt = "{en}" } });
        AssertRefused("confidence of 0 to 1", "0.8", Stage("first", SmallLora) with { SelfTraining = new SelfTrainingConfig { Path = "nowhere.jsonl", Prompt = "{en}", Confidence = 2 } });
    }

    [Fact]
    public void A_later_stage_keeps_its_text_and_what_the_stages_before_it_kept()
    {
        StageConfig Keeping(string name, string text) => Stage(name, new FullConfig()) with
        {
            Retention = new RetentionConfig { Penalty = new EwcConfig { Keep = new KeepConfig { Path = _project.Write($"{name}.txt", text), Decay = 0.5 } } },
        };
        var summary = _project.RunStages(With(Keeping("first", "The bridge is closed.\n\nNobody was hurt."), Stage("between", new FullConfig()), Keeping("last", "Le pont est fermé ce soir.")), "kept").Summary;
        using var first = FisherFile.Open(RunFolder.FisherIn(summary.Stages[0].Folder));
        using var last = FisherFile.Open(RunFolder.FisherIn(summary.Stages[2].Folder));
        Assert.Equal((1, 2, 0.5), (first.Origin.Tasks, last.Origin.Tasks, last.Origin.Decay));
        Assert.Equal(Fingerprint.OfWeights(RunFolder.Open(summary.Stages[1].Folder).Model), last.Origin.BaseHash);
    }

    [Fact]
    public void Data_kept_apart_that_are_missing_are_named_before_anything_begins()
    {
        var config = With(Stage("first", SmallLora)) with { Evaluation = _run.Evaluation with { Apart = [new DataConfig { Path = "nowhere.jsonl" }] } };
        Assert.Contains("nowhere.jsonl", Assert.Throws<PerenosException>(() => _project.RunStages(config, "refused")).Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(Path.Combine(_project.Runs, "refused")), "nothing should be left");
    }

    [Fact]
    public void A_stage_of_drawn_layers_hands_on_its_weights()
    {
        var result = _project.RunStages(With(Stage("layers", new LisaConfig { ActiveLayers = 1, SwitchEvery = 2 }), Stage("prompt", SmallPrompt)), "drawn");
        var first = TrainedModel.Of(Folder(result, 0));
        Assert.Equal((Folder(result, 0).Model, 0), (first.Model, first.Adapters.Count));
        Assert.Equal(first.Model, ((PretrainedStart)ConfigFile.Read<RunConfig>(Folder(result, 1).Config).Start).Model);
        AssertHoldsWhatWasJudged(Folder(result, 0));
        AssertHoldsWhatWasJudged(Folder(result, 1));
    }

    [Fact]
    public void Confident_answers_to_unlabelled_prompts_are_learnt_beside_the_labelled_data()
    {
        // One short answer to everything: a tiny model learns it, and to end.
        string labelled = _project.Write("labelled.jsonl", string.Concat(Enumerable.Range(0, 40).Select(number => $$"""{"q": "Rain {{number}}", "a": "a"}""" + "\n")));
        string target = _project.Write("target.jsonl", string.Concat(Enumerable.Range(0, 40).Select(number => $$"""{"q": "Snow {{number}}", "a": "a"}""" + "\n")));
        var data = new DataConfig { Path = labelled, Prompt = "{q}:", Completion = " {a}" };
        var learn = new TrainingConfig { Epochs = 30, BatchSize = 8, LearningRate = 2e-2 };
        var config = With() with
        {
            Data = data with { Path = target },
            Stages =
            [
                Stage("source", new FullConfig()) with { Data = data, Training = learn },
                Stage("self", SmallLora) with { Data = data, SelfTraining = new SelfTrainingConfig { Path = target, Prompt = "{q}:", Confidence = 0.5 } },
            ],
        };
        var result = _project.RunStages(config, "self");
        string answers = Path.Combine(_project.Open("self").Path, "answers-2-self");
        var labels = ConfigFile.Read<SelfLabels>(Path.Combine(answers, "labels.json"));
        string[] learnt = File.ReadAllLines(Path.Combine(answers, "train.jsonl"));

        // 40 records: 34 to learn, 2 to validate, 4 to test.
        Assert.Equal(34, labels.Answered);
        Assert.InRange(labels.Kept, 1, 34);
        Assert.InRange(labels.Highest, 0.5, 1);
        Assert.Equal(34 + labels.Kept, learnt.Length);
        var tested = RunData.SplitOf(config.Data, config.Seed).Test.Select(record => record.PromptText).ToList();
        Assert.Equal(4, tested.Count);
        Assert.DoesNotContain(learnt, line => tested.Any(prompt => line.Contains($"\"{prompt}\"", StringComparison.Ordinal)));
        Assert.Contains(result.Report!.Plan!.Facts, fact => fact.Value.Contains($"of 34 answers of its own {labels.Kept}", StringComparison.Ordinal));

        var strict = config with { Stages = [config.Stages[0], config.Stages[1] with { SelfTraining = config.Stages[1].SelfTraining! with { Confidence = 0.999999 } }] };
        var problem = Assert.Throws<PerenosException>(() => _project.RunStages(strict, "strict"));
        Assert.Contains("the surest has", problem.Message, StringComparison.Ordinal);
        Assert.Equal("source", Assert.Single(RunSummary.Read(_project.Open("strict"))!.Stages).Name);
    }

    [Fact]
    public void The_modes_ask_for_the_data_that_they_are_named_after()
    {
        var text = _run with { Data = new DataConfig { Path = _project.PathOf("general.jsonl") } };
        Assert.Same(_run, Inductive.Checked(_run));
        Assert.Same(text, Unsupervised.Checked(text));
        Assert.Contains("plain text", Assert.Throws<PerenosException>(() => Inductive.Checked(text)).Message, StringComparison.Ordinal);
        Assert.Contains("have answers", Assert.Throws<PerenosException>(() => Unsupervised.Checked(_run)).Message, StringComparison.Ordinal);
        Assert.Throws<PerenosException>(() => Transductive.Of(text, new TransductiveTarget("target", null, 0.8)));
        Assert.Throws<PerenosException>(() => Transductive.Of(_run with { Method = SmallPrompt }, new TransductiveTarget("target", null, 0.8)));

        var config = Transductive.Of(_run with { Start = new PretrainedStart { Model = _base }, Method = SmallLora }, new TransductiveTarget(_project.PathOf("data"), null, 0.7));
        Assert.Equal(["target-text", "source", "self-training"], config.Stages.Select(stage => stage.Name));
        Assert.Equal((_run.Data.Prompt, null), (config.Stages[0].Data!.Text, config.Stages[0].Data!.Completion));
        Assert.Equal(0.7, config.Stages[2].SelfTraining!.Confidence);
        Assert.Equal(3, FineTuneInStages.Check(config).Count);
    }

    private void AssertRefused(string message, string hint, params StageConfig[] stages)
    {
        var problem = Assert.Throws<PerenosException>(() => _project.RunStages(With(stages), "refused"));
        Assert.Contains(message, problem.Message, StringComparison.Ordinal);
        Assert.Contains(hint, problem.Hint ?? "", StringComparison.Ordinal);
        Assert.False(Directory.Exists(Path.Combine(_project.Runs, "refused")), "nothing should be left");
    }

    private static void KillAt(string stage, string announced)
    {
        if (announced.Contains(stage, StringComparison.Ordinal))
            throw new InvalidOperationException("killed");
    }

    private StagedConfig Hybrid() => With(
        Stage("domain", SmallLora),
        Stage("to-french", SmallPrompt),
        Stage("to-english", SmallPrompt) with { From = "domain", Data = _run.Data with { Prompt = "French: {fr}\nEnglish:", Completion = " {en}" } });

    private StagedConfig With(params StageConfig[] stages) => new()
    {
        Start = new PretrainedStart { Model = _base },
        Data = _run.Data,
        Stages = stages,
        Evaluation = _run.Evaluation,
        Seed = _run.Seed,
        Dtype = "float32",
    };

    private StageConfig Stage(string name, MethodConfig method) =>
        new() { Name = name, Method = method, Training = _run.Training with { MaximumSteps = 4 } };

    private static RunFolder Folder(StagedResult result, int stage) => RunFolder.Open(result.Summary.Stages[stage].Folder);

    private static double GeneralLoss(string judgement)
    {
        var reference = Judgement.Read(judgement).Reference;
        return reference.Sum(document => document.Nats) / reference.Sum(document => document.Tokens);
    }

    private static string Adapter(string folder) => Convert.ToHexString(File.ReadAllBytes(Path.Combine(folder, "adapter_model.safetensors")));

    // Opened as a user would, with everything verified, the result reads the test as it was judged.
    private void AssertHoldsWhatWasJudged(RunFolder stage)
    {
        using var opened = TrainedModel.Of(stage).Open(ScalarType.Float32);
        Assert.All(opened.Adapters, adapter => Assert.Empty(adapter.Unverified));
        var test = RunData.SplitOf(_run.Data, _run.Seed).Test;
        var examination = new Examination(test, Rendering.For(opened.Pretrained, "auto"), [], _run.Evaluation, _run.Data.MaximumLength);
        var again = examination.Take(opened.Pretrained.Model, opened.Pretrained.Tokenizer, null, cancellation: TestContext.Current.CancellationToken);
        var judged = Judgement.Read(Path.Combine(stage.Path, "after.json"));
        Assert.Equal(judged.Losses, again.Losses);
        Assert.Equal(judged.Answers, again.Answers);
    }
}
