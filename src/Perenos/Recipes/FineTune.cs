using Perenos.Adapters;
using Perenos.Evaluation;
using Perenos.Hub;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Training;
using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Recipes;

/// <summary>The main road: open, judge as it is, train, judge again, save, report. Pretraining is the same road from random weights.</summary>
public static class FineTune
{
    /// <summary>Runs a configuration in a fresh folder.</summary>
    /// <param name="config">The configuration.</param>
    /// <param name="folder">The folder, locked.</param>
    /// <param name="listener">Who is told.</param>
    /// <param name="stop">Asks to stop; everything is saved.</param>
    /// <param name="pauseAt">Step at which to validate, save and leave without judging anything; none by default.</param>
    /// <exception cref="PerenosException">A mistake of the user; what was saved so far stays.</exception>
    public static RunResult Run(RunConfig config, RunFolder folder, RunListener listener, CancellationToken stop, int? pauseAt = null)
    {
        using var run = PreparedRun.Open(config, new SlowOpening(listener.Clock, listener.Progress), folder.Fisher, stop);
        RunEnvironment.Capture(run.Compute.Type.ToString(), run.Compute.Reason, Engine()).Write(folder);
        if (run.Data.Files.Count > 0)
            DataFile.Write(folder.Data, run.Data.Files);
        // Last: a folder with a configuration is a run, and can be resumed. Its name is the folder's: a repetition gets another.
        ConfigFile.Write(folder.Config, run.Config with { Name = null });
        using var log = EventLog.Create(folder.Events);
        return Continue(run, folder, checkpoint: null, log, listener, pauseAt, stop);
    }

    /// <summary>Goes on with an interrupted run from its newest checkpoint; bit for bit on the CPU.</summary>
    /// <param name="folder">The folder, locked.</param>
    /// <param name="listener">Who is told.</param>
    /// <param name="stop">Asks to stop; everything is saved.</param>
    /// <param name="pauseAt">Step at which to validate, save and leave without judging anything; none by default.</param>
    /// <exception cref="PerenosException">The run is finished, or its folder is damaged or belongs to something else.</exception>
    public static RunResult Resume(RunFolder folder, RunListener listener, CancellationToken stop, int? pauseAt = null)
    {
        if (RunSummary.Read(folder)?.Status == RunStatus.Finished)
            throw new PerenosException($"{folder.Name} is finished.", $"perenos runs show {folder.Path} shows it; to train longer, start a new run from {folder.Config} with more epochs.");
        DataFile.RefuseChanged(folder);
        using var run = PreparedRun.Open(ConfigFile.Read<RunConfig>(folder.Config), new SlowOpening(listener.Clock, listener.Progress), folder.Fisher, stop);
        var (step, checkpoint) = folder.SavedCheckpoints() is [.., var newest] ? newest : (0, null!);
        // Without a checkpoint the run begins anew, and so does its log.
        using var log = checkpoint is null ? EventLog.Create(folder.Events) : EventLog.Resume(folder.Events, step);
        return Continue(run, folder, checkpoint, log, listener, pauseAt, stop);
    }

    private static RunResult Continue(PreparedRun run, RunFolder folder, string? checkpoint, EventLog log, RunListener listener, int? pauseAt, CancellationToken stop)
    {
        using var board = run.Config.Tensorboard ? TensorBoardLog.Create(folder.TensorBoard, listener.Clock) : null;
        void Tell(RunEvent happened)
        {
            log.Append(happened);
            board?.Append(happened);
            listener.Event(happened);
        }

        long start = listener.Clock.GetTimestamp();
        double? loss = null;
        // Taken before a checkpoint is loaded: the start is where the run began.
        using var reading = PromptReading.Of(run.Adapter, run.Pretrained.Model.Parts);
        var training = new TrainingRun(run.Pretrained.Model, run.Trainables, run.Config.Training, run.Order, run.Data.Validation, folder, listener.Clock, happened =>
        {
            loss = happened is RunEvent.Step step ? step.Loss : loss;
            Tell(happened);
            if (happened is RunEvent.Validation measured && reading is not null)
                Tell(reading.At(measured.Number));
        }, run.Penalty, run.Objective, run.Sampling)
        {
            BeforeStep = run.BeginStep,
            AfterStep = run.EndStep,
            ValidationLoss = run.Preference is { } preference ? preference.MeanLoss : null,
        };
        using (training)
        {
            try
            {
                if (checkpoint is null)
                    Announce(run, listener, Tell, stop);
                else
                    EventLog.Read(folder.Events).Where(happened => happened is RunEvent.Planned).ToList().ForEach(listener.Event);

                var examination = run.Examination;
                // Before the checkpoint is put back: a run that was paused has not judged its base yet.
                var before = pauseAt is null ? Before(run, examination, folder, checkpoint is null ? Tell : null, listener, stop) : null;
                if (checkpoint is not null)
                    training.Resume(checkpoint);
                var end = training.Go(stop, pauseAt);
                if (before is null || end == TrainingEnd.Interrupted)
                    return Interrupted(run, folder, training.State, loss, Tell, listener);
                return Finish(run, folder, training.State, end, examination, before, reading, start, Tell, listener, stop);
            }
            catch (OperationCanceledException)
            {
                if (checkpoint is not null && training.State.Step == 0)
                    training.Resume(checkpoint);
                return Interrupted(run, folder, training.State, loss, Tell, listener);
            }
            catch (Exception problem) when (Explained(problem) is { } mistake)
            {
                Tell(new RunEvent.Failed(training.State.Step, mistake.Message, mistake.Hint));
                Summarize(run, folder, RunStatus.Failed, training.State, loss, [], null, listener).Write(folder);
                throw mistake;
            }
        }
    }

    private static PerenosException? Explained(Exception problem) => problem switch
    {
        PerenosException mistake => mistake,
        _ when OutOfMemory.Caused(problem) => OutOfMemory.Explain(problem),
        _ => null,
    };

    private static void Announce(PreparedRun run, RunListener listener, Action<RunEvent> tell, CancellationToken stop)
    {
        tell(new RunEvent.Started(run.Config.Start is RandomStart ? "pretrain" : "tune", run.Pretrained.Location, run.Config.Data.Path, listener.Clock.GetUtcNow()));
        var plan = run.RehearseTraining(listener.Clock, stop);
        long tokens = (long)(run.TokensPerEpoch * (double)run.Order.TotalSteps / run.Order.StepsPerEpoch);
        tell(new RunEvent.Planned(run.Config.Method.Name, run.Order.TotalSteps, tokens, run.TrainableParameters, run.TotalParameters, plan.Memory, plan.Seconds)
        {
            Sources = run.Sources is { Count: > 0 } sources ? sources : null,
        });
    }

    // Judged once: a resumed run reads what the first process wrote.
    private static Judgement Before(PreparedRun run, Examination examination, RunFolder folder, Action<RunEvent>? tell, RunListener listener, CancellationToken stop)
    {
        if (tell is null && File.Exists(folder.Before))
            return Judgement.Read(folder.Before);
        // The bare base: a prompt changes the answers before it has learnt anything.
        run.Adapter?.Detach();
        var before = examination.Take(run.Pretrained.Model, run.Pretrained.Tokenizer, Prefix(run.Pretrained), listener.Progress, stop);
        run.Adapter?.Attach();
        before.Write(folder.Before);
        (tell ?? listener.Event)(new RunEvent.Evaluation("before", examination.Scores(before)));
        return before;
    }

    private static RunResult Finish(
        PreparedRun run, RunFolder folder, TrainingState state, TrainingEnd end, Examination examination, Judgement before, PromptReading? reading, long start,
        Action<RunEvent> tell, RunListener listener, CancellationToken stop)
    {
        double? forecast = run.Config.Retention.Penalty is EwcConfig ? run.Penalty!.Forecast() : null;
        Save(run, folder);
        var after = examination.Take(run.Pretrained.Model, run.Pretrained.Tokenizer, Prefix(run.Pretrained), listener.Progress, stop);
        after.Write(folder.After);
        var preference = PreferenceScore.Of(run);
        var scoresAfter = examination.Scores(after);
        IReadOnlyList<Metric> scores = [.. scoresAfter, .. preference?.Metrics ?? []];
        tell(new RunEvent.Evaluation("after", scores));
        var samples = Samples(examination, before, after);
        foreach (var sample in samples)
            tell(sample);
        AtomicFile.WriteText(folder.Samples, string.Concat(samples.Select(sample => ConfigFile.ToTree<RunEvent>(sample).ToJsonString() + "\n")));
        tell(new RunEvent.Finished(state.Step, listener.Clock.GetElapsedTime(start).TotalSeconds, PeakMemory.OfProcess()));

        var changes = examination.Changes(before, after);
        var events = EventLog.Read(folder.Events).ToList();
        double? last = events.OfType<RunEvent.Step>().LastOrDefault()?.Loss;
        var summary = Summarize(run, folder, RunStatus.Finished, state, last, scores,
            changes.FirstOrDefault(change => change.Name == Judgement.Names.GeneralLoss), listener) with
        {
            FirstLoss = events.OfType<RunEvent.Step>().FirstOrDefault()?.Loss,
            Seconds = events.OfType<RunEvent.Finished>().Last().Seconds,
        };
        var result = new RunResult
        {
            End = end,
            Config = run.Config,
            Summary = summary,
            Examination = examination,
            Before = before,
            After = after,
            ScoresBefore = examination.Scores(before),
            ScoresAfter = scoresAfter,
            Changes = changes,
            Forecast = forecast,
            NearestTokens = reading?.NearestTokens(run.Pretrained.Tokenizer) ?? [],
            Preference = preference,
        };
        result = result with { Report = RunReport.Describe(run, result, events, folder, listener.Clock) };
        Reports.HtmlReport.Write(folder.Report, result.Report);
        // Last: what it calls finished needs nothing more.
        summary.Write(folder);
        return result;
    }

    // What is judged afterwards is what was saved: full weights are first rounded to the type in which they are stored.
    private static void Save(PreparedRun run, RunFolder folder)
    {
        if (run.Adapter is not null)
        {
            PeftFolder.Save(folder.Adapter, run.Adapter, HubCache.Origin(run.Pretrained.Location)?.Repository ?? Path.GetFullPath(run.Pretrained.Location));
            AdapterPassport.Of(run.Pretrained, run.Adapter).Write(folder.Adapter);
            return;
        }

        run.Pretrained.Save(folder.Model);
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        foreach (var weight in run.Pretrained.Model.Parts.Weights.Values.Where(weight => weight.dtype != run.Pretrained.StoredType))
            weight.copy_(weight.to(run.Pretrained.StoredType));
        if (run.Frozen is null)
            return;
        // The adapter belongs to the weights as they have become.
        PeftFolder.Save(folder.Adapter, run.Frozen, folder.Model);
        AdapterPassport.Of(run.Pretrained, run.Frozen).Write(folder.Adapter);
    }

    private static RunResult Interrupted(PreparedRun run, RunFolder folder, TrainingState state, double? loss, Action<RunEvent> tell, RunListener listener)
    {
        tell(new RunEvent.Interrupted(state.Step, folder.SavedCheckpoints() is [.., var newest] ? Path.GetFileName(newest.Path) : null));
        var summary = Summarize(run, folder, RunStatus.Interrupted, state, loss, [], null, listener);
        summary.Write(folder);
        return new RunResult { End = TrainingEnd.Interrupted, Config = run.Config, Summary = summary };
    }

    private static RunSummary Summarize(
        PreparedRun run, RunFolder folder, RunStatus status, TrainingState state, double? loss, IReadOnlyList<Metric> metrics, Metric? forgetting, RunListener listener) => new()
        {
            Name = folder.Name,
            Kind = run.Config.Start is RandomStart ? "pretrain" : "tune",
            Model = run.Pretrained.Location,
            Data = run.Config.Data.Path,
            Method = run.Config.Method.Name,
            Status = status,
            Started = EventLog.Read(folder.Events).OfType<RunEvent.Started>().FirstOrDefault()?.At ?? listener.Clock.GetUtcNow(),
            Steps = state.Step,
            LastLoss = loss,
            BestValidationLoss = state.BestLoss,
            Metrics = metrics,
            Forgetting = forgetting,
            Seconds = state.Seconds,
            PeakMemory = PeakMemory.OfProcess(),
        };

    private static List<RunEvent.Sample> Samples(Examination examination, Judgement before, Judgement after) =>
        [.. examination.Answered.Select((record, index) =>
            new RunEvent.Sample(record.PromptText, examination.Answers[index], before.Answers[index], after.Answers[index]))];

    /// <summary>Token before the first of a text, which gives that a likelihood too: the begin token, else the one that ends texts.</summary>
    public static int? Prefix(Pretrained pretrained) => pretrained.BeginToken ?? pretrained.StopTokens[0];

    private static Dictionary<string, string> Engine() => new()
    {
        ["TorchSharp"] = RunEnvironment.VersionOf(typeof(torch).Assembly),
        ["Perenos"] = RunEnvironment.VersionOf(typeof(FineTune).Assembly),
    };
}
