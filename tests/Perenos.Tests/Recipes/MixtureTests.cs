using System.Text.Json.Nodes;
using Perenos.Recipes;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Testing;
using Perenos.Text.Data;
using Perenos.Text.Grammar;
using Perenos.Training;
using Xunit;

namespace Perenos.Tests.Recipes;

/// <summary>Several data sets in one run: shares, repetition, what is kept out, resuming, refusals.</summary>
public sealed class MixtureTests : IDisposable
{
    private const int OtherRecords = 12;
    private readonly TinyProject _project = new();

    // Other sentences of the same kind, and two texts.
    public MixtureTests()
    {
        _project.Write("other.jsonl", string.Concat(WeatherGrammar.Sample(99, OtherRecords).Select(pair => new JsonObject { ["en"] = $"Today: {pair.English}", ["fr"] = pair.French }.ToJsonString() + "\n")));
        _project.Write("text.jsonl", string.Concat(new[] { "The bridge is closed.", "Le pont est fermé ce soir." }.Select(text => new JsonObject { ["text"] = text }.ToJsonString() + "\n")));
    }

    public static TheoryData<string, string> Refused => new()
    {
        { "share 0", "share of" }, { "share 1", "share of" }, { "shares of 1", "leave nothing" }, { "with replay", "retention.replay" },
        { "empty", "empty.jsonl holds no records" }, { "only held out", "nothing to learn or to keep" }, { "missing", "nowhere.jsonl" }, { "unknown fields", "no field \"de\"" },
    };

    public void Dispose() => _project.Dispose();

    [Fact]
    public void Each_source_has_its_share_of_the_learnt_tokens_of_every_epoch_batch_by_batch()
    {
        using var run = PreparedRun.Open(Config(Mix("text.jsonl", 0.25), Mix("other.jsonl", 0.35)) with { Training = Long }, stop: TestContext.Current.CancellationToken);
        var order = run.Order;
        var (total, epochs) = (0L, 0);
        for (int step = 0; step < order.TotalSteps; step++)
            total += order.At(step).Sum(batch => (long)batch.Targets.Length);
        epochs = (int)Long.Epochs!.Value;
        long wanted = (long)(run.Data.Labels.LearntTokens / 0.4 * epochs);
        Assert.InRange(total, 0.97 * wanted, 1.03 * wanted);
        Assert.Equal([0.4, 0.25, 0.35], run.Sources.Select(source => Math.Round(source.Share, 9)));
        Assert.All(run.Mixture, source =>
        {
            int drawn = Enumerable.Range(0, epochs).SelectMany(source.Of).Sum(place => source.Examples[place].LearntTokens);
            Assert.InRange(drawn, epochs * source.TokensPerEpoch, epochs * source.TokensPerEpoch + source.Examples.Max(example => example.LearntTokens));
            Assert.InRange(source.TokensPerEpoch / (run.Data.Labels.LearntTokens / 0.4), source.Share - 0.001, source.Share + 0.01);
        });
    }

    [Fact]
    public void No_record_comes_again_before_all_of_its_source_came_and_an_epoch_is_known_without_the_ones_before()
    {
        var examples = Enumerable.Range(0, 7).Select(row => new Example([.. Enumerable.Range(0, 3 + row % 3)], [false, .. Enumerable.Repeat(true, 2 + row % 3)], $"row {row}")).ToArray();
        var source = new MixedExamples("other", examples, 0.3, tokensPerEpoch: 5, seed: 3);
        int[] drawn = [.. Enumerable.Range(0, 60).SelectMany(source.Of)];
        Assert.True(drawn.Length > 70);
        int[][] rounds = [.. drawn.Chunk(examples.Length).Where(round => round.Length == examples.Length)];
        Assert.All(rounds, round => Assert.Equal(Enumerable.Range(0, examples.Length), round.Order()));
        Assert.True(rounds.Select(round => string.Join(' ', round)).Distinct().Count() > 5, "every round has an order of its own");
        Assert.Equal(source.Of(41), new MixedExamples("other", examples, 0.3, tokensPerEpoch: 5, seed: 3).Of(41));
    }

    [Fact]
    public void What_the_run_is_judged_by_is_not_mixed_in_and_counted()
    {
        string heldOut = File.ReadAllText(_project.PathOf("data/test.jsonl")) + File.ReadAllText(_project.PathOf("data/valid.jsonl"));
        File.AppendAllText(_project.PathOf("other.jsonl"), heldOut);
        File.AppendAllText(_project.PathOf("text.jsonl"), File.ReadAllText(_project.PathOf("general.jsonl")));
        using var run = PreparedRun.Open(Config(Mix("other.jsonl", 0.2), Mix("text.jsonl", 0.2)), stop: TestContext.Current.CancellationToken);
        Assert.Equal([TinyProject.TestRecords + TinyProject.ValidationRecords, 3], run.Data.Mix.Select(mix => mix.LeftOut));
        Assert.Equal([OtherRecords, 2], run.Data.Mix.Select(mix => mix.Records));
        var test = run.Data.Test.Select(record => run.Renderer.Render(record)).Select(example => string.Join(' ', example.Ids)).ToHashSet();
        Assert.Equal(TinyProject.TestRecords, test.Count);
        Assert.DoesNotContain(run.Data.Mix[0].Examples, example => test.Contains(string.Join(' ', example.Ids)));
    }

    [Fact]
    public void Templates_are_the_sources_own_or_those_of_the_data_or_told_by_the_keys()
    {
        var own = Mix("other.jsonl", 0.2) with { Prompt = "{en} =", Completion = " {fr}" };
        using var run = PreparedRun.Open(Config(own, Mix("other.jsonl", 0.2), Mix("text.jsonl", 0.2)), stop: TestContext.Current.CancellationToken);
        Assert.Contains("{en} =", run.Data.Mix[0].SchemaDescription, StringComparison.Ordinal);
        Assert.Contains("English: {en}", run.Data.Mix[1].SchemaDescription, StringComparison.Ordinal);
        Assert.Contains("text: \"{text}\"", run.Data.Mix[2].SchemaDescription, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false, null)]
    [InlineData(true, null)]
    [InlineData(false, 200)]
    public void A_mixed_run_goes_on_bit_for_bit_after_every_interruption(bool pack, int? batchTokens)
    {
        var config = Config(Mix("other.jsonl", 0.3), Mix("text.jsonl", 0.1));
        config = config with
        {
            Training = config.Training with { MaximumSteps = 14, Epochs = 100, Pack = pack, BatchTokens = batchTokens },
            Retention = new RetentionConfig { Replay = new TextReplay { Path = _project.PathOf("text.jsonl"), Share = 0.1 } },
        };
        _project.Run(config, "straight");
        _project.Interrupt(config, "interrupted", atStep: 5);
        TrainingEnd end;
        int resumes = 0;
        do
        {
            using var stop = new CancellationTokenSource();
            end = _project.Resume("interrupted", happened =>
            {
                if (happened is RunEvent.Step { Number: 9 or 12 })
                    stop.Cancel();
            }, stop).End;
            resumes++;
        }
        while (end == TrainingEnd.Interrupted);

        Assert.Equal(3, resumes);
        RunComparison.Equal(_project.Open("straight"), _project.Open("interrupted"));
    }

    [Fact]
    public void The_plan_and_the_report_name_every_source_and_warn_of_one_that_comes_too_often()
    {
        var config = Config(Mix("text.jsonl", 0.6));
        var result = _project.Run(config with { Training = Long }, "run");
        var sources = EventLog.Read(_project.Open("run").Events).OfType<RunEvent.Planned>().Single().Sources!;
        Assert.Equal([0.4, 0.6], sources.Select(source => Math.Round(source.Share, 9)));
        Assert.Equal(Long.Epochs!.Value, sources[0].Times);
        Assert.True(sources[1].Times > 4);
        Assert.Contains("text.jsonl comes", Assert.Single(RunEvent.Source.Warnings(sources)), StringComparison.Ordinal);
        Assert.Empty(RunEvent.Source.Warnings([sources[0] with { Times = 9 }, sources[1] with { Times = 3.9 }]));
        Assert.Contains("60.0% of what is learnt", File.ReadAllText(_project.Open("run").Report).Replace(" %", "%", StringComparison.Ordinal), StringComparison.Ordinal);
        Assert.Equal(2, result.Report!.Data!.Facts.Count(fact => fact.Label == "learnt from"));
    }

    [Fact]
    public void Preferences_are_mixed_with_preferences()
    {
        string[] lines = [.. File.ReadLines(_project.PathOf("data/train.jsonl")).Select(line => JsonNode.Parse(line)!)
            .Select(pair => new JsonObject { ["prompt"] = $"{pair["en"]}", ["chosen"] = $" {pair["fr"]}", ["rejected"] = $" {pair["en"]}" }.ToJsonString())];
        var config = _project.Config(FineTuneTests.MethodOf("lora"));
        _project.Run(_project.Config(new FullConfig()) with { Evaluation = config.Evaluation with { TestRecords = 0 } }, "old");
        config = config with
        {
            Start = new PretrainedStart { Model = _project.Open("old").Model },
            Objective = new DpoConfig(),
            Data = new DataConfig { Path = _project.Write("some.jsonl", string.Join('\n', lines[..12])), Mix = [new MixConfig { Path = _project.Write("more.jsonl", string.Join('\n', lines[12..])), Share = 0.3 }] },
        };
        Assert.Equal(TrainingEnd.Completed, _project.Run(config, "preferred").End);
    }

    [Theory]
    [MemberData(nameof(Refused))]
    public void Mistakes_are_named_before_training(string mistake, string expected)
    {
        var config = mistake switch
        {
            "share 0" => Config(Mix("other.jsonl", 0)),
            "share 1" => Config(Mix("other.jsonl", 1)),
            "shares of 1" => Config(Mix("other.jsonl", 0.5), Mix("text.jsonl", 0.5)),
            "with replay" => Config(Mix("other.jsonl", 0.6)) with { Retention = new RetentionConfig { Replay = new TextReplay { Path = _project.PathOf("text.jsonl"), Share = 0.5 } } },
            "empty" => Config(Mix(Path.GetFileName(_project.Write("empty.jsonl", "")), 0.2)),
            "only held out" => Config(Mix("data/test.jsonl", 0.2)),
            "unknown fields" => Config(Mix("other.jsonl", 0.2) with { Prompt = "{de}", Completion = "{fr}" }),
            _ => Config(Mix("nowhere.jsonl", 0.2)),
        };
        Assert.Contains(expected, Assert.Throws<PerenosException>(() => PreparedRun.Open(config, stop: TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);
    }

    private static TrainingConfig Long => new() { Epochs = 3, BatchSize = 4, LearningRate = 1e-2 };

    private MixConfig Mix(string name, double share) => new() { Path = _project.PathOf(name), Share = share };

    private RunConfig Config(params MixConfig[] mix)
    {
        var config = _project.Config(new FullConfig());
        return config with { Data = config.Data with { Mix = mix } };
    }
}
