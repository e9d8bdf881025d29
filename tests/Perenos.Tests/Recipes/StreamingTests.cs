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

/// <summary>Data that are streamed give the very run that they give in memory, and are found again when it goes on.</summary>
public sealed class StreamingTests : IDisposable
{
    private const string CacheVariable = "XDG_CACHE_HOME";
    private readonly TinyProject _project = new();
    private readonly string? _cache = Environment.GetEnvironmentVariable(CacheVariable);

    public StreamingTests() => Environment.SetEnvironmentVariable(CacheVariable, _project.PathOf("cache"));

    public static TheoryData<string> Kinds => ["parts", "one file", "conversations", "text", "preferences", "mixture", "mixture with replay", "packed", "batches of tokens"];

    public void Dispose()
    {
        Environment.SetEnvironmentVariable(CacheVariable, _cache);
        _project.Dispose();
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_streamed_run_is_bit_for_bit_the_run_in_memory(string kind)
    {
        var config = Config(kind);
        _project.Run(config, "held");
        _project.Run(Streamed(config), "streamed");
        RunComparison.Equal(_project.Open("held"), _project.Open("streamed"));
        using var held = PreparedRun.Open(config, stop: TestContext.Current.CancellationToken);
        using var streamed = PreparedRun.Open(Streamed(config), stop: TestContext.Current.CancellationToken);
        Assert.Equal(held.Data.Labels, streamed.Data.Labels);
        Assert.Equal(held.Data.Train.Select(Text), streamed.Data.Train.Select(Text));
        Assert.Equal(held.Data.Split.Train.Select(record => record.Source), streamed.Data.Split.Train.Select(record => record.Source));
        Assert.Equal((held.Data.Split.DroppedFromValidation, held.Data.Split.DroppedFromTest), (streamed.Data.Split.DroppedFromValidation, streamed.Data.Split.DroppedFromTest));
        Assert.Equal(held.Data.SchemaDescription, streamed.Data.SchemaDescription);
        Assert.IsType<StoredExamples>(streamed.Data.Train);
        Assert.IsType<List<Example>>(held.Data.Train);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_streamed_run_goes_on_bit_for_bit_from_the_same_tokens_and_from_tokens_made_again(bool isCacheLost)
    {
        var config = Streamed(Config("mixture"));
        _project.Run(config, "straight");
        string[] made = Made();
        Assert.Equal(2, made.Length);
        var times = made.Select(Directory.GetLastWriteTimeUtc).ToArray();
        _project.Interrupt(config, "interrupted", atStep: 3);
        if (isCacheLost)
            Directory.Delete(_project.PathOf("cache"), recursive: true);
        _project.Resume("interrupted");
        RunComparison.Equal(_project.Open("straight"), _project.Open("interrupted"));
        Assert.Equal(made, Made());
        if (!isCacheLost)
            Assert.Equal(times, made.Select(Directory.GetLastWriteTimeUtc));
    }

    [Fact]
    public void A_file_that_changed_is_refused_by_name_when_the_run_goes_on()
    {
        _project.Interrupt(Streamed(Config("mixture")), "run", atStep: 3);
        File.AppendAllText(_project.PathOf("other.jsonl"), "{\"en\": \"Fog.\", \"fr\": \"Brouillard.\"}\n");
        var problem = Assert.Throws<PerenosException>(() => _project.Resume("run"));
        Assert.Contains(_project.PathOf("other.jsonl"), problem.Message, StringComparison.Ordinal);
        Assert.Contains("has changed", problem.Message, StringComparison.Ordinal);
        // A new run sees new data, and the tokens of the old are gone.
        using var run = PreparedRun.Open(Streamed(Config("mixture")), stop: TestContext.Current.CancellationToken);
        Assert.Equal(13, run.Data.Mix[0].Records);
        Assert.Equal(2, Made().Length);
    }

    [Fact]
    public void Stopped_while_tokens_are_made_nothing_stays_and_the_next_run_makes_them()
    {
        using var stop = new CancellationTokenSource();
        stop.Cancel();
        Assert.ThrowsAny<OperationCanceledException>(() => _project.Run(Streamed(Config("parts")), "run", stop: stop));
        Assert.Empty(Made());
        Assert.Empty(Directory.EnumerateFileSystemEntries(_project.PathOf("cache"), "*.partial", SearchOption.AllDirectories));
        Assert.False(Directory.Exists(Path.Combine(_project.Runs, "run")));
        Assert.Equal(TrainingEnd.Completed, _project.Run(Streamed(Config("parts")), "run").End);
    }

    [Fact]
    public void Wrong_data_are_refused_as_in_memory_and_leave_nothing()
    {
        var config = Config("one file");
        File.AppendAllText(config.Data.Path, "{\"en\": \"Fog.\", \"fr\": \" \"}\n{\"en\": 3, \"fr\": null}\n");
        string held = Assert.Throws<PerenosException>(() => PreparedRun.Open(config, stop: TestContext.Current.CancellationToken)).Message;
        Assert.Equal(held, Assert.Throws<PerenosException>(() => PreparedRun.Open(Streamed(config), stop: TestContext.Current.CancellationToken)).Message);
        Assert.Empty(Made());
    }

    [Fact]
    public void Lengths_and_learnt_tokens_come_from_the_index_and_a_short_file_is_refused()
    {
        using (var run = PreparedRun.Open(Streamed(Config("preferences")), stop: TestContext.Current.CancellationToken))
        {
            Assert.Equal(run.Data.Train.Select(example => example.Length), StoredExamples.LengthsOf(run.Data.Train));
            Assert.Equal(run.Data.Train.Select(example => example.Rows.Sum(row => row.LearntTokens)), StoredExamples.LearntOf(run.Data.Train));
        }

        string tokens = Path.Combine(Made().Single(), "tokens");
        using (var file = File.OpenWrite(tokens))
            file.SetLength(file.Length - 8);
        Assert.Contains("shorter than their index", Assert.Throws<PerenosException>(() => _project.Run(Streamed(Config("preferences")), "short")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Small_data_are_held_in_memory_unless_asked_otherwise_and_the_choice_is_kept()
    {
        using var run = PreparedRun.Open(Config("parts"), stop: TestContext.Current.CancellationToken);
        Assert.False(run.Config.Data.Streaming);
        using var streamed = PreparedRun.Open(Streamed(Config("parts")), stop: TestContext.Current.CancellationToken);
        Assert.True(streamed.Config.Data.Streaming);
    }

    private static string Text(Example example) =>
        $"{example.Source} {example.IsText} {example.HasStart} {example.IsTruncated}: {string.Join(' ', example.Ids.Zip(example.IsLearnt))} | {(example.Rejected is { } rejected ? Text(rejected) : "")}";

    private static RunConfig Streamed(RunConfig config) => config with { Data = config.Data with { Streaming = true } };

    private string[] Made() => Directory.Exists(_project.PathOf("cache"))
        ? [.. Directory.EnumerateDirectories(_project.PathOf("cache"), "content", SearchOption.AllDirectories).Order(StringComparer.Ordinal)]
        : [];

    private RunConfig Config(string kind)
    {
        var config = _project.Config(new FullConfig());
        switch (kind)
        {
            case "one file":
                // A prompt that stands twice is left out of what is held out.
                string[] lines = File.ReadAllLines(_project.PathOf("data/train.jsonl"));
                return config with { Data = config.Data with { Path = _project.Write("all.jsonl", string.Join('\n', lines.Concat(lines[3..9])) + "\n"), ValidationShare = 0.15, TestShare = 0.2 } };
            case "conversations":
                return _project.ChatConfig(new FullConfig());
            case "text":
                string text = string.Join("\n\n", WeatherGrammar.Sample(5, 40).Chunk(4).Select(some => string.Join('\n', some.Select(pair => $"{pair.English} {pair.French}"))));
                return config with { Data = new DataConfig { Path = _project.Write("corpus.txt", text), MaximumLength = 48, ValidationShare = 0.2 } };
            case "preferences":
                string pairs = string.Concat(File.ReadLines(_project.PathOf("data/train.jsonl")).Select(line => JsonNode.Parse(line)!)
                    .Select(pair => new JsonObject { ["prompt"] = $"{pair["en"]}", ["chosen"] = $" {pair["fr"]}", ["rejected"] = $" {pair["en"]}" }.ToJsonString() + "\n"));
                if (!Directory.Exists(Path.Combine(_project.Runs, "begun")))
                    _project.Run(config with { Evaluation = config.Evaluation with { TestRecords = 0 } }, "begun");
                string path = _project.PathOf("pairs.jsonl");
                return config with
                {
                    Start = new PretrainedStart { Model = _project.Open("begun").Model },
                    Method = FineTuneTests.MethodOf("lora"),
                    Objective = new DpoConfig(),
                    Data = new DataConfig { Path = File.Exists(path) ? path : _project.Write("pairs.jsonl", pairs) },
                };
            case "mixture":
                if (!File.Exists(_project.PathOf("other.jsonl")))
                    _project.Write("other.jsonl", string.Concat(WeatherGrammar.Sample(99, 12).Select(pair => new JsonObject { ["en"] = $"Today: {pair.English}", ["fr"] = pair.French }.ToJsonString() + "\n")));
                return config with { Data = config.Data with { Mix = [new MixConfig { Path = _project.PathOf("other.jsonl"), Share = 0.3 }] } };
            case "mixture with replay":
                return Config("mixture") with { Retention = new RetentionConfig { Replay = new TextReplay { Path = _project.Write("old.txt", "The bridge is closed.\n\nLe pont est fermé ce soir.\n"), Share = 0.1 } } };
            case "packed":
                return config with { Training = config.Training with { Pack = true, MicroBatchSize = 2 } };
            case "batches of tokens":
                return config with { Training = config.Training with { BatchTokens = 300 } };
            default:
                return config;
        }
    }
}
