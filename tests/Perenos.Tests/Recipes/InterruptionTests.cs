using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Testing;
using Perenos.Training;
using Xunit;

namespace Perenos.Tests.Recipes;

/// <summary>A run that stops and goes on is the run that never stopped.</summary>
public sealed class InterruptionTests : IDisposable
{
    private readonly TinyProject _project = new();

    public void Dispose() => _project.Dispose();

    [Theory]
    [InlineData("full", 0)]
    [InlineData("full", 1)]
    [InlineData("full", 4)]
    [InlineData("full", 6)]
    [InlineData("lora", 3)]
    [InlineData("lora+", 3)]
    [InlineData("dora", 3)]
    [InlineData("ia3", 3)]
    [InlineData("prompt", 3)]
    [InlineData("prefix", 3)]
    [InlineData("prefix, projected", 3)]
    [InlineData("p-tuning", 3)]
    [InlineData("p-tuning by lstm", 3)]
    [InlineData("norm", 3)]
    public void An_interrupted_run_goes_on_bit_for_bit(string method, int afterStep)
    {
        var config = _project.Config(FineTuneTests.MethodOf(method));
        _project.Run(config, "straight");
        Interrupt(config, "interrupted", happened => afterStep == 0 ? happened is RunEvent.Evaluation : happened is RunEvent.Step step && step.Number == afterStep, afterStep);

        Assert.Equal(RunStatus.Finished, _project.Resume("interrupted").Summary.Status);
        RunComparison.Equal(_project.Open("straight"), _project.Open("interrupted"));
    }

    [Fact]
    public void A_run_may_be_interrupted_after_every_step()
    {
        var config = _project.Config(FineTuneTests.MethodOf("lora"));
        _project.Run(config, "straight");
        Interrupt(config, "interrupted", happened => happened is RunEvent.Step, 1);
        TrainingEnd end;
        int resumes = 0;
        do
        {
            using var stop = new CancellationTokenSource();
            end = _project.Resume("interrupted", happened => CancelIf(happened is RunEvent.Step { Number: < 6 }, stop), stop).End;
            resumes++;
        }
        while (end == TrainingEnd.Interrupted);

        Assert.Equal(5, resumes);
        RunComparison.Equal(_project.Open("straight"), _project.Open("interrupted"));
    }

    [Fact]
    public void A_run_killed_before_its_first_checkpoint_starts_its_log_anew()
    {
        var config = _project.Config(new FullConfig());
        _project.Run(config, "straight");
        KillAt(config, "killed", happened => happened is RunEvent.Step { Number: 2 });

        _project.Resume("killed");
        Assert.Equal(Kinds("straight"), Kinds("killed"));
        RunComparison.Equal(_project.Open("straight"), _project.Open("killed"));
    }

    [Theory]
    [InlineData(nameof(RunEvent.Started))]
    [InlineData(nameof(RunEvent.Planned))]
    public void A_run_interrupted_while_it_is_rehearsed_or_judged_goes_on_from_the_start(string after)
    {
        var config = _project.Config(new FullConfig());
        _project.Run(config, "straight");
        using (var stop = new CancellationTokenSource())
            Assert.Equal(TrainingEnd.Interrupted, _project.Run(config, "run", happened => CancelIf(happened.GetType().Name == after, stop), stop).End);
        Assert.Empty(_project.Open("run").SavedCheckpoints());

        _project.Resume("run");
        Assert.Equal(Kinds("straight"), Kinds("run"));
        RunComparison.Equal(_project.Open("straight"), _project.Open("run"));
    }

    [Fact]
    public void A_run_interrupted_before_its_first_step_validates_once()
    {
        var config = _project.Config(new FullConfig());
        Interrupt(config, "run", happened => happened is RunEvent.Evaluation, 0);
        _project.Resume("run");
        Assert.Single(RunComparison.Validations(_project.Open("run")), validation => validation.Number == 0);
    }

    [Fact]
    public void A_run_killed_after_it_stopped_early_takes_no_step_more()
    {
        var config = _project.Config(new FullConfig());
        config = config with { Training = config.Training with { MaximumSteps = 60, Epochs = 100, LearningRate = 0.05, Schedule = Schedule.Constant, Patience = 1 } };
        _project.Run(config, "straight");
        KillAt(config, "killed", happened => happened is RunEvent.Evaluation { Name: "after" });

        Assert.Equal(TrainingEnd.StoppedEarly, _project.Resume("killed").End);
        RunComparison.Equal(_project.Open("straight"), _project.Open("killed"));
    }

    [Fact]
    public void A_finished_run_is_not_gone_on_with()
    {
        _project.Run(_project.Config(new FullConfig()), "run");
        string log = File.ReadAllText(_project.Open("run").Events);
        var problem = Assert.Throws<PerenosException>(() => _project.Resume("run"));
        Assert.Contains("finished", problem.Message, StringComparison.Ordinal);
        Assert.Equal(log, File.ReadAllText(_project.Open("run").Events));
    }

    // As Ctrl-C does: the step ends, everything is saved.
    private void Interrupt(RunConfig config, string name, Func<RunEvent, bool> when, int afterStep)
    {
        using var stop = new CancellationTokenSource();
        var result = _project.Run(config, name, happened => CancelIf(when(happened), stop), stop);
        Assert.Equal(TrainingEnd.Interrupted, result.End);
        var folder = _project.Open(name);
        Assert.Equal(RunStatus.Interrupted, RunSummary.Read(folder)!.Status);
        Assert.Equal(afterStep, Assert.Single(folder.SavedCheckpoints()).Step);
        Assert.Equal(new RunEvent.Interrupted(afterStep, Path.GetFileName(folder.CheckpointAt(afterStep))), EventLog.Read(folder.Events).Last());
    }

    // What a killed process leaves: nothing is written after this event.
    private void KillAt(RunConfig config, string name, Func<RunEvent, bool> when)
    {
        Assert.Throws<InvalidOperationException>(() => _project.Run(config, name, happened =>
        {
            if (when(happened))
                throw new InvalidOperationException("killed");
        }));
        Assert.Null(RunSummary.Read(_project.Open(name)));
    }

    private static void CancelIf(bool isTime, CancellationTokenSource stop)
    {
        if (isTime)
            stop.Cancel();
    }

    private IEnumerable<string> Kinds(string run) => EventLog.Read(_project.Open(run).Events).Select(happened => happened.GetType().Name);
}
