using System.Runtime.InteropServices;
using Perenos.Recipes;
using Perenos.Reports;
using Perenos.Runs;
using Perenos.Text.Data;
using Perenos.Training;
using Spectre.Console;

namespace Perenos.Cli;

/// <summary>A run on the screen: plan, live progress, and what came of it.</summary>
internal static class RunDisplay
{
    /// <summary>Exit code of a run that was interrupted and saved, as shells count SIGINT.</summary>
    public const int InterruptedCode = 130;

    /// <summary>Runs with Ctrl-C and SIGTERM turned into "finish the step, save, say how to go on".</summary>
    public static int Show(RunFolder folder, Func<RunListener, CancellationToken, RunResult> run)
    {
        AnsiConsole.MarkupLineInterpolated($"[bold]{folder.Name}[/]  [dim]{folder.Path}[/]");
        var result = WithInterrupts(stop => LiveDisplay.Follow(listener => run(listener, stop)));
        if (result.End == TrainingEnd.Interrupted)
            return ShowInterrupted(folder, result);
        ShowResult(folder, result);
        return 0;
    }

    /// <summary>The same for a run in stages.</summary>
    public static int ShowStages(RunFolder folder, Func<RunListener, Action<string>, CancellationToken, StagedResult> run)
    {
        AnsiConsole.MarkupLineInterpolated($"[bold]{folder.Name}[/]  [dim]{folder.Path}[/]");
        var result = WithInterrupts(stop => LiveDisplay.Follow(listener => run(listener, AnsiConsole.WriteLine, stop)));
        if (result.Report is not { } report)
        {
            string[] whole = [.. result.Summary.Stages.Select(stage => stage.Name)];
            Console.WriteLine($"Interrupted{(whole.Length == 0 ? "" : $" after {string.Join(", ", whole)}")}; everything is saved. Go on with:");
            Console.WriteLine($"  perenos tune --resume {folder.Path}");
            return InterruptedCode;
        }

        ShowReport(report);
        Console.WriteLine($"{Duration(result.Summary.Seconds)}, {result.Summary.PeakMemory / 1e9:F1} GB. Report: {folder.Report}");
        foreach (var command in report.Commands.Skip(1))
            Console.WriteLine($"{command.Purpose}: {command.Command}");
        return 0;
    }

    /// <summary>Says how to go on with an interrupted run.</summary>
    public static int ShowInterrupted(RunFolder folder, RunResult result)
    {
        Console.WriteLine($"Interrupted after step {result.Summary.Steps}; everything is saved. Go on with:");
        Console.WriteLine($"  perenos {result.Summary.Kind} --resume {folder.Path}");
        return InterruptedCode;
    }

    /// <summary>Runs with a token that Ctrl-C or SIGTERM cancels; a second Ctrl-C ends the process at once.</summary>
    public static T WithInterrupts<T>(Func<CancellationToken, T> run)
    {
        using var source = new CancellationTokenSource();
        void Ask(PosixSignalContext context)
        {
            context.Cancel = !source.IsCancellationRequested;
            source.Cancel();
        }

        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Ask);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Ask);
        return run(source.Token);
    }

    /// <summary>What is about to be done, what it costs, and one example token by token.</summary>
    public static void ShowPlan(PreparedRun run, RunPlan plan)
    {
        ShowFacts(run);
        ShowCost(plan);
        ShowExample(run);
    }

    /// <summary>The same without the cost.</summary>
    public static void ShowRun(PreparedRun run)
    {
        ShowFacts(run);
        ShowExample(run);
    }

    private static void ShowFacts(PreparedRun run)
    {
        var (labels, config) = (run.Data.Labels, run.Config);
        var table = new Table().Border(TableBorder.None).HideHeaders().AddColumn("").AddColumn("");
        void Row(string name, string value) => table.AddRow(new Markup($"[dim]{Markup.Escape(name)}[/]"), new Spectre.Console.Text(value));
        Row("model", $"{run.Pretrained.Location}, {run.TotalParameters:N0} parameters, computes in {run.Compute.Type} ({run.Compute.Reason})");
        Row("data", $"{config.Data.Path}: {run.Data.SchemaDescription}");
        Row("records", $"{run.Data.Split.Train.Count:N0} training, {run.Data.Split.Validation.Count:N0} validation, {run.Data.Split.Test.Count:N0} test");
        if (run.Data.Split is { Test.Count: 0, DroppedFromTest: > 0 and var repeated })
            Row("mind", $"no test record is left: the prompts of all {repeated:N0} stand in training or validation too");
        if (run.Data.LeftOut > 0)
            Row("left out", $"{run.Data.LeftOut:N0} training records: other data hold them out (evaluation.apart)");
        Row("tokens", $"{labels.Tokens:N0} an epoch, {labels.LearntTokens:N0} of them learnt ({labels.LearntShare:P0}); longest example {labels.Longest}; {labels.Truncated} shortened, {labels.Dropped} dropped");
        if (run.Data.Files.Count > 0)
            Row("streamed", $"{run.Data.Files.Sum(file => file.Bytes) / 1e6:N1} MB in {run.Data.Files.Count} files; only tokens are kept, on the disk");
        foreach (var source in run.Sources)
            Row("learnt from", $"{source}");
        foreach (var mix in run.Data.Mix)
            Row("mixed in", $"{mix.Path}: {mix.SchemaDescription}; {mix.Records:N0} records{(mix.LeftOut > 0 ? $", {mix.LeftOut:N0} more left out: they stand in validation, test, the general text or what other data hold out" : "")}");
        foreach (string warning in RunEvent.Source.Warnings(run.Sources))
            Row("mind", warning);
        Row("method", $"{config.Method.Name}, {run.TrainableParameters:N0} trainable parameters ({(double)run.TrainableParameters / run.TotalParameters:P2})");
        Row("steps", $"{run.Order.TotalSteps:N0}, learning rate {config.Training.LearningRate:G3}, {config.Training.Schedule.ToString().ToLowerInvariant()}");
        AnsiConsole.Write(table);
    }

    private static void ShowCost(RunPlan plan)
    {
        var table = new Table().Border(TableBorder.None).HideHeaders().AddColumn("").AddColumn(new TableColumn("").RightAligned()).AddColumn("");
        void Row(string name, double seconds, string detail) => table.AddRow(
            new Markup($"[dim]{Markup.Escape(name)}[/]"), new Spectre.Console.Text(Quantity.Seconds(seconds)), new Markup($"[dim]{Markup.Escape(detail)}[/]"));
        foreach (var part in plan.Parts)
            Row(part.Name, part.Seconds, part.Detail);
        Row("total", plan.Seconds, plan.MostSeconds > plan.LeastSeconds ? $"from {Quantity.Seconds(plan.LeastSeconds)} to {Quantity.Seconds(plan.MostSeconds)}: how long answers get is not known before" : "");
        AnsiConsole.Write(table);
        Console.WriteLine($"peak memory {Quantity.Bytes(plan.Memory)}");
    }

    private static void ShowExample(PreparedRun run)
    {
        AnsiConsole.MarkupLine("[dim]one example as the model sees it ([/][green]learnt[/][dim], not learnt):[/]");
        var tokens = LabelAudit.Preview(run.Data.Train[0], id => run.Pretrained.Tokenizer.Decode([id], skipSpecialTokens: false));
        AnsiConsole.MarkupLine(string.Concat(tokens.Select(token =>
        {
            string text = Markup.Escape(token.Text.Replace("\n", "⏎\n", StringComparison.Ordinal));
            return token.IsLearnt ? $"[green]{text}[/]" : $"[dim]{text}[/]";
        })));
    }

    /// <summary>The table before and after, and the verdict.</summary>
    public static void ShowReport(ReportModel report)
    {
        var table = new Table().RoundedBorder().AddColumn("").Caption("95 % intervals in brackets");
        foreach (string state in report.Results!.States)
            table.AddColumn(new TableColumn(Markup.Escape(state)).RightAligned());
        foreach (var row in report.Results.Rows)
            table.AddRow([new Spectre.Console.Text(row.Name), .. row.Values.Select(value => new Spectre.Console.Text(Score(value, row.Decimals)))]);
        AnsiConsole.Write(table);
        foreach (var finding in report.Verdict)
            Console.WriteLine($"{finding.Figure} {finding.Sentence}");
    }

    private static void ShowResult(RunFolder folder, RunResult result)
    {
        ShowReport(result.Report!);
        Console.WriteLine($"{Duration(result.Summary.Seconds)}, {result.Summary.PeakMemory / 1e9:F1} GB. Report: {folder.Report}");
        Console.WriteLine($"Use it: {result.Report!.Commands[^1].Command}");
    }

    internal static string Score(Metric? metric, int decimals)
    {
        if (metric is null)
            return "–";
        string format = $"F{decimals}";
        return metric.Low is { } low && metric.High is { } high
            ? $"{metric.Value.ToString(format)} [{low.ToString(format)}, {high.ToString(format)}]"
            : metric.Value.ToString(format);
    }

    internal static string Duration(double seconds) => seconds switch
    {
        < 90 => $"{seconds:F0} s",
        < 5400 => $"{seconds / 60:F0} min",
        _ => $"{seconds / 3600:F1} h",
    };
}
