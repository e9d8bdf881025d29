using System.CommandLine;
using Perenos.Recipes;
using Perenos.Runs;
using Spectre.Console;

namespace Perenos.Cli;

/// <summary><c>perenos selftest</c>: what must make no difference makes none, on one's own model.</summary>
internal static class SelfTestCommand
{
    private const int FailedCode = 1;

    public static Command Create()
    {
        var json = new Option<bool>("--json") { Description = "Print the checks as JSON." };
        var command = new ExampledCommand("selftest", "Check on a model's real weights that padding, batch size, cache, accumulation, merging and saving change nothing, and that tokenizer and template keep what they are given; exit code 1 if something fails.",
            "perenos selftest --model base",
            "perenos selftest --model ./SmolLM2-135M-Instruct --adapter runs/NAME/adapter --dtype float32")
        { json };
        var models = new ModelOptions(command);
        command.SetAction(parsed =>
        {
            string model = models.Model(parsed) ?? throw new PerenosException("No model was given.", "perenos selftest --model MODEL: a folder, a GGUF file, a name on the hub, or \"base\".");
            using var opened = models.Open(parsed, new TrainedModel(model, []));
            var (pretrained, adapter) = (opened.Pretrained, opened.Adapters is [.., var last] ? last.Adapter : null);
            var checks = RunDisplay.WithInterrupts(stop => SelfTest.Run(pretrained, adapter, ShowProgress, stop));
            if (parsed.GetValue(json))
                JsonOutput.Write(checks);
            else
                Show(checks, $"{pretrained.Location}, computed in {pretrained.Model.ComputeType}");
            return checks.Any(check => check.Verdict == CheckVerdict.Failed) ? FailedCode : 0;
        });
        return command;
    }

    private static void Show(IReadOnlyList<SelfTestCheck> checks, string title)
    {
        var table = new Table().RoundedBorder().Title(Markup.Escape(title)).AddColumn("").AddColumn(new TableColumn("difference").RightAligned()).AddColumn(new TableColumn("allowed").RightAligned()).AddColumn("verdict").AddColumn("what");
        foreach (var check in checks)
        {
            var style = check.Verdict switch { CheckVerdict.Passed => new Style(Color.Green), CheckVerdict.Failed => new Style(Color.Red, decoration: Decoration.Bold), _ => new Style(Color.Yellow) };
            table.AddRow(new Spectre.Console.Text(check.Name), new Spectre.Console.Text(Number(check.Measured)), new Spectre.Console.Text(Number(check.Allowed)),
                new Spectre.Console.Text(check.Verdict.ToString().ToLowerInvariant(), style), new Spectre.Console.Text(check.Note));
        }

        AnsiConsole.Write(table);
        Console.WriteLine($"{Count(CheckVerdict.Passed)} passed, {Count(CheckVerdict.Failed)} failed, {Count(CheckVerdict.Skipped)} skipped. Differences are relative to the spread of logits (or gradients); allowed is the rounding of the compute type through the layers (docs/selftest.md).");

        int Count(CheckVerdict verdict) => checks.Count(check => check.Verdict == verdict);
    }

    private static string Number(double? value) => value switch { null => "–", 0 => "0", { } number => number == Math.Floor(number) ? $"{number:F0}" : number.ToString("0.0e+0", System.Globalization.CultureInfo.InvariantCulture) };

    private static void ShowProgress(SelfTestCheck check)
    {
        if (!Console.IsErrorRedirected)
            Console.Error.WriteLine($"{check.Name}: {check.Verdict.ToString().ToLowerInvariant()}");
    }
}
