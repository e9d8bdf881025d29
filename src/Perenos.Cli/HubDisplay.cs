using Perenos.Hub;
using Spectre.Console;

namespace Perenos.Cli;

/// <summary>Loading from the hub on the screen: a bar with speed and time left on a terminal, now and then a line elsewhere; all on standard error.</summary>
internal static class HubDisplay
{
    private const double SecondsBetweenLines = 5;

    /// <summary>Brings what a name needs into the cache, and shows it; Ctrl-C stops, and the next call goes on there.</summary>
    public static HubFetch Fetch(HubSettings settings, HubName name)
    {
        var repository = new HubRepository(settings, TimeProvider.System);
        var fetched = RunDisplay.WithInterrupts(stop =>
        {
            HubFetch Load(Action<HubProgress> show) => repository.FetchAsync(name, show, stop).GetAwaiter().GetResult();
            return Console.IsErrorRedirected ? AsLines(name, Load) : OnTerminal(name, Load);
        });
        string kind = name.Kind == HubKind.Dataset ? "data set" : "model";
        Console.Error.WriteLine($"{kind} {name.Repository} of the hub, commit {fetched.Pinned.Revision[..7]}: {(fetched.Loaded > 0 ? $"{Size(fetched.Loaded)} loaded" : "in the cache")}");
        return fetched;
    }

    private static HubFetch OnTerminal(HubName name, Func<Action<HubProgress>, HubFetch> load)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        return console.Progress()
            .AutoClear(true)
            .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new DownloadedColumn(), new TransferSpeedColumn(), new RemainingTimeColumn())
            .Start(context =>
            {
                var task = context.AddTask(Markup.Escape(name.ToString()), maxValue: 1);
                task.IsIndeterminate = true;
                return load(progress =>
                {
                    task.IsIndeterminate = false;
                    task.Description = Markup.Escape($"{name.Repository}  {progress.File}");
                    task.MaxValue = Math.Max(1, progress.Total);
                    task.Value = progress.Done;
                });
            });
    }

    private static HubFetch AsLines(HubName name, Func<Action<HubProgress>, HubFetch> load)
    {
        var clock = TimeProvider.System;
        long start = clock.GetTimestamp();
        double last = 0;
        long? first = null;
        return load(progress =>
        {
            // What was here before costs no time and tells nothing about the speed.
            first ??= progress.Done;
            double seconds = clock.GetElapsedTime(start).TotalSeconds;
            if (seconds - last < SecondsBetweenLines)
                return;
            last = seconds;
            double speed = Math.Max(1, (progress.Done - first.Value) / seconds);
            Console.Error.WriteLine($"{name.Repository} {progress.File}: {Size(progress.Done)} of {Size(progress.Total)}, {Size((long)speed)}/s, {RunDisplay.Duration((progress.Total - progress.Done) / speed)} left");
        });
    }

    private static string Size(long bytes) => bytes switch
    {
        < 1_000_000 => $"{bytes / 1e3:F1} kB",
        < 1_000_000_000 => $"{bytes / 1e6:F1} MB",
        _ => $"{bytes / 1e9:F2} GB",
    };
}
