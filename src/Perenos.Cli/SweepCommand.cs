using System.CommandLine;
using Perenos.Recipes;
using Perenos.Runs;
using Perenos.Runs.Config;

namespace Perenos.Cli;

/// <summary><c>perenos sweep</c>: which learning rate, which rank.</summary>
internal static class SweepCommand
{
    public static Command Create()
    {
        var command = new ExampledCommand("sweep", "Find learning rate and rank by successive halving: many short trials, of which the better part goes on.",
            "perenos sweep --model base --data pairs.jsonl --prompt \"English: {en}\\nFrench:\" --completion \" {fr}\"",
            "perenos sweep recipe.yaml --learning-rates 1e-4 3e-4 1e-3 3e-3 --ranks 8 32",
            "perenos sweep recipe.yaml --dry-run",
            "perenos sweep --resume runs/NAME");
        var recipe = new RecipeOptions(command, isPretrained: true);
        var rates = new Option<double[]>("--learning-rates") { Description = "Rates to try (default: five about the recipe's, a factor √10 apart).", AllowMultipleArgumentsPerToken = true, HelpName = "numbers" };
        var ranks = new Option<int[]>("--ranks") { Description = "LoRA, DoRA: ranks to try with each rate.", AllowMultipleArgumentsPerToken = true, HelpName = "numbers" };
        var eta = new Option<int>("--eta") { Description = "One trial in so many goes on, to so many times the steps.", DefaultValueFactory = _ => 3, HelpName = "number" };
        var firstRung = new Option<int?>("--first-rung") { Description = "Steps before the first comparison (default: the last one takes place at the eta-th part of the run).", HelpName = "number" };
        var hub = new HubOptions(command);
        var resume = new Option<string?>("--resume") { Description = "Go on with an interrupted sweep: its folder or name.", HelpName = "sweep" };
        var dryRun = new Option<bool>("--dry-run") { Description = "Show trials, comparisons, time and memory, and stop." };
        var runs = new Option<string>("--runs") { Description = "Folder of runs.", DefaultValueFactory = _ => RunFolder.DefaultRoot, HelpName = "folder" };
        foreach (var option in new Option[] { rates, ranks, eta, firstRung, resume, dryRun, runs })
            command.Add(option);
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(resume) is { } name)
            {
                using var folder = RunFolder.Resume(name, parsed.GetValue(runs)!);
                var begun = ConfigFile.Read<SweepConfig>(folder.Config);
                return Run(SweepDisplay.Prepare(begun), folder);
            }

            var config = new SweepConfig
            {
                Recipe = hub.Pin(parsed, recipe.Read(parsed)),
                LearningRates = parsed.GetValue(rates) ?? [],
                Ranks = parsed.GetValue(ranks) ?? [],
                Eta = parsed.GetValue(eta),
                FirstRung = parsed.GetValue(firstRung),
            };
            var plan = SweepDisplay.Prepare(config);
            if (parsed.GetValue(dryRun))
                return 0;
            string model = config.Recipe.Start is PretrainedStart start ? start.Model : ((RandomStart)config.Recipe.Start).Architecture;
            using var fresh = RunFolder.Create(parsed.GetValue(runs)!, config.Recipe.Name, "sweep", model, config.Recipe.Data.Path, TimeProvider.System);
            return Run(plan, fresh);
        });
        return command;
    }

    private static int Run(SweepPlan plan, RunFolder folder) => RunDisplay.WithInterrupts(stop =>
    {
        var result = SweepDisplay.Follow(plan, tell => Sweep.Run(plan, folder, TimeProvider.System, tell, stop));
        if (result.Best is null)
        {
            Console.WriteLine("Interrupted; everything is saved. Go on with:");
            Console.WriteLine($"  perenos sweep --resume {folder.Path}");
            return RunDisplay.InterruptedCode;
        }

        SweepDisplay.ShowResult(plan, result, folder);
        return 0;
    });
}
