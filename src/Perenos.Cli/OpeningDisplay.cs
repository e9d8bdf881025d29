using Perenos.Models;
using Perenos.Recipes;
using Spectre.Console;

namespace Perenos.Cli;

/// <summary>One line on a terminal while a large model is opened; it is gone afterwards, and never appears for a small one.</summary>
internal static class OpeningDisplay
{
    /// <summary>Opens something that tells how far it is.</summary>
    public static T Follow<T>(Func<IProgress<OpenProgress>?, T> open)
    {
        if (!AnsiConsole.Profile.Capabilities.Interactive || Console.IsOutputRedirected)
            return open(null);
        return AnsiConsole.Progress()
            .AutoClear(true)
            .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
            .Start(context =>
            {
                ProgressTask? task = null;
                return open(new SlowOpening(TimeProvider.System, (name, done, total) =>
                {
                    task ??= context.AddTask($"{name} ({total:N0} MB)", maxValue: total);
                    task.Value = done;
                }));
            });
    }
}
