using System.Diagnostics;
using Xunit;

namespace Perenos.Runs.Tests;

public sealed class RunsOnDiskTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_failed_write_leaves_the_old_file_and_nothing_else()
    {
        string path = _folder["state.json"];
        AtomicFile.WriteText(path, "old");
        Assert.Throws<InvalidDataException>(() => AtomicFile.Write(path, stream =>
        {
            stream.Write("half"u8);
            throw new InvalidDataException();
        }));
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFileSystemEntries(_folder.Path));

        AtomicFile.WriteText(path, "new");
        Assert.Equal("new", File.ReadAllText(path));
    }

    [Fact]
    public void A_folder_appears_whole_or_not_at_all_and_replaces_an_older_one()
    {
        string path = _folder["step-000001"];
        Assert.Throws<InvalidDataException>(() => AtomicFile.WriteFolder(path, folder =>
        {
            File.WriteAllText(Path.Combine(folder, "weights"), "half");
            throw new InvalidDataException();
        }));
        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));

        AtomicFile.WriteFolder(path, folder => File.WriteAllText(Path.Combine(folder, "old"), "1"));
        AtomicFile.WriteFolder(path, folder => File.WriteAllText(Path.Combine(folder, "new"), "2"));
        Assert.Equal([Path.Combine(path, "new")], Directory.GetFileSystemEntries(path));
        Assert.Equal([path], Directory.GetFileSystemEntries(_folder.Path));
    }

    [Fact]
    public void A_full_disk_is_called_by_its_name()
    {
        Assert.SkipUnless(File.Exists("/dev/full"), "no /dev/full here");
        using var log = EventLog.Create("/dev/full");
        var problem = Assert.Throws<PerenosException>(() => log.Append(new RunEvent.Validation(1, 2, true)));
        Assert.StartsWith("The disk is full", problem.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_that_does_not_exist_is_a_clear_error()
    {
        var problem = Assert.Throws<PerenosException>(() => AtomicFile.WriteText(_folder["none/state.json"], "x"));
        Assert.Contains("cannot be written", problem.Message, StringComparison.Ordinal);
        File.WriteAllText(_folder["file"], "");
        Assert.Throws<PerenosException>(() => RunFolder.Create(_folder["file"], "a", "tune", "m", "d", StoppedClock.Noon));
    }

    [Fact]
    public void A_run_is_named_after_recipe_model_data_and_time_and_never_twice()
    {
        RunFolder Make() => RunFolder.Create(_folder["runs"], null, "tune", "../models/SmolLM2-135M-Instruct/", "data/weather bulletins.jsonl", StoppedClock.Noon);
        using var first = Make();
        using var second = Make();
        Assert.Equal("tune-smollm2-weather-bulletins-20260131-1205", first.Name);
        Assert.Equal("tune-smollm2-weather-bulletins-20260131-1205-2", second.Name);
    }

    [Theory]
    [InlineData("../x")]
    [InlineData("a/b")]
    [InlineData("")]
    [InlineData("..")]
    [InlineData("-rf")]
    [InlineData("a b")]
    public void A_name_that_is_a_path_or_an_option_is_refused(string name) =>
        Assert.Throws<PerenosException>(() => RunFolder.Create(_folder["runs"], name, "tune", "m", "d", StoppedClock.Noon));

    [Fact]
    public void Runs_are_listed_newest_first_and_opened_by_name_or_path()
    {
        string root = _folder["runs"];
        Assert.Empty(RunFolder.List(root));
        for (int i = 0; i < 3; i++)
        {
            using var run = RunFolder.Create(root, $"weather-{i}", "tune", "m", "d", StoppedClock.Noon);
            ConfigFile.Write(run.Config, new Metric("x", i));
            File.SetLastWriteTimeUtc(run.Config, new DateTime(2026, 1, 1 + ((i + 1) % 3), 0, 0, 0, DateTimeKind.Utc));
        }

        Directory.CreateDirectory(Path.Combine(root, "not-a-run"));
        Assert.Equal(["weather-1", "weather-0", "weather-2"], RunFolder.List(root).Select(run => run.Name));
        Assert.Equal("weather-1", RunFolder.Open("weather-1", root).Name);
        Assert.Equal("weather-1", RunFolder.Open(Path.Combine(root, "weather-1") + "/", "elsewhere").Name);
        var problem = Assert.Throws<PerenosException>(() => RunFolder.Open("wether-1", root));
        Assert.Contains("Did you mean weather-1?", problem.Hint, StringComparison.Ordinal);
        var taken = Assert.Throws<PerenosException>(() => RunFolder.Create(root, "weather-1", "tune", "m", "d", StoppedClock.Noon));
        Assert.Contains("--resume", taken.Hint, StringComparison.Ordinal);
    }

    [Fact]
    public void Only_one_at_a_time_may_train_in_a_folder()
    {
        string root = _folder["runs"];
        using (var run = RunFolder.Create(root, "a", "tune", "m", "d", StoppedClock.Noon))
        {
            ConfigFile.Write(run.Config, new Metric("x", 1));
            var problem = Assert.Throws<PerenosException>(() => RunFolder.Resume("a", root));
            Assert.Contains($"process {Environment.ProcessId}", problem.Message, StringComparison.Ordinal);
            Assert.Equal("a", RunFolder.Open("a", root).Name);
        }

        using var resumed = RunFolder.Resume("a", root);
        Assert.Equal("a", resumed.Name);
    }

    [Fact]
    public void The_lock_of_a_killed_process_is_taken_over()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/flock"), "needs flock of util-linux");
        string root = _folder["runs"];
        using (var run = RunFolder.Create(root, "a", "tune", "m", "d", StoppedClock.Noon))
            ConfigFile.Write(run.Config, new Metric("x", 1));
        using var other = Process.Start(new ProcessStartInfo("/usr/bin/flock", ["--no-fork", Path.Combine(root, "a", ".lock"), "sh", "-c", "echo held; exec sleep 60"])
        {
            RedirectStandardOutput = true,
        })!;
        Assert.Equal("held", other.StandardOutput.ReadLine());
        Assert.Throws<PerenosException>(() => RunFolder.Resume("a", root));

        other.Kill();
        other.WaitForExit();
        using var resumed = RunFolder.Resume("a", root);
        Assert.Equal("a", resumed.Name);
    }

    [Fact]
    public void Checkpoints_are_listed_by_step_and_half_written_ones_are_swept_away()
    {
        string root = _folder["runs"];
        using (var run = RunFolder.Create(root, "a", "tune", "m", "d", StoppedClock.Noon))
        {
            ConfigFile.Write(run.Config, new Metric("x", 1));
            Directory.CreateDirectory(run.Checkpoints);
            foreach (long step in new long[] { 20, 3, 1_000_000 })
                AtomicFile.WriteFolder(run.CheckpointAt(step), folder => File.WriteAllText(Path.Combine(folder, "w"), ""));
            Directory.CreateDirectory(Path.Combine(run.Checkpoints, ".step-000021.99-1.partial"));
            Assert.Equal([3, 20, 1_000_000], run.SavedCheckpoints().Select(checkpoint => checkpoint.Step));
            Assert.EndsWith("step-000003", run.SavedCheckpoints()[0].Path, StringComparison.Ordinal);
        }

        using var resumed = RunFolder.Resume("a", root);
        Assert.Equal(3, Directory.GetFileSystemEntries(resumed.Checkpoints).Length);
    }

    [Fact]
    public void Summary_and_environment_read_back_as_written()
    {
        using var run = RunFolder.Create(_folder["runs"], "a", "tune", "m", "d", StoppedClock.Noon);
        Assert.Null(RunSummary.Read(run));
        var summary = new RunSummary
        {
            Name = "a",
            Kind = "tune",
            Model = "m",
            Data = "d",
            Status = RunStatus.Interrupted,
            Started = StoppedClock.Noon.GetUtcNow(),
            LastLoss = double.NaN,
            Metrics = [new Metric("bleu", 12.5, 11, 14, "tok:13a")],
            Stages = [new StageSummary { Name = "first", Folder = "a/stages/1-first", Method = "lora", Forgetting = new Metric("general text", 0.1), Seconds = 2 }],
        };
        summary.Write(run);
        var read = RunSummary.Read(run)!;
        Assert.Equal(summary with { Metrics = [], Stages = [] }, read with { Metrics = [], Stages = [] });
        Assert.Equal(summary.Metrics, read.Metrics);
        Assert.Equal(summary.Stages[0] with { Metrics = [] }, Assert.Single(read.Stages) with { Metrics = [] });

        var environment = RunEnvironment.Capture("fp32", "measured: fp32 255 GFLOP/s, bf16 160", new Dictionary<string, string> { ["YamlDotNet"] = RunEnvironment.VersionOf(typeof(YamlDotNet.Core.Parser).Assembly) });
        environment.Write(run);
        var again = RunEnvironment.Read(run);
        Assert.Equal(environment.Libraries, again.Libraries);
        Assert.True(again.Memory > 1 << 20 && again.Cores > 0 && again.Processor.Length > 0);
        Assert.DoesNotContain("+", string.Concat(again.Libraries.Values), StringComparison.Ordinal);
    }
}
