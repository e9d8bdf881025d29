using Perenos.Recipes;
using Perenos.Runs;
using Spectre.Console;

namespace Perenos.Cli;

/// <summary>Progress while it happens: a bar with loss, tokens per second and time left on a terminal, now and then a line elsewhere.</summary>
internal static class LiveDisplay
{
    private const double SecondsBetweenLines = 10;

    /// <summary>Follows a run to its end.</summary>
    public static T Follow<T>(Func<RunListener, T> run) =>
        AnsiConsole.Profile.Capabilities.Interactive && !Console.IsOutputRedirected ? OnTerminal(run) : AsLines(run);

    private static T OnTerminal<T>(Func<RunListener, T> run) => AnsiConsole.Progress()
        .AutoClear(false)
        .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
        .Start(context =>
        {
            var phases = new Dictionary<string, ProgressTask>();
            ProgressTask Phase(string name, double total)
            {
                if (!phases.TryGetValue(name, out var task) || task.IsFinished)
                    phases[name] = task = context.AddTask(name, maxValue: total);
                return task;
            }

            double steps = 1;
            double? validation = null;
            return run(new RunListener(TimeProvider.System, happened =>
            {
                switch (happened)
                {
                    case RunEvent.Planned planned:
                        steps = planned.Steps;
                        AnsiConsole.WriteLine(PlanLine(planned));
                        break;
                    case RunEvent.Validation measured:
                        validation = measured.Loss;
                        break;
                    case RunEvent.Step step:
                        var task = Phase("training", steps);
                        task.Description = $"training  loss {step.Loss:F3}{(validation is { } loss ? $"  validation {loss:F3}" : "")}  {step.TokensPerSecond:N0} tokens/s";
                        task.Value = step.Number;
                        break;
                }
            }, (name, done, total) => Phase(name, total).Value = done));
        });

    private static T AsLines<T>(Func<RunListener, T> run)
    {
        var clock = TimeProvider.System;
        long steps = 1, start = clock.GetTimestamp(), last = 0;
        double spent = 0;
        long first = -1;
        return run(new RunListener(clock, happened =>
        {
            switch (happened)
            {
                case RunEvent.Planned planned:
                    // Each stage is planned by itself, and has a pace of its own.
                    (steps, spent, first) = (planned.Steps, 0, -1);
                    Console.WriteLine(PlanLine(planned));
                    break;
                case RunEvent.Validation measured:
                    Console.WriteLine($"step {measured.Number}/{steps}  validation loss {measured.Loss:F4}{(measured.Best ? "  best" : "")}");
                    break;
                case RunEvent.Step step:
                    first = first < 0 ? step.Number - 1 : first;
                    spent += step.Seconds;
                    double elapsed = clock.GetElapsedTime(start).TotalSeconds;
                    if (elapsed - last >= 5 || step.Number == steps)
                    {
                        last = (long)elapsed;
                        double left = spent / (step.Number - first) * (steps - step.Number);
                        Console.WriteLine($"step {step.Number}/{steps}  loss {step.Loss:F4}  {step.TokensPerSecond:N0} tokens/s  {RunDisplay.Duration(left)} left");
                    }

                    break;
            }
        }, Phases(clock)));
    }

    // A line now and then for a phase that takes long.
    private static Action<string, int, int> Phases(TimeProvider clock)
    {
        var (phase, start, last) = ("", clock.GetTimestamp(), 0.0);
        return (name, done, total) =>
        {
            if (name != phase)
                (phase, start, last) = (name, clock.GetTimestamp(), 0);
            double elapsed = clock.GetElapsedTime(start).TotalSeconds;
            if (elapsed - last < SecondsBetweenLines || done == 0)
                return;
            last = elapsed;
            Console.WriteLine($"{name} {done:N0}/{total:N0}  {RunDisplay.Duration(elapsed / done * (total - done))} left");
        };
    }

    private static string PlanLine(RunEvent.Planned planned) => string.Join('\n', (planned.Sources ?? []).Select(source => $"{source}")
        .Concat(RunEvent.Source.Warnings(planned.Sources))
        .Append($"{planned.Method}: {planned.Steps:N0} steps over {planned.Tokens:N0} tokens, {planned.TrainableParameters:N0} of {planned.TotalParameters:N0} parameters learn; " +
        $"about {RunDisplay.Duration(planned.EstimatedSeconds)} of training and {planned.EstimatedMemory / 1e9:F1} GB"));
}
