using System.CommandLine;
using Perenos.Recipes;
using Perenos.Reports;

namespace Perenos.Cli;

/// <summary><c>perenos find-rate</c>: one short training over rising rates.</summary>
internal static class FindRateCommand
{
    public static Command Create()
    {
        var command = new ExampledCommand("find-rate", "Suggest a learning rate: one short training over rising rates, from far too low to far too high. Nothing is saved but a picture.",
            "perenos find-rate --model base --data pairs.jsonl --prompt \"English: {en}\\nFrench:\" --completion \" {fr}\"",
            "perenos find-rate recipe.yaml --method full --ramp-steps 200",
            "perenos sweep recipe.yaml");
        var recipe = new RecipeOptions(command, isPretrained: true);
        var steps = new Option<int>("--ramp-steps") { Description = "Steps of the ramp.", DefaultValueFactory = _ => FindRate.DefaultSteps, HelpName = "number" };
        var from = new Option<double?>("--from") { Description = "First rate (default: a thousandth of the method's).", HelpName = "number" };
        var to = new Option<double?>("--to") { Description = "Last rate (default: a thousand times the method's).", HelpName = "number" };
        var report = new Option<string>("--report") { Description = "Where the picture goes.", DefaultValueFactory = _ => "find-rate.html", HelpName = "file" };
        var hub = new HubOptions(command);
        foreach (var option in new Option[] { steps, from, to, report })
            command.Add(option);
        command.SetAction(parsed => RunDisplay.WithInterrupts(stop =>
        {
            using var run = OpeningDisplay.Follow(progress => PreparedRun.Open(hub.Pin(parsed, recipe.Read(parsed)), progress));
            int count = parsed.GetValue(steps);
            var finding = FindRate.Take(run, count, parsed.GetValue(from), parsed.GetValue(to), (step, point) => Show(step, count, point), stop);
            HtmlReport.Write(parsed.GetValue(report)!, FindRate.Describe(run, finding, TimeProvider.System));
            Console.WriteLine($"{FindRate.Number(finding.Steepest)} {FindRate.Sentence(finding)}");
            Console.WriteLine($"The method's own is {FindRate.Number(run.Config.Training.LearningRate!.Value)}. Picture: {Path.GetFullPath(parsed.GetValue(report)!)}");
            Console.WriteLine("A ramp shows the order of magnitude. perenos sweep compares rates by validation loss.");
            return 0;
        }));
        return command;
    }

    private static void Show(int step, int count, RatePoint point)
    {
        if (step % 5 == 0 || step == count)
            Console.WriteLine($"step {step}/{count}  rate {FindRate.Number(point.Rate)}  loss {point.Loss:F4}");
    }
}
