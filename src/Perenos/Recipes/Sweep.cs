using Perenos.Reports;
using Perenos.Runs;
using Perenos.Runs.Config;

namespace Perenos.Recipes;

/// <summary>Where a sweep stands.</summary>
/// <param name="Trials">All trials, in the plan's order.</param>
/// <param name="Rung">The comparison that is being prepared, from 0.</param>
/// <param name="SecondsLeft">Time that the remaining steps take at the speed so far; null before the first step.</param>
public sealed record SweepProgress(IReadOnlyList<SweepTrial> Trials, int Rung, double? SecondsLeft);

/// <summary>What came of a sweep.</summary>
/// <param name="Trials">All trials, in the plan's order.</param>
/// <param name="Best">The best; null where the sweep was interrupted.</param>
public sealed record SweepResult(IReadOnlyList<SweepTrial> Trials, SweepTrial? Best);

/// <summary>
/// Successive halving (Jamieson and Talwalkar 2016, algorithm 1): all trials run for some steps, the better part goes on for η times as many, and so
/// on until one is left. Each is a run on its own whole road: its schedule is that of the full length, and at a rung it only pauses.
/// </summary>
public sealed class Sweep
{
    private readonly SweepPlan _plan;
    private readonly RunFolder _folder;
    private readonly TimeProvider _clock;
    private readonly Action<SweepProgress> _tell;
    private readonly List<SweepTrial> _trials;
    private readonly long _start;
    private readonly long _stepsBefore;
    private int _rung;

    private Sweep(SweepPlan plan, RunFolder folder, TimeProvider clock, Action<SweepProgress> tell)
    {
        (_plan, _folder, _clock, _tell) = (plan, folder, clock, tell);
        _trials = [.. plan.Trials.Select(trial => trial.AsOnDisk(TrialsIn(folder)))];
        (_start, _stepsBefore) = (clock.GetTimestamp(), _trials.Sum(trial => trial.Step));
    }

    /// <summary>Folder of the trials' runs.</summary>
    public static string TrialsIn(RunFolder folder) => Path.Combine(folder.Path, "trials");

    /// <summary>File of the winner's recipe.</summary>
    public static string BestIn(RunFolder folder) => Path.Combine(folder.Path, "best.json");

    /// <summary>Begins, or goes on where the trials' folders stand: they are all that a sweep remembers.</summary>
    /// <param name="plan">The trials.</param>
    /// <param name="folder">The sweep's folder, locked.</param>
    /// <param name="clock">Tells the time.</param>
    /// <param name="tell">Told of every step.</param>
    /// <param name="stop">Asks to stop; everything is saved.</param>
    /// <exception cref="PerenosException">A trial cannot begin, or none came to its first comparison.</exception>
    public static SweepResult Run(SweepPlan plan, RunFolder folder, TimeProvider clock, Action<SweepProgress> tell, CancellationToken stop)
    {
        ConfigFile.Write(folder.Config, plan.Config);
        return new Sweep(plan, folder, clock, tell).Go(stop);
    }

    private SweepResult Go(CancellationToken stop)
    {
        var running = Enumerable.Range(0, _trials.Count).ToList();
        for (_rung = 0; _rung < _plan.Rungs.Count; _rung++)
        {
            int step = _plan.Rungs[_rung];
            foreach (int index in running.Where(index => !_trials[index].Reached(step)))
            {
                TrainTo(index, step, stop);
                if (stop.IsCancellationRequested && !_trials[index].Reached(step))
                    return Interrupted();
            }

            // Of two that have found nothing better than the start, the one that stands better now goes on.
            var ranked = running.OrderBy(index => _trials[index].LossAt(step)).ThenBy(index => _trials[index].Validations.Select(validation => validation.Loss).LastOrDefault(double.PositiveInfinity)).ToList();
            if (_trials[ranked[0]].Status == SweepStatus.Failed)
                throw new PerenosException($"No trial came to step {step}; {_trials[ranked[0]].Name}: {_trials[ranked[0]].Problem}", "Try lower learning rates.");
            int most = _rung + 1 < _plan.Rungs.Count ? _plan.Survivors(_rung + 1) : 1;
            foreach (int index in ranked.Skip(most).Where(index => _trials[index].Status != SweepStatus.Failed))
                _trials[index] = _trials[index] with { Status = SweepStatus.Dropped };
            running = [.. ranked.Take(most).Where(index => _trials[index].Status != SweepStatus.Failed)];
        }

        _rung = _plan.Rungs.Count - 1;
        _trials[running[0]] = _trials[running[0]] with { Status = SweepStatus.Best };
        Tell();
        return Finish(_trials[running[0]]);
    }

    private void TrainTo(int index, int step, CancellationToken stop)
    {
        var trial = _trials[index];
        string root = TrialsIn(_folder), path = Path.Combine(root, trial.Name);
        var listener = new RunListener(_clock, happened =>
        {
            if (happened is RunEvent.Step taken)
            {
                _trials[index] = _trials[index] with { Step = taken.Number, Status = SweepStatus.Training };
                Tell();
            }
        }, (_, _, _) => { });
        try
        {
            if (File.Exists(Path.Combine(path, "config.json")))
            {
                using var folder = RunFolder.Resume(path);
                FineTune.Resume(folder, listener, stop, pauseAt: step);
            }
            else
            {
                // Killed before its run had begun: nothing in it counts.
                if (Directory.Exists(path))
                    Directory.Delete(path, recursive: true);
                using var folder = RunFolder.Create(root, trial.Name, "tune", "", "", _clock);
                FineTune.Run(Sharing(trial.Config), folder, listener, stop, pauseAt: step);
            }

            _trials[index] = trial.AsOnDisk(root) with { Status = SweepStatus.Waiting };
        }
        catch (PerenosException problem) when (_trials[index].Status == SweepStatus.Training && _trials[index].Step > 0)
        {
            // It had begun well: its rate is too high. What is wrong with data or model shows before the first step, and ends the sweep.
            _trials[index] = _trials[index] with { Status = SweepStatus.Failed, Problem = problem.Message };
        }

        Tell();
    }

    // What the base's weights mean to the kept text is the same for all trials: the file that the first estimates serves the others.
    private RunConfig Sharing(RunConfig config)
    {
        string? estimated = _trials.Select(trial => RunFolder.FisherIn(Path.Combine(TrialsIn(_folder), trial.Name))).FirstOrDefault(File.Exists);
        return estimated is null || config.Retention.Penalty is not EwcConfig { Keep: not null } ewc
            ? config
            : config with { Retention = config.Retention with { Penalty = ewc with { Keep = null, Fisher = estimated } } };
    }

    private void Tell()
    {
        long done = _trials.Sum(trial => trial.Step), taken = done - _stepsBefore;
        double? left = taken == 0 ? null : _clock.GetElapsedTime(_start).TotalSeconds / taken * Math.Max(0, _plan.Steps - done);
        _tell(new SweepProgress([.. _trials], _rung, left));
    }

    private SweepResult Interrupted()
    {
        Summarize(RunStatus.Interrupted, null);
        return new SweepResult(_trials, null);
    }

    private SweepResult Finish(SweepTrial best)
    {
        var result = new SweepResult(_trials, best);
        ConfigFile.Write(BestIn(_folder), best.Config);
        HtmlReport.Write(_folder.Report, SweepReport.Describe(_plan, result, _folder, _clock));
        Summarize(RunStatus.Finished, best);
        return result;
    }

    private void Summarize(RunStatus status, SweepTrial? best) => new RunSummary
    {
        Name = _folder.Name,
        Kind = "sweep",
        Model = _plan.Config.Recipe.Start is PretrainedStart start ? start.Model : ((RandomStart)_plan.Config.Recipe.Start).Architecture,
        Data = _plan.Config.Recipe.Data.Path,
        Method = _plan.Config.Recipe.Method.Name,
        Status = status,
        Started = _clock.GetUtcNow(),
        Steps = _trials.Sum(trial => trial.Step),
        BestValidationLoss = best?.LossAt(_plan.Rungs[^1]),
        Seconds = _clock.GetElapsedTime(_start).TotalSeconds,
        PeakMemory = PeakMemory.OfProcess(),
    }.Write(_folder);
}
