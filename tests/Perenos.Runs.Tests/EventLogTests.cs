using CsCheck;
using Xunit;

namespace Perenos.Runs.Tests;

public sealed class EventLogTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string LogPath => _folder["events.jsonl"];

    public void Dispose() => _folder.Dispose();

    // A run of some steps with a checkpoint after every second one; deterministic, like the real one but for its timings.
    private static IEnumerable<RunEvent> Training(long from, long to)
    {
        if (from == 0)
        {
            yield return new RunEvent.Started("tune", "m", "d", StoppedClock.Noon.GetUtcNow());
            yield return new RunEvent.Planned("lora", to, 1000, 8, 80, 1 << 20, 1.5);
            yield return new RunEvent.Evaluation("base", [new Metric("bleu", 2.5)]);
        }

        for (long step = from + 1; step <= to; step++)
        {
            yield return new RunEvent.Step(step, 5.0 / step, 1, 1e-3, 64, 0.5, 128);
            if (step % 2 == 0)
            {
                yield return new RunEvent.Validation(step, 4.0 / step, true);
                yield return new RunEvent.Checkpoint(step, $"checkpoints/step-{step:D6}");
            }
        }

        yield return new RunEvent.Evaluation("adapted", [new Metric("bleu", 50, 48, 52, "tok:13a")]);
        yield return new RunEvent.Sample("hail <b>", "grêle", "la la", "grêle");
        yield return new RunEvent.Finished(to, 3, 1 << 20);
    }

    private byte[] Uninterrupted(long steps)
    {
        string path = _folder["whole.jsonl"];
        using (var log = EventLog.Create(path))
        {
            foreach (var happened in Training(0, steps))
                log.Append(happened);
        }

        return File.ReadAllBytes(path);
    }

    [Fact]
    public void Every_kind_of_event_reads_back_as_it_was_written()
    {
        RunEvent[] events =
        [
            .. Training(0, 4),
            new RunEvent.Step(5, double.NaN, double.PositiveInfinity, 0, 0, 0, 0),
            new RunEvent.VirtualTokens(5, 0.25, 1.5),
            new RunEvent.Interrupted(5, null),
            new RunEvent.Failed(5, "the loss is not a number", "lower the learning rate"),
        ];
        var kinds = typeof(RunEvent).GetNestedTypes().Where(type => type.IsSubclassOf(typeof(RunEvent))).ToHashSet();
        Assert.NotEmpty(kinds);
        Assert.Equal(kinds, events.Select(happened => happened.GetType()).ToHashSet());

        using (var log = EventLog.Create(LogPath))
        {
            foreach (var happened in events)
                log.Append(happened);
        }

        string[] written = File.ReadAllLines(LogPath);
        using (var copy = EventLog.Create(_folder["copy.jsonl"]))
        {
            foreach (var happened in EventLog.Read(LogPath))
                copy.Append(happened);
        }

        Assert.Equal(written, File.ReadAllLines(_folder["copy.jsonl"]));
        Assert.Equal(events.OfType<RunEvent.Step>(), EventLog.Read(LogPath).OfType<RunEvent.Step>());
        Assert.Equal(events.Length, written.Length);
        Assert.StartsWith("{\"kind\":\"step\",\"step\":1,\"loss\":5,\"grad_norm\":1,\"learning_rate\":0.001,\"tokens\":64,\"seconds\":0.5,\"tokens_per_second\":128}",
            written[3], StringComparison.Ordinal);
    }

    [Fact]
    public void A_run_killed_at_any_byte_and_resumed_leaves_the_same_log_as_one_that_was_not()
    {
        byte[] whole = Uninterrupted(steps: 6);
        Gen.Int[0, whole.Length].Sample(length =>
        {
            File.WriteAllBytes(LogPath, whole[..length]);
            // The trainer resumes at a checkpoint that is on disk; its event was appended before the folder was saved.
            long step = EventLog.Read(LogPath).OfType<RunEvent.Checkpoint>().Select(checkpoint => checkpoint.Number).DefaultIfEmpty(0).Max();
            using (var log = EventLog.Resume(LogPath, step))
            {
                foreach (var happened in Training(step, 6))
                    log.Append(happened);
            }

            Assert.Equal(whole, File.ReadAllBytes(LogPath));
        }, iter: 120, threads: 1);
    }

    [Fact]
    public void Resuming_an_older_checkpoint_drops_what_came_after_it_and_the_interruption()
    {
        byte[] whole = Uninterrupted(steps: 6);
        File.WriteAllBytes(LogPath, whole);
        using (var log = EventLog.Resume(LogPath, step: 4))
        {
            log.Append(new RunEvent.Step(5, 1, 1, 1e-3, 64, 0.5, 128));
            log.Append(new RunEvent.Interrupted(5, null));
        }

        Assert.Equal(5, EventLog.Read(LogPath).OfType<RunEvent.Step>().Max(step => step.Number));
        using (var log = EventLog.Resume(LogPath, step: 4))
        {
            foreach (var happened in Training(4, 6))
                log.Append(happened);
        }

        Assert.Equal(whole, File.ReadAllBytes(LogPath));
    }

    [Fact]
    public void A_log_can_be_read_while_it_is_written()
    {
        using var log = EventLog.Create(LogPath);
        log.Append(new RunEvent.Validation(1, 2, true));
        Assert.Single(EventLog.Read(LogPath));
        log.Append(new RunEvent.Validation(2, 1, true));
        Assert.Equal(2, EventLog.Read(LogPath).Count());
    }

    [Theory]
    [InlineData("{\"kind\":\"validation\",\"step\":1,\"loss\":2")]
    [InlineData("{\"kind\":\"validation\",\"step\":1,\"loss\":2,\"best\":true,\"extra\":1}")]
    [InlineData("{\"kind\":\"unheard_of\"}")]
    [InlineData("{\"step\":1}")]
    [InlineData("null")]
    [InlineData("")]
    public void Only_the_last_line_may_be_torn(string broken)
    {
        const string sound = "{\"kind\":\"validation\",\"step\":1,\"loss\":2,\"best\":true}";
        File.WriteAllText(LogPath, $"{sound}\n{broken}");
        Assert.Single(EventLog.Read(LogPath));

        File.WriteAllText(LogPath, $"{sound}\n{broken}\n{sound}\n");
        var problem = Assert.Throws<PerenosException>(() => EventLog.Read(LogPath).Count());
        Assert.Contains("line 2", problem.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_line_longer_than_the_reading_buffer_is_one_event()
    {
        string text = new('é', 100_000);
        using (var log = EventLog.Create(LogPath))
        {
            log.Append(new RunEvent.Sample(text, null, null, text));
            log.Append(new RunEvent.Validation(1, 2, true));
        }

        var events = EventLog.Read(LogPath).ToList();
        Assert.Equal(text, Assert.IsType<RunEvent.Sample>(events[0]).After);
        Assert.Equal(2, events.Count);
    }
}
