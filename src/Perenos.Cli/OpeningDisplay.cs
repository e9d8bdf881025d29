using Perenos.Recipes;
using Spectre.Console;

namespace Perenos.Cli;

/// <summary>A line or two on a terminal while a large model is opened, or streamed data are read; they are gone afterwards, and never appear for small ones.</summary>
internal static class OpeningDisplay
{
    /// <summary>Opens something that tells how far it is.</summary>
    public static T Follow<T>(Func<SlowOpening?, T> open)
    {
        if (!AnsiConsole.Profile.Capabilities.Interactive || Console.IsOutputRedirected)
            return open(null);
        return AnsiConsole.Progress()
            .AutoClear(true)
            .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
            .Start(context =>
            {
                var tasks = new Dictionary<string, ProgressTask>();
                return open(new SlowOpening(TimeProvider.System, (name, done, total) =>
                {
                    if (!tasks.TryGetValue(name, out var task))
                        tasks[name] = task = context.AddTask($"{name} ({total:N0})", maxValue: total);
                    task.Value = done;
                }));
            });
    }
}
