using System.Globalization;
using Perenos.Recipes;
using Perenos.Runs;
using Perenos.Runs.Config;
using Spectre.Console;

namespace Perenos.Cli;

/// <summary>A sweep on the screen: its plan, a table that fills, and what came of it.</summary>
internal static class SweepDisplay
{
    /// <summary>Makes the plan and shows what it takes.</summary>
    public static SweepPlan Prepare(SweepConfig config)
    {
        using var run = OpeningDisplay.Follow(progress => PreparedRun.Open(config.Recipe, progress));
        var plan = SweepPlan.Of(config, run);
        var rehearsed = run.RehearseTraining(TimeProvider.System);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{plan.Trials.Count} trials; compared after {string.Join(", ", plan.Rungs)} of {plan.TotalSteps} steps; {plan.Steps:N0} steps in all, {(double)plan.Steps / plan.TotalSteps:F1} times a run; about {RunDisplay.Duration(rehearsed.TrainingSeconds / plan.TotalSteps * plan.Steps)} and {rehearsed.Memory / 1e9:F1} GB"));
        return plan;
    }

    /// <summary>Follows a sweep to its end: a live table on a terminal, lines elsewhere.</summary>
    public static SweepResult Follow(SweepPlan plan, Func<Action<SweepProgress>, SweepResult> sweep)
    {
        if (!AnsiConsole.Profile.Capabilities.Interactive || Console.IsOutputRedirected)
            return sweep(Lines(plan));
        return AnsiConsole.Live(new Spectre.Console.Text("")).Start(context => sweep(progress =>
        {
            context.UpdateTarget(Table(plan, progress.Trials).Caption(Caption(plan, progress)));
            context.Refresh();
        }));
    }

    /// <summary>The table, the verdict, and how to go on.</summary>
    public static void ShowResult(SweepPlan plan, SweepResult result, RunFolder folder)
    {
        if (Console.IsOutputRedirected || !AnsiConsole.Profile.Capabilities.Interactive)
            AnsiConsole.Write(Table(plan, result.Trials));
        foreach (var finding in SweepReport.Verdict(plan, result, result.Best!))
            Console.WriteLine($"{finding.Figure}: {finding.Sentence}");
        Console.WriteLine($"Report: {folder.Report}");
        Console.WriteLine($"Train the winner to step {plan.TotalSteps}, from step {plan.Rungs[^1]} on:");
        Console.WriteLine($"  {SweepReport.ResumeCommand(folder, result.Best!)}");
        Console.WriteLine("Or from the start, by its recipe:");
        Console.WriteLine($"  {SweepReport.AnewCommand(folder)}");
    }

    private static Table Table(SweepPlan plan, IReadOnlyList<SweepTrial> trials)
    {
        var table = new Table().RoundedBorder().AddColumn(trials[0].Rank is null ? "learning rate" : "learning rate, rank");
        table.AddColumn(new TableColumn("steps").RightAligned());
        foreach (int step in plan.Rungs)
            table.AddColumn(new TableColumn($"loss at {step}").RightAligned());
        table.AddColumn("");
        foreach (var trial in trials)
        {
            string[] losses = [.. plan.Rungs.Select(step => trial.LossAt(step) is { } loss && double.IsFinite(loss) ? loss.ToString("F4", CultureInfo.InvariantCulture) : "")];
            string status = trial.Status == SweepStatus.Waiting ? "" : trial.Status.ToString().ToLowerInvariant();
            table.AddRow([trial.Label, $"{trial.Step}", .. losses, trial.Status == SweepStatus.Best ? $"[green]{status}[/]" : status]);
        }

        return table;
    }

    private static string Caption(SweepPlan plan, SweepProgress progress) =>
        $"comparison {progress.Rung + 1} of {plan.Rungs.Count}, after {plan.Rungs[progress.Rung]} steps{(progress.SecondsLeft is { } left ? $"; {RunDisplay.Duration(left)} left" : "")}";

    // A line when a trial reaches its comparison, and now and then one between.
    private static Action<SweepProgress> Lines(SweepPlan plan)
    {
        var clock = TimeProvider.System;
        long last = clock.GetTimestamp();
        var told = new HashSet<(string, int)>();
        return progress =>
        {
            int step = plan.Rungs[progress.Rung];
            foreach (var trial in progress.Trials.Where(trial => trial.Status != SweepStatus.Training && trial.LossAt(step) is not null && told.Add((trial.Name, step))))
                Console.WriteLine($"{trial.Name}  step {trial.Step}  {(trial.Problem is null ? $"validation loss {trial.LossAt(step)!.Value.ToString("F4", CultureInfo.InvariantCulture)}" : trial.Problem)}");
            if (clock.GetElapsedTime(last).TotalSeconds < 10 || progress.Trials.FirstOrDefault(trial => trial.Status == SweepStatus.Training) is not { } running)
                return;
            last = clock.GetTimestamp();
            Console.WriteLine($"{running.Name}  step {running.Step}; {Caption(plan, progress)}");
        };
    }
}
