using Perenos.Evaluation;
using Perenos.Reports;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Training;

namespace Perenos.Recipes;

/// <summary>One state of the model on the road: the base, or what a stage left.</summary>
/// <param name="Name">The stage's name, where an adapter was taken off with a word about that.</param>
/// <param name="Plan">The stage; null for the base.</param>
/// <param name="Target">What was measured on the target.</param>
/// <param name="Own">What was measured on the stage's own data, and of the base on them.</param>
internal sealed record StageState(string Name, StagePlan? Plan, Judgement Target, (Judgement Base, Judgement After)? Own = null);

/// <summary>How a run in stages ended.</summary>
public sealed record StagedResult
{
    /// <summary>How it ended: completed, or interrupted in a stage.</summary>
    public required TrainingEnd End { get; init; }

    /// <summary>The whole with every finished stage.</summary>
    public required RunSummary Summary { get; init; }

    /// <summary>Everything for the report; null where it was interrupted.</summary>
    public ReportModel? Report { get; init; }
}

/// <summary>Stages one after the other: each an ordinary run in a folder of its own, started from what an earlier one left, measured against the base.</summary>
public static class FineTuneInStages
{
    /// <summary>Runs a recipe with stages in a fresh folder.</summary>
    /// <param name="config">The recipe.</param>
    /// <param name="folder">The folder of the whole.</param>
    /// <param name="listener">Told of every stage's events.</param>
    /// <param name="announce">Told in words which stage begins.</param>
    /// <param name="stop">Ends the running step, saves, and ends.</param>
    /// <exception cref="PerenosException">A mistake of the user; finished stages stay.</exception>
    public static StagedResult Run(StagedConfig config, RunFolder folder, RunListener listener, Action<string> announce, CancellationToken stop)
    {
        // Measured once: every stage, and going on, must compute in the same type.
        config = config with { Dtype = ComputeTypes.NameOf(ComputeTypes.Choose(config.Dtype).Type), Name = null };
        var examiner = Prepared(config, folder, listener, stop, out var plans);
        ConfigFile.Write(folder.Config, config);
        return Continue(config, plans, examiner, folder, listener.Clock.GetUtcNow(), listener, announce, stop);
    }

    /// <summary>Goes on with the first stage that is not finished.</summary>
    /// <exception cref="PerenosException">All are finished, or the folder is damaged.</exception>
    public static StagedResult Resume(RunFolder folder, RunListener listener, Action<string> announce, CancellationToken stop)
    {
        var summary = RunSummary.Read(folder);
        if (summary?.Status == RunStatus.Finished)
            throw new PerenosException($"{folder.Name} is finished.", $"perenos runs show {folder.Path} shows it.");
        var config = ConfigFile.Read<StagedConfig>(folder.Config);
        var examiner = Prepared(config, folder, listener, stop, out var plans);
        return Continue(config, plans, examiner, folder, summary?.Started ?? listener.Clock.GetUtcNow(), listener, announce, stop);
    }

    /// <summary>The runs that the stages stand for, checked as far as that can be done without a model; what the later ones start from does not exist yet.</summary>
    /// <exception cref="PerenosException">A stage names what is not there, or asks for what cannot be.</exception>
    public static IReadOnlyList<RunConfig> Check(StagedConfig config) => [.. StagePlan.Of(config, RunFolder.DefaultRoot).Select(plan => plan.Config)];

    private static StageExaminer Prepared(StagedConfig config, RunFolder folder, RunListener listener, CancellationToken stop, out IReadOnlyList<StagePlan> plans)
    {
        plans = StagePlan.Of(config, folder.Path);
        var examiner = new StageExaminer(config, plans, folder, ComputeTypes.Choose(config.Dtype).Type, listener, stop);
        examiner.Prepare();
        return examiner;
    }

    private static StagedResult Continue(
        StagedConfig config, IReadOnlyList<StagePlan> plans, StageExaminer examiner, RunFolder folder, DateTimeOffset started, RunListener listener, Action<string> announce, CancellationToken stop)
    {
        List<StageState> states = [];
        var labels = new Dictionary<StagePlan, SelfLabels>();
        StagedResult Record(RunStatus status)
        {
            var summary = Summarize(config, plans, examiner, states, folder, started, status);
            summary.Write(folder);
            return new StagedResult { End = TrainingEnd.Interrupted, Summary = summary };
        }

        try
        {
            foreach (var plan in plans)
            {
                announce($"stage {plan.FolderName} of {plans.Count}: {plan}");
                if (!TakeStage(config, plan, folder, labels, listener, stop))
                    return Record(RunStatus.Interrupted);
                if (states.Count == 0)
                    states.Add(new StageState("base", null, examiner.Base(config.Data)));
                var own = examiner.Own(plan) is { } after ? (examiner.Base(plan.Config.Data), after) : ((Judgement, Judgement)?)null;
                states.Add(new StageState(plan.Stage.Name, plan, examiner.Target(plan), own));
                if (examiner.TakenOff(plan) is { } bare)
                    states.Add(new StageState($"{plan.Stage.Name}, adapter off", plan, bare));
                Record(RunStatus.Running);
            }

            var summary = Summarize(config, plans, examiner, states, folder, started, RunStatus.Finished);
            var report = StagedReport.Describe(config, plans, examiner, states, labels, summary, folder, listener.Clock);
            HtmlReport.Write(folder.Report, report);
            // Last: what it calls finished needs nothing more.
            summary.Write(folder);
            return new StagedResult { End = TrainingEnd.Completed, Summary = summary, Report = report };
        }
        catch (OperationCanceledException)
        {
            return Record(RunStatus.Interrupted);
        }
        catch (PerenosException)
        {
            Record(RunStatus.Failed);
            throw;
        }
    }

    // False where it was interrupted.
    private static bool TakeStage(StagedConfig config, StagePlan plan, RunFolder folder, Dictionary<StagePlan, SelfLabels> labels, RunListener listener, CancellationToken stop)
    {
        if (plan.ToMerge is { } adapted && !Directory.Exists(plan.Start.Model))
            MergeAdapters.Run(Models.Pretrained.Resolve(Hub.HubLocation.InCache(adapted.Model, Hub.HubKind.Model)), [(adapted.Adapters[0], 1)], plan.Start.Model);
        stop.ThrowIfCancellationRequested();
        var run = plan.Config;
        if (plan.Stage.SelfTraining is not null)
        {
            (var data, labels[plan]) = SelfTraining.Of(config, plan, Path.Combine(folder.Path, $"answers-{plan.FolderName}"), listener, stop);
            run = run with { Data = data };
        }

        if (plan.Begun is null)
        {
            // A process that was killed before its run began has left half a folder.
            if (Directory.Exists(plan.Folder))
                Directory.Delete(plan.Folder, recursive: true);
            using var fresh = RunFolder.Create(folder.Stages, plan.FolderName, "tune", plan.Start.Model, run.Data.Path, listener.Clock);
            return FineTune.Run(run, fresh, listener, stop).End != TrainingEnd.Interrupted;
        }

        using var begun = RunFolder.Resume(plan.Folder);
        return RunSummary.Read(begun)?.Status == RunStatus.Finished || FineTune.Resume(begun, listener, stop).End != TrainingEnd.Interrupted;
    }

    private static RunSummary Summarize(
        StagedConfig config, IReadOnlyList<StagePlan> plans, StageExaminer examiner, List<StageState> states, RunFolder folder, DateTimeOffset started, RunStatus status)
    {
        var examination = examiner.Of(config.Data);
        var runs = plans.Select(plan => (Plan: plan, Summary: plan.Begun is { } begun ? RunSummary.Read(begun) : null))
            .Where(run => run.Summary is not null).ToDictionary(run => run.Plan, run => run.Summary!);
        List<StageSummary> stages = [.. states.Where(state => state.Plan is not null).Select(state => new StageSummary
        {
            Name = state.Name,
            Folder = state.Plan!.Folder,
            Method = state.Plan.Stage.Method.Name,
            Metrics = examination.Scores(state.Target),
            Forgetting = examination.Changes(states[0].Target, state.Target).FirstOrDefault(change => change.Name == Judgement.Names.GeneralLoss),
            Seconds = runs[state.Plan].Seconds,
        })];
        var last = runs.Values.LastOrDefault();
        return new RunSummary
        {
            Name = folder.Name,
            Kind = "tune",
            Model = ((PretrainedStart)config.Start).Model,
            Data = config.Data.Path,
            Method = string.Join(" → ", plans.Select(plan => plan.Stage.Method.Name)),
            Status = status,
            Started = started,
            Steps = runs.Values.Sum(run => run.Steps),
            FirstLoss = runs.Values.FirstOrDefault()?.FirstLoss,
            LastLoss = last?.LastLoss,
            BestValidationLoss = last?.BestValidationLoss,
            Metrics = stages.LastOrDefault()?.Metrics ?? [],
            Forgetting = stages.LastOrDefault()?.Forgetting,
            Seconds = runs.Values.Sum(run => run.Seconds),
            PeakMemory = runs.Values.Select(run => run.PeakMemory).DefaultIfEmpty(0).Max(),
            Stages = stages,
        };
    }
}
