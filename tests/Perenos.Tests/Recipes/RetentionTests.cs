using System.Text.Json.Nodes;
using Perenos.Recipes;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Testing;
using Perenos.Text.Data;
using Perenos.Transfer;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Recipes;

/// <summary>Penalty, replay and distillation on the whole road: what they leave in the run, resuming, refusals.</summary>
public sealed class RetentionTests : IDisposable
{
    private readonly TinyProject _project = new();

    public static TheoryData<string> Refused => ["random", "adapter", "more than the product", "share", "budget", "lambda", "nothing kept", "tokens", "decay", "temperature", "nothing but what is measured"];

    public void Dispose() => _project.Dispose();

    [Fact]
    public void Everything_together_is_resumed_bit_for_bit_and_tells_its_forecast()
    {
        string model = Pretrain();
        var config = Tuning(model, new FullConfig(), new RetentionConfig
        {
            Penalty = new EwcConfig { Fisher = Fisher(model), ForgetAtMost = 1e-3 },
            Replay = new GeneratedReplay { Share = 0.1, MaxNewTokens = 12 },
            Distillation = new DistillationConfig { Weight = 0.5 },
        });
        var result = _project.Run(config, "straight");
        Assert.NotNull(result.Forecast);
        Assert.Contains(result.Report!.Verdict, finding => finding.Sentence.Contains("forecast", StringComparison.Ordinal) && finding.Sentence.Contains("0.001", StringComparison.Ordinal));
        var steps = RunComparison.Steps(_project.Open("straight"));
        Assert.All(steps, step => Assert.True(step.Forecast >= 0 && step.Strength > 0));
        Assert.NotEqual(steps[0].Strength, steps[^1].Strength);

        _project.Interrupt(config, "interrupted", atStep: 3);
        _project.Resume("interrupted");
        RunComparison.Equal(_project.Open("straight"), _project.Open("interrupted"));
    }

    [Fact]
    public void A_budget_that_is_missed_is_said_and_the_front_drawn()
    {
        string model = Pretrain();
        var penalty = new EwcConfig { Fisher = Fisher(model), Lambda = 1e-2, ForgetAtMost = 1e-12 };
        var report = _project.Run(Tuning(model, new LoraConfig { Rank = 4 }, new RetentionConfig { Penalty = penalty }), "missed").Report!;
        Assert.Contains(report.Verdict, finding => finding.Sentence.Contains("was not met", StringComparison.Ordinal) && finding.Sentence.Contains("No validation", StringComparison.Ordinal));
        Assert.Equal([2, 4, 6], report.Front!.Points.Select(point => point.Step));
        Assert.Equal(1e-12, report.Front.Budget);
        Assert.Contains("Gain against forgetting", File.ReadAllText(_project.Open("missed").Report), StringComparison.Ordinal);
    }

    [Fact]
    public void A_lora_under_a_penalty_is_resumed_bit_for_bit_and_forgets_less_the_stronger_it_is()
    {
        string model = Pretrain();
        string fisher = Fisher(model);
        RunConfig Config(double strength) => Tuning(model, new LoraConfig { Rank = 4 }, new RetentionConfig { Penalty = new EwcConfig { Fisher = fisher, Lambda = strength } });
        double[] forecasts = [.. new[] { 0, 1e3, 1e6 }.Select(strength => _project.Run(Config(strength), $"lambda-{strength}").Forecast!.Value)];
        Assert.True(forecasts[0] > 0);
        Assert.Equal(forecasts.OrderDescending(), forecasts);
        _project.Interrupt(Config(1e3), "interrupted", atStep: 3);
        _project.Resume("interrupted");
        RunComparison.Equal(_project.Open("lambda-1000"), _project.Open("interrupted"));
    }

    [Theory]
    [InlineData("float32", PenaltyForm.Decoupled)]
    [InlineData("float32", PenaltyForm.InLoss)]
    [InlineData("bfloat16", PenaltyForm.Decoupled)]
    public void Lisa_under_a_budget_is_resumed_bit_for_bit(string dtype, PenaltyForm form)
    {
        string model = Pretrain();
        var penalty = new EwcConfig { Fisher = Fisher(model), ForgetAtMost = 1e-4, Form = form };
        var config = Tuning(model, new LisaConfig { ActiveLayers = 1, SwitchEvery = 2 }, new RetentionConfig { Penalty = penalty }) with { Dtype = dtype };
        _project.Run(config, "straight");
        foreach (int step in new[] { 2, 3 })
        {
            _project.Interrupt(config, $"interrupted-{step}", atStep: step);
            _project.Resume($"interrupted-{step}");
            RunComparison.Equal(_project.Open("straight"), _project.Open($"interrupted-{step}"));
        }
    }

    [Fact]
    public void A_strong_pull_of_an_adapters_predictions_keeps_the_base()
    {
        string model = Pretrain();
        double Change(RetentionConfig retention, string name) => Math.Abs(_project.Run(Tuning(model, FineTuneTests.MethodOf("lora"), retention), name).Summary.Forgetting!.Value);
        Assert.True(Change(new RetentionConfig { Distillation = new DistillationConfig { Weight = 50 } }, "kept") < Change(new RetentionConfig(), "plain"));
    }

    [Theory]
    [InlineData(0.05)]
    [InlineData(0.5)]
    public void Replay_has_its_share_of_the_learnt_tokens_and_leaves_out_what_is_measured(double share)
    {
        // The first of them stands in the reference.
        string path = _project.Write("old.jsonl", string.Concat(new[] { "A short walk by the river.", "The bridge is closed.", "Le pont est fermé ce soir." }
            .Select(text => new JsonObject { ["text"] = text }.ToJsonString() + "\n")));
        using var run = PreparedRun.Open(_project.Config(new FullConfig()) with { Retention = new RetentionConfig { Replay = new TextReplay { Path = path, Share = share } } }, stop: TestContext.Current.CancellationToken);
        double wanted = run.Data.Labels.LearntTokens * share / (1 - share);
        var replay = Assert.Single(run.Mixture);
        Example[] texts = [.. Enumerable.Range(0, 10).SelectMany(replay.Of).Select(place => replay.Examples[place])];
        Assert.InRange(texts.Sum(example => example.LearntTokens), 10 * wanted, 10 * (wanted + 1) + texts.Max(example => example.LearntTokens));
        Assert.DoesNotContain(texts, example => run.Pretrained.Tokenizer.Decode(example.Ids).Contains("short walk", StringComparison.Ordinal));
        Assert.Equal(2, texts.Select(example => example.Source).Distinct().Count());
    }

    [Fact]
    public void The_base_writes_the_same_text_for_the_same_seed()
    {
        string model = Pretrain();
        List<string> Written(ulong seed)
        {
            var config = Tuning(model, FineTuneTests.MethodOf("lora"), new RetentionConfig { Replay = new GeneratedReplay { Share = 0.3, MaxNewTokens = 10 } });
            using var run = PreparedRun.Open(config with { Seed = seed }, stop: TestContext.Current.CancellationToken);
            var texts = Assert.Single(run.Mixture).Examples;
            Assert.All(texts, example => Assert.InRange(example.Ids.Length, 2, 12));
            return [.. texts.Select(example => string.Join(' ', example.Ids))];
        }

        var first = Written(1);
        Assert.NotEmpty(first);
        Assert.Equal(first, Written(1));
        Assert.NotEqual(first, Written(2));
    }

    [Fact]
    public void A_fisher_file_of_another_base_is_refused()
    {
        string fisher = Fisher(Pretrain());
        _project.Run(_project.Config(new FullConfig()) with { Seed = 99 }, "other");
        var config = Tuning(_project.Open("other").Model, new FullConfig(), new RetentionConfig { Penalty = new EwcConfig { Fisher = fisher } });
        Assert.Contains("another base", Assert.Throws<PerenosException>(() => PreparedRun.Open(config, stop: TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Text_that_is_kept_is_estimated_at_the_start_as_by_the_command_and_once()
    {
        string model = Pretrain(), text = Text();
        RunConfig Guarded(EwcConfig penalty) => Tuning(model, new FullConfig(), new RetentionConfig { Penalty = penalty with { Lambda = 1e6 } });
        var kept = Guarded(new EwcConfig { Keep = new KeepConfig { Path = text } });
        _project.Run(kept, "kept");
        var folder = _project.Open("kept");
        string made = _project.PathOf("made.safetensors");
        Estimate(new FisherRequest { Model = model, Data = kept.Data with { Path = text, Prompt = null, Completion = null }, Output = made, Seed = kept.Seed });
        Assert.Equal(File.ReadAllBytes(made), File.ReadAllBytes(folder.Fisher));
        Assert.Equal(kept.Retention, ConfigFile.Read<RunConfig>(folder.Config).Retention);

        _project.Run(Guarded(new EwcConfig { Fisher = made }), "given");
        Assert.Equal(RunComparison.Steps(_project.Open("given")), RunComparison.Steps(folder));

        _project.Interrupt(kept, "interrupted", atStep: 3);
        // Not estimated again: what is kept is as it was when the run began.
        File.WriteAllText(text, "Something else entirely.");
        _project.Resume("interrupted");
        RunComparison.Equal(folder, _project.Open("interrupted"));
    }

    [Fact]
    public void Earlier_tasks_are_added_as_they_were_where_they_were_learnt()
    {
        string model = Pretrain(), earlier = Fisher(model), text = Text();
        _project.Run(Tuning(model, new FullConfig(), new RetentionConfig()), "first");
        string grown = _project.Open("first").Model, alone = _project.PathOf("alone.safetensors"), summed = _project.PathOf("summed.safetensors");
        var request = new FisherRequest { Model = grown, Data = new DataConfig { Path = text }, Output = alone };
        Estimate(request);
        var refused = Assert.Throws<PerenosException>(() => Estimate(request with { Output = summed, Earlier = earlier }));
        Assert.Contains("--online", refused.Hint, StringComparison.Ordinal);
        Estimate(request with { Output = summed, Earlier = earlier, IsOnline = true, Decay = 0.5 });

        using var before = FisherFile.Open(earlier);
        using var own = FisherFile.Open(alone);
        using var sum = FisherFile.Open(summed);
        Assert.Equal((2, own.Origin.BaseHash), (sum.Origin.Tasks, sum.Origin.BaseHash));
        foreach (string name in own.Tensors.Keys)
        {
            using var scope = NewDisposeScope();
            Assert.True(allclose(own.Values(name) + 0.5 * before.Values(name), sum.Values(name), rtol: 1e-6, atol: 0));
        }
    }

    [Fact]
    public void Text_that_only_repeats_what_is_measured_cannot_be_kept()
    {
        var config = Tuning(Pretrain(), new FullConfig(), new RetentionConfig());
        var kept = config with { Retention = new RetentionConfig { Penalty = new EwcConfig { Keep = new KeepConfig { Path = config.Evaluation.Reference! } } } };
        Assert.Contains("nothing to learn or to keep", Assert.Throws<PerenosException>(() => PreparedRun.Open(kept, stop: TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Refused))]
    public void What_has_no_meaning_is_refused_before_training(string mistake)
    {
        var config = _project.Config(mistake switch
        {
            "adapter" => FineTuneTests.MethodOf("ia3"),
            "more than the product" => new LoraConfig { Bias = LoraBias.All },
            _ => new FullConfig(),
        });
        var pretrained = config with { Start = new PretrainedStart { Model = _project.PathOf("model") } };
        config = mistake switch
        {
            "random" => config with { Retention = new RetentionConfig { Penalty = new L2SpConfig() } },
            "adapter" or "more than the product" => pretrained with { Retention = new RetentionConfig { Penalty = new L2SpConfig() } },
            "share" => config with { Retention = new RetentionConfig { Replay = new TextReplay { Path = "x", Share = 1 } } },
            "budget" => pretrained with { Retention = new RetentionConfig { Penalty = new EwcConfig { Fisher = "x", ForgetAtMost = 0 } } },
            "lambda" => pretrained with { Retention = new RetentionConfig { Penalty = new EwcConfig { Fisher = "x", Lambda = 0, ForgetAtMost = 1 } } },
            "nothing kept" => pretrained with { Retention = new RetentionConfig { Penalty = new EwcConfig() } },
            "tokens" => pretrained with { Retention = new RetentionConfig { Penalty = new EwcConfig { Keep = new KeepConfig { Path = "x", Tokens = 1 } } } },
            "decay" => pretrained with { Retention = new RetentionConfig { Penalty = new EwcConfig { Keep = new KeepConfig { Path = "x", Decay = 2 } } } },
            "temperature" => pretrained with { Retention = new RetentionConfig { Distillation = new DistillationConfig { Temperature = 0 } } },
            _ => config with { Retention = new RetentionConfig { Replay = new TextReplay { Path = config.Evaluation.Reference! } } },
        };
        string expected = mistake == "nothing but what is measured" ? "nothing to learn or to keep" : "retention";
        Assert.Contains(expected, Assert.Throws<PerenosException>(() => PreparedRun.Open(config, stop: TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);
    }

    private RunConfig Tuning(string model, MethodConfig method, RetentionConfig retention) =>
        _project.Config(method) with { Start = new PretrainedStart { Model = model }, Retention = retention };

    private string Pretrain()
    {
        var config = _project.Config(new FullConfig());
        _project.Run(config with { Evaluation = config.Evaluation with { TestRecords = 0 } }, "old");
        return _project.Open("old").Model;
    }

    private string Fisher(string model)
    {
        string path = _project.PathOf("fisher.safetensors");
        Estimate(new FisherRequest { Model = model, Data = new DataConfig { Path = _project.PathOf("general.jsonl") }, Output = path });
        return path;
    }

    private string Text() => _project.Write("kept.jsonl", string.Concat(new[] { "The bridge is closed.", "Le pont est fermé ce soir.", "Nobody was hurt." }
        .Select(text => new JsonObject { ["text"] = text }.ToJsonString() + "\n")));

    private static void Estimate(FisherRequest request) => EstimateFisher.Run(request with { Dtype = "float32" }, (_, _) => { }, CancellationToken.None);
}
