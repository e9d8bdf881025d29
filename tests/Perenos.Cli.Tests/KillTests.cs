using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Perenos.Runs;
using Perenos.Testing;
using Perenos.Text.Grammar;
using Xunit;

namespace Perenos.Cli.Tests;

/// <summary>Kill −9 at any moment and resume: bit for bit the run that was never killed, by real processes that are really killed.</summary>
public sealed class KillTests : IDisposable
{
    private const int Steps = 12;
    private const int StageSteps = 6;
    private const int StepsOfAWay = 7;
    private const int Seed = 20260131;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);
    private readonly string _folder = Directory.CreateTempSubdirectory("perenos-kill-").FullName;

    public KillTests()
    {
        WriteRecords("train", WeatherGrammar.Sample(1, 16));
        WriteRecords("valid", WeatherGrammar.Sample(2, 3));
        WriteRecords("test", WeatherGrammar.Sample(3, 2));
        File.WriteAllText(Path.Combine(_folder, "general.txt"), "A short walk by the river.\n\nUne courte promenade.\n");
    }

    private string Runs => Path.Combine(_folder, "runs");

    private string Cache => Path.Combine(_folder, "cache");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void A_run_that_is_killed_again_and_again_equals_one_that_never_was()
    {
        Finish(Start("straight"));

        var random = new Random(Seed);
        // Before the first step, among the steps (while one is computed or its checkpoint is written), and while the result is judged.
        int[] places = [0, .. Enumerable.Range(1, Steps - 1).OrderBy(_ => random.Next()).Take(4).Order(), Steps];
        KillAt(places, random, () => Start("killed"), () => LastStep("killed"));
        Finish(Start("killed"));
        using var straight = RunFolder.Open("straight", Runs);
        using var killed = RunFolder.Open("killed", Runs);
        RunComparison.Equal(straight, killed);
        Assert.Equal(Kinds(straight), Kinds(killed));
        Assert.Empty(Directory.EnumerateFileSystemEntries(killed.Path, "*.partial", SearchOption.AllDirectories));
    }

    [Fact]
    [Trait("speed", "slow")]
    public void Stages_that_are_killed_within_and_between_equal_stages_that_never_were()
    {
        WriteStages();
        Finish(StartStages("straight"));

        var random = new Random(Seed);
        // Before the first stage, in its middle, at its end (its result is judged, merged and handed over), in the middle of the second, at the end.
        KillAt([0, 3, StageSteps, StageSteps + 3, 2 * StageSteps], random, () => StartStages("killed"), () => StepsOfStages("killed"));
        Finish(StartStages("killed"));
        using var straight = RunFolder.Open("straight", Runs);
        using var killed = RunFolder.Open("killed", Runs);
        var (expected, actual) = (RunSummary.Read(straight)!, RunSummary.Read(killed)!);
        Assert.Equal(2, expected.Stages.Count);
        for (int stage = 0; stage < 2; stage++)
        {
            using var first = RunFolder.Open(expected.Stages[stage].Folder);
            using var second = RunFolder.Open(actual.Stages[stage].Folder);
            Assert.Equal(RunComparison.Steps(first), RunComparison.Steps(second));
            Assert.Equal(Weights(first), Weights(second));
            Assert.Equal(expected.Stages[stage].Metrics, actual.Stages[stage].Metrics);
            Assert.Equal(expected.Stages[stage].Forgetting, actual.Stages[stage].Forgetting);
        }

        Assert.Empty(Directory.EnumerateFileSystemEntries(killed.Path, "*.partial", SearchOption.AllDirectories));
    }

    private static string Weights(RunFolder run) => Convert.ToHexString(SHA256.HashData(
        File.ReadAllBytes(Directory.Exists(run.Model) ? Path.Combine(run.Model, "model.safetensors") : Path.Combine(run.Adapter, "adapter_model.safetensors"))));

    private void WriteStages() => File.WriteAllText(Path.Combine(_folder, "stages.yaml"), $$"""
        start: {kind: pretrained, model: base}
        dtype: float32
        seed: 5
        data: {path: "{{Path.Combine(_folder, "data").Replace('\\', '/')}}", prompt: "English: {en}\nFrench:", completion: " {fr}", maximum_length: 128}
        evaluation: {reference: "{{Path.Combine(_folder, "general.txt").Replace('\\', '/')}}", resamples: 20, generation: {max_new_tokens: 4} }
        stages:
          - {name: domain, method: {kind: lora, rank: 4} }
          - {name: all, method: {kind: full} }
        """);

    private CliProcess StartStages(string name) => File.Exists(Path.Combine(Runs, name, "config.json"))
        ? new(["tune", "--resume", name, "--runs", Runs])
        : new(["tune", Path.Combine(_folder, "stages.yaml"), "--steps", $"{StageSteps}", "--batch-size", "2", "--save-every", "1", "--validate-every", "5", "--learning-rate", "1e-3", "--name", name, "--runs", Runs]);

    private int StepsOfStages(string name) => Directory.Exists(Path.Combine(Runs, name, "stages"))
        ? Directory.EnumerateDirectories(Path.Combine(Runs, name, "stages")).Sum(stage => Math.Max(0, LastStep(Path.Combine(name, "stages", Path.GetFileName(stage)))))
        : File.Exists(Path.Combine(Runs, name, "config.json")) ? 0 : -1;
    /// <summary>Each is killed once: together more than twenty random moments.</summary>
    public static TheoryData<string, string> Ways => new()
    {
        { "full", """{ "method": { "kind": "full" } }""" },
        { "some parts", """{ "method": { "kind": "full", "only": ["layers.0", "norm"] } }""" },
        { "lisa", """{ "method": { "kind": "lisa", "active_layers": 1, "switch_every": 2 } }""" },
        { "lisa under ewc", """{ "method": { "kind": "lisa", "active_layers": 1, "switch_every": 2 }, "retention": { "penalty": { "kind": "ewc", "fisher": "FISHER", "forget_at_most": 0.001 } } }""" },
        { "lora", """{ "method": { "kind": "lora", "dropout": 0.1 } }""" },
        { "dora", """{ "method": { "kind": "dora" } }""" },
        { "ia3", """{ "method": { "kind": "ia3" } }""" },
        { "prompt", """{ "method": { "kind": "prompt" } }""" },
        { "prefix", """{ "method": { "kind": "prefix", "projection_size": 16 } }""" },
        { "p-tuning", """{ "method": { "kind": "p-tuning", "encoder": "lstm" } }""" },
        { "bias and norm", """{ "method": { "kind": "norm" } }""" },
        { "ewc", """{ "method": { "kind": "full" }, "retention": { "penalty": { "kind": "ewc", "fisher": "FISHER", "forget_at_most": 0.001 } } }""" },
        { "ewc of kept text", """{ "method": { "kind": "full" }, "retention": { "penalty": { "kind": "ewc", "keep": { "path": "OTHER" } } } }""" },
        { "l2sp", """{ "method": { "kind": "full" }, "retention": { "penalty": { "kind": "l2sp" } } }""" },
        { "replay", """{ "method": { "kind": "full" }, "retention": { "replay": { "kind": "text", "path": "OTHER", "share": 0.2 } } }""" },
        { "mixture", """{ "method": { "kind": "full" }, "data": { "mix": [{ "path": "OTHER", "share": 0.2 }] } }""" },
        { "streamed mixture", """{ "method": { "kind": "full" }, "data": { "streaming": true, "mix": [{ "path": "OTHER", "share": 0.2 }] } }""" },
        { "self-replay", """{ "method": { "kind": "lora" }, "retention": { "replay": { "kind": "generated", "share": 0.2, "max_new_tokens": 8 } } }""" },
        { "distillation", """{ "method": { "kind": "lora" }, "retention": { "distillation": { "weight": 0.5 } } }""" },
        { "dpo", """{ "method": { "kind": "lora" }, "objective": { "kind": "dpo" }, "data": { "path": "PAIRS" } }""" },
        { "dpo of all weights", """{ "method": { "kind": "full" }, "objective": { "kind": "dpo" }, "data": { "path": "PAIRS" } }""" },
        { "noise", """{ "method": { "kind": "full" }, "training": { "embedding_noise": 5 } }""" },
        { "8-bit AdamW", """{ "method": { "kind": "full" }, "training": { "optimizer": { "kind": "adamw8bit" } } }""" },
        { "Adafactor", """{ "method": { "kind": "full" }, "training": { "optimizer": { "kind": "adafactor" } } }""" },
        { "Lion", """{ "method": { "kind": "full" }, "training": { "optimizer": { "kind": "lion" } } }""" },
        { "SGD", """{ "method": { "kind": "full" }, "training": { "optimizer": { "kind": "sgd" } } }""" },
        { "stochastic rounding", """{ "method": { "kind": "full" }, "dtype": "bfloat16", "training": { "optimizer": { "kind": "adamw", "stochastic_rounding": true } } }""" },
        { "on the way back", """{ "method": { "kind": "full" }, "training": { "optimizer_in_backward": true, "gradient_clip": 0 } }""" },
        { "average, packed, micro-batches", """{ "method": { "kind": "full" }, "training": { "average_decay": 0.9, "pack": true, "micro_batch_size": 1 } }""" },
    };

    [Theory]
    [Trait("speed", "slow")]
    [MemberData(nameof(Ways))]
    public void Whatever_way_it_learns_a_killed_run_equals_one_that_never_was(string way, string recipe)
    {
        string path = WriteRecipe(recipe);
        CliProcess Go(string name) => StartRecipe(name, path);
        Finish(Go("straight"));
        var random = new Random(way.Sum(letter => letter) + Seed);
        int place = 1 + random.Next(StepsOfAWay - 1);
        using (var process = Go("killed"))
        {
            WaitFor(process, () => LastStep("killed") >= place || process.HasExited);
            Thread.Sleep(random.Next(60));
            Assert.False(process.HasExited, $"the run was over before it could be killed in step {place}");
            process.Kill();
        }

        Finish(Go("killed"));
        using var straight = RunFolder.Open("straight", Runs);
        using var killed = RunFolder.Open("killed", Runs);
        RunComparison.Equal(straight, killed);
    }

    [Fact]
    [Trait("speed", "slow")]
    public void Killed_while_tokens_are_made_a_run_makes_them_whole_and_equals_one_in_memory()
    {
        WriteRecords("train", WeatherGrammar.Sample(1, 4000));
        string path = WriteRecipe("""{ "method": { "kind": "full" } }""");
        Finish(StartRecipe("straight", path));
        path = WriteRecipe("""{ "method": { "kind": "full" }, "data": { "streaming": true } }""");
        bool IsMaking() => Directory.Exists(Cache) && Directory.EnumerateFileSystemEntries(Cache, "*.partial", SearchOption.AllDirectories).Any();
        for (int kill = 0; kill < 3; kill++)
        {
            using var process = StartRecipe("killed", path);
            WaitFor(process, () => IsMaking() || process.HasExited);
            Thread.Sleep(kill * 20);
            process.Kill();
            Assert.True(IsMaking(), "it was killed too late");
        }

        Finish(StartRecipe("killed", path));
        Assert.False(IsMaking());
        using var straight = RunFolder.Open("straight", Runs);
        using var killed = RunFolder.Open("killed", Runs);
        RunComparison.Equal(straight, killed);
    }

    private CliProcess StartRecipe(string name, string recipe) => new(File.Exists(Path.Combine(Runs, name, "config.json"))
        ? ["tune", "--resume", name, "--runs", Runs]
        : ["tune", recipe, "--name", name, "--runs", Runs], new Dictionary<string, string> { ["XDG_CACHE_HOME"] = Cache });

    // The way laid over what all have in common.
    private string WriteRecipe(string way)
    {
        var recipe = JsonNode.Parse("""
            { "start": { "kind": "pretrained", "model": "base" }, "dtype": "float32", "seed": 5,
              "data": { "path": "DATA", "prompt": "English: {en}\nFrench:", "completion": " {fr}", "maximum_length": 128 },
              "training": { "maximum_steps": STEPS, "epochs": 10, "batch_size": 2, "save_every": 1, "validate_every": 3, "learning_rate": 1e-3 },
              "evaluation": { "reference": "GENERAL", "test_records": 2, "resamples": 20, "generation": { "max_new_tokens": 4 } } }
            """.Replace("STEPS", $"{StepsOfAWay}", StringComparison.Ordinal))!.AsObject();
        foreach (var (key, value) in JsonNode.Parse(way)!.AsObject())
        {
            if (recipe[key] is not JsonObject section)
            {
                recipe[key] = value!.DeepClone();
                continue;
            }

            // Pairs of answers have no templates.
            if (key == "data" && value!["path"] is not null)
                section.Clear();
            foreach (var (inner, setting) in value!.AsObject())
                section[inner] = setting!.DeepClone();
        }

        string text = recipe.ToJsonString();
        if (text.Contains("FISHER", StringComparison.Ordinal))
            Finish(new CliProcess(["fisher", "--model", "base", "--data", Path.Combine(_folder, "general.txt"), "--output", Path.Combine(_folder, "fisher.safetensors"), "--dtype", "float32"]));
        if (text.Contains("PAIRS", StringComparison.Ordinal))
            WritePairs();
        File.WriteAllText(Path.Combine(_folder, "other.txt"), "The bridge over the river is closed.\n\nLe pont est fermé ce soir.\n");
        foreach (var (word, file) in new[] { ("DATA", "data"), ("PAIRS", "pairs"), ("FISHER", "fisher.safetensors"), ("OTHER", "other.txt"), ("GENERAL", "general.txt") })
            text = text.Replace($"\"{word}\"", JsonValue.Create(Path.Combine(_folder, file)).ToJsonString(), StringComparison.Ordinal);
        string path = Path.Combine(_folder, "recipe.json");
        File.WriteAllText(path, text);
        return path;
    }

    // The right translation is preferred to none at all.
    private void WritePairs()
    {
        Directory.CreateDirectory(Path.Combine(_folder, "pairs"));
        foreach (string part in new[] { "train", "valid", "test" })
        {
            File.WriteAllLines(Path.Combine(_folder, "pairs", $"{part}.jsonl"), File.ReadLines(Path.Combine(_folder, "data", $"{part}.jsonl")).Select(line => JsonNode.Parse(line)!)
                .Select(pair => new JsonObject { ["prompt"] = $"English: {pair["en"]}\nFrench:", ["chosen"] = $" {pair["fr"]}", ["rejected"] = $" {pair["en"]}" }.ToJsonString()));
        }
    }

    // Kills a run again and again, each time some moments after it has come so far.
    private static void KillAt(int[] places, Random random, Func<CliProcess> start, Func<int> lastStep)
    {
        int kills = 0;
        foreach (int place in places)
        {
            using var process = start();
            WaitFor(process, () => lastStep() >= place || process.HasExited);
            Thread.Sleep(random.Next(60));
            if (process.HasExited)
                break;
            process.Kill();
            kills++;
        }

        Assert.True(kills >= 4, $"the run was over after {kills} kills");
    }

    // What a user would type: the same command until there is a run to resume.
    private CliProcess Start(string name) => File.Exists(Path.Combine(Runs, name, "config.json"))
        ? new(["tune", "--resume", name, "--runs", Runs])
        : new(["tune", "--model", "base", "--data", Path.Combine(_folder, "data"), "--prompt", "English: {en}\\nFrench:", "--completion", " {fr}", "--method", "full",
            "--dtype", "float32", "--steps", $"{Steps}", "--epochs", "10", "--batch-size", "2", "--save-every", "1", "--validate-every", "5", "--learning-rate", "1e-3",
            "--max-new-tokens", "4", "--maximum-length", "128", "--reference", Path.Combine(_folder, "general.txt"), "--seed", "5", "--name", name, "--runs", Runs]);

    private static void Finish(CliProcess process)
    {
        using (process)
        {
            var (code, output, error) = process.End();
            Assert.True(code == 0, $"exit code {code}\n{output}\n{error}");
        }
    }

    private static void WaitFor(CliProcess process, Func<bool> isTime)
    {
        for (var watch = Stopwatch.StartNew(); !isTime(); Thread.Sleep(1))
            Assert.True(watch.Elapsed < Patience, $"process {process.Id} does not get on");
    }

    // Read as bytes: the other process is writing, and its last line may be torn.
    private int LastStep(string name)
    {
        string path = Path.Combine(Runs, name, "events.jsonl");
        if (!File.Exists(path))
            return -1;
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        using var reader = new StreamReader(stream, Encoding.UTF8);
        string[] lines = reader.ReadToEnd().Split('\n');
        return lines.SkipLast(1).Count(line => line.StartsWith("{\"kind\":\"step\"", StringComparison.Ordinal));
    }

    private static IEnumerable<string> Kinds(RunFolder run) => EventLog.Read(run.Events).Select(happened => happened.GetType().Name);

    private void WriteRecords(string part, IEnumerable<SentencePair> pairs)
    {
        Directory.CreateDirectory(Path.Combine(_folder, "data"));
        File.WriteAllLines(Path.Combine(_folder, "data", $"{part}.jsonl"), pairs.Select(pair => new JsonObject { ["en"] = pair.English, ["fr"] = pair.French }.ToJsonString()));
    }
}
