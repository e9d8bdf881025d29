using System.Globalization;
using Perenos.Reports;
using Perenos.Runs;

namespace Perenos.Recipes;

/// <summary>Turns a finished sweep into what its report says.</summary>
public static class SweepReport
{
    internal static ReportModel Describe(SweepPlan plan, SweepResult result, RunFolder folder, TimeProvider clock)
    {
        var (best, recipe) = (result.Best!, plan.Config.Recipe);
        int last = plan.Rungs[^1];
        return new ReportModel
        {
            Title = $"Which learning rate{(best.Rank is null ? "" : " and rank")}?",
            Question = $"With which of {result.Trials.Count} settings does {recipe.Method.Name} learn {recipe.Data.Path} best?",
            Created = clock.GetUtcNow(),
            Verdict = [.. Verdict(plan, result, best)],
            Charts = [ByRate(plan, result.Trials), ByStep(result.Trials, best)],
            Results = new ResultSection
            {
                Heading = "Comparisons",
                States = [.. result.Trials.Select(trial => trial.Label)],
                Rows = [.. plan.Rungs.Select(step => new ResultRow($"validation loss after {step} steps", false,
                    [.. result.Trials.Select(trial => trial.LossAt(step) is { } loss && double.IsFinite(loss) ? new Metric("validation loss", loss) : null)], 4))],
                Note = $"Lowest validation loss up to that step, nats per learnt token. Each trial's schedule is that of the whole run of {plan.TotalSteps} steps; one in {plan.Config.Eta} goes on.",
            },
            Commands =
            [
                new ReportCommand($"Train the winner to step {plan.TotalSteps}, from step {last} on", ResumeCommand(folder, best)),
                new ReportCommand("Train it from the start", AnewCommand(folder)),
                new ReportCommand("The trials", $"perenos runs --runs {Sweep.TrialsIn(folder)}"),
            ],
        };
    }

    /// <summary>What to type to train the winner to its end.</summary>
    public static string ResumeCommand(RunFolder folder, SweepTrial best) => $"perenos tune --resume {Path.Combine(Sweep.TrialsIn(folder), best.Name)}";

    /// <summary>What to type to train it from the start.</summary>
    public static string AnewCommand(RunFolder folder) => $"perenos tune {Sweep.BestIn(folder)}";

    /// <summary>What was found, and what to mistrust of it.</summary>
    public static IEnumerable<Finding> Verdict(SweepPlan plan, SweepResult result, SweepTrial best)
    {
        int last = plan.Rungs[^1];
        double loss = best.LossAt(last)!.Value, start = best.Validations[0].Loss;
        yield return new Finding(FindingTone.Gained, best.Label, string.Create(CultureInfo.InvariantCulture, $"is the best learning rate{(best.Rank is null ? "" : " and rank")}: validation loss {loss:F4} nats per learnt token after {last} of {plan.TotalSteps} steps, {start:F4} before."));
        var rates = plan.Trials.Select(trial => trial.LearningRate).Distinct().Order().ToList();
        if (best.LearningRate == rates[0] || best.LearningRate == rates[^1])
            yield return new Finding(FindingTone.Neutral, "at the edge", $"The best rate is the {(best.LearningRate == rates[0] ? "lowest" : "highest")} that was tried: try {(best.LearningRate == rates[0] ? "lower" : "higher")} ones too.");
        int failed = result.Trials.Count(trial => trial.Status == SweepStatus.Failed);
        if (failed > 0)
            yield return new Finding(FindingTone.Neutral, $"{failed} failed", $"{result.Trials.First(trial => trial.Status == SweepStatus.Failed).Name}: {result.Trials.First(trial => trial.Status == SweepStatus.Failed).Problem}");
    }

    private static Chart ByRate(SweepPlan plan, IReadOnlyList<SweepTrial> trials) => new("Validation loss by learning rate", "learning rate", "nats per learnt token",
        [.. from rank in trials.Select(trial => trial.Rank).Distinct()
            from step in plan.Rungs
            let points = trials.Where(trial => trial.Rank == rank && trial.LossAt(step) is { } loss && double.IsFinite(loss)).Select(trial => (trial.LearningRate, trial.LossAt(step)!.Value)).ToList()
            where points.Count > 0
            select new ChartLine($"{(rank is null ? "" : $"rank {rank}, ")}{step} steps", points)])
    { IsLogarithmic = true };

    private static Chart ByStep(IReadOnlyList<SweepTrial> trials, SweepTrial best) => new("Validation loss by step", "optimizer step", "nats per learnt token",
        [.. trials.OrderBy(trial => trial.Name == best.Name ? 0 : 1).Select(trial => new ChartLine(trial.Label, [.. trial.Validations.Select(validation => ((double)validation.Step, validation.Loss))]))]);
}
