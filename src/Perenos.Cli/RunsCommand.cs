using System.CommandLine;
using System.Globalization;
using Perenos.Evaluation;
using Perenos.Runs;
using Perenos.Runs.Config;
using Spectre.Console;

namespace Perenos.Cli;

/// <summary><c>perenos runs</c>: what was run, and how runs compare.</summary>
internal static class RunsCommand
{
    public static Command Create()
    {
        var root = new Option<string>("--runs") { Description = "Folder of runs.", DefaultValueFactory = _ => RunFolder.DefaultRoot, HelpName = "folder", Recursive = true };
        var name = new Argument<string>("name") { Description = "The run's name or folder." };
        var first = new Argument<string>("a") { Description = "A run." };
        var second = new Argument<string>("b") { Description = "Another." };
        var show = new ExampledCommand("show", "Show one run.", "perenos runs show quickstart-base-weather-20260101-1200") { name };
        show.SetAction(parsed => Show(Open(parsed.GetValue(name)!, parsed.GetValue(root)!)));
        var compare = new ExampledCommand("compare", "Show two runs side by side.", "perenos runs compare A B") { first, second };
        compare.SetAction(parsed => Compare(Open(parsed.GetValue(first)!, parsed.GetValue(root)!), Open(parsed.GetValue(second)!, parsed.GetValue(root)!)));
        var command = new ExampledCommand("runs", "List runs, the newest first.", "perenos runs", "perenos runs show NAME", "perenos runs compare A B") { show, compare, root };
        command.SetAction(parsed => List(parsed.GetValue(root)!));
        return command;
    }

    private static int List(string root)
    {
        var runs = RunFolder.List(root);
        if (runs.Count == 0)
        {
            Console.WriteLine($"No runs in {root}. perenos quickstart makes one.");
            return 0;
        }

        var table = new Table().RoundedBorder().AddColumns("name", "status", "method", "steps", "loss", "best metric", "forgetting", "time");
        foreach (var run in runs)
        {
            var summary = RunSummary.Read(run);
            table.AddRow(new[]
            {
                run.Name, summary?.Status.ToString().ToLowerInvariant() ?? "unfinished", summary?.Method ?? "", $"{summary?.Steps}", Number(summary?.LastLoss, 3),
                summary?.Metrics is [var metric, ..] ? $"{metric.Name} {RunDisplay.Score(metric, 1)}" : "", summary?.Forgetting is { } forgotten ? RunDisplay.Score(forgotten, 3) : "",
                summary is null ? "" : RunDisplay.Duration(summary.Seconds),
            }.Select(Markup.Escape).ToArray());
        }

        AnsiConsole.Write(table);
        return 0;
    }

    private static int Show((RunFolder Folder, RunSummary? Summary) run)
    {
        var table = new Table().Border(TableBorder.None).HideHeaders().AddColumns("", "");
        foreach (var (key, value) in Facts(run))
            table.AddRow(Markup.Escape(key), Markup.Escape(value));
        AnsiConsole.Write(table);
        if (File.Exists(run.Folder.Report))
            Console.WriteLine($"Report: {run.Folder.Report}");
        else
            Console.WriteLine($"Not finished: perenos {run.Summary?.Kind ?? "tune"} --resume {run.Folder.Path}");
        return 0;
    }

    private static int Compare((RunFolder Folder, RunSummary? Summary) left, (RunFolder Folder, RunSummary? Summary) right)
    {
        var (first, second) = (Facts(left), Facts(right));
        var changes = Changes(left.Folder, right.Folder)?.ToDictionary(change => change.Name, change => RunDisplay.Score(change, Decimals(change)));
        var table = new Table().RoundedBorder().AddColumn("").AddColumn(Markup.Escape(left.Folder.Name)).AddColumn(Markup.Escape(right.Folder.Name));
        if (changes is not null)
            table.AddColumn("second − first, paired");
        foreach (string key in first.Keys.Union(second.Keys))
        {
            string[] row = [key, first.GetValueOrDefault(key, "–"), second.GetValueOrDefault(key, "–")];
            table.AddRow([.. (changes is null ? row : [.. row, changes.GetValueOrDefault(key, "")]).Select(Markup.Escape)]);
        }

        AnsiConsole.Write(table);
        if (changes is null)
            Console.WriteLine("The two did not take the same test (or are not finished): there is no paired difference.");
        return 0;
    }

    // Item by item over what both answered and read; null where that was not the same.
    private static IReadOnlyList<Metric>? Changes(RunFolder left, RunFolder right)
    {
        if (!File.Exists(left.After) || !File.Exists(right.After))
            return null;
        var (first, second) = (Judgement.Read(left.After), Judgement.Read(right.After));
        return first.HasSameTest(second) ? first.ChangesTo(second, new EvaluationConfig().Resamples) : null;
    }

    private static int Decimals(Metric metric) => Math.Abs(metric.Value) < 20 ? 3 : 1;

    private static (RunFolder Folder, RunSummary? Summary) Open(string name, string root)
    {
        var folder = RunFolder.Open(name, root);
        return (folder, RunSummary.Read(folder));
    }

    private static OrderedDictionary<string, string> Facts((RunFolder Folder, RunSummary? Summary) run)
    {
        var facts = new OrderedDictionary<string, string> { ["folder"] = run.Folder.Path };
        if (run.Summary is not { } summary)
            return facts;
        facts["status"] = summary.Status.ToString().ToLowerInvariant();
        facts["model"] = summary.Model;
        facts["data"] = summary.Data;
        facts["method"] = summary.Method ?? "";
        facts["steps"] = $"{summary.Steps:N0}";
        facts["loss, first and last"] = $"{Number(summary.FirstLoss, 4)}, {Number(summary.LastLoss, 4)}";
        facts["best validation loss"] = Number(summary.BestValidationLoss, 4);
        foreach (var metric in summary.Metrics)
            facts[metric.Name] = RunDisplay.Score(metric, Decimals(metric));
        if (summary.Forgetting is { } forgetting)
            facts["forgetting (nats per token)"] = RunDisplay.Score(forgetting, 3);
        foreach (var stage in summary.Stages)
        {
            facts[$"after {stage.Name} ({stage.Method})"] = string.Join(", ", stage.Metrics.Where(metric => metric.Name != Judgement.Names.GeneralLoss).Select(metric => $"{metric.Name} {RunDisplay.Score(metric, Decimals(metric))}"))
                + (stage.Forgetting is { } forgotten ? $"; forgetting since the base {RunDisplay.Score(forgotten, 3)}" : "");
            facts[$"its folder, {stage.Name}"] = stage.Folder;
        }

        facts["time"] = RunDisplay.Duration(summary.Seconds);
        facts["peak memory"] = $"{summary.PeakMemory / 1e9:F1} GB";
        return facts;
    }

    private static string Number(double? value, int decimals) => value?.ToString($"F{decimals}", CultureInfo.InvariantCulture) ?? "";
}
