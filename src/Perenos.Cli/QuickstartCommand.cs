using System.CommandLine;
using Perenos.Recipes;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Training;

namespace Perenos.Cli;

/// <summary><c>perenos quickstart</c>: the whole road in some minutes, without any file of one's own.</summary>
internal static class QuickstartCommand
{
    public static Command Create()
    {
        var method = new Option<string>("--method") { Description = "lora or full.", DefaultValueFactory = _ => "lora" };
        method.AcceptOnlyFromAmong("lora", "full");
        var runs = new Option<string>("--runs") { Description = "Folder of runs.", DefaultValueFactory = _ => RunFolder.DefaultRoot, HelpName = "folder" };
        var seed = new Option<ulong>("--seed") { Description = "Seed of sentences, weights and order.", HelpName = "number" };
        var isShort = new Option<bool>("--short") { Description = "A few sentences only: shows that everything works." };
        var command = new ExampledCommand("quickstart", "Teach the embedded English-French model to translate weather bulletins; see what transfer gains and what is forgotten.",
            "perenos quickstart", "perenos quickstart --method full --runs /tmp/runs")
        { method, runs, seed, isShort };
        command.SetAction(parsed => Run(
            parsed.GetValue(method) == "full" ? new FullConfig() : Quickstart.Lora,
            parsed.GetValue(runs)!, parsed.GetValue(seed), parsed.GetValue(isShort) ? Quickstart.Size.Short : Quickstart.Size.Full));
        return command;
    }

    private static int Run(MethodConfig method, string runs, ulong seed, Quickstart.Size size)
    {
        var clock = TimeProvider.System;
        long start = clock.GetTimestamp();
        using var folder = RunFolder.Create(runs, null, "quickstart", "base", "weather", clock);
        var config = Quickstart.Prepare(folder, method, size, seed);
        Console.WriteLine($"{size.Train} weather sentences, English to French; {size.Test} held out. First the embedded base model by {method.Name}, then the same shape from scratch.");
        return RunDisplay.WithInterrupts(stop =>
        {
            Announce(config);
            var tuned = LiveDisplay.Follow(listener => FineTune.Run(config, folder, listener, stop));
            if (tuned.End == TrainingEnd.Interrupted)
                return RunDisplay.ShowInterrupted(folder, tuned);

            Console.WriteLine("from scratch, as a contrast:");
            using var scratchFolder = RunFolder.Create(runs, folder.Name + "-scratch", "quickstart", "base", "weather", clock);
            var scratch = LiveDisplay.Follow(listener => FineTune.Run(Quickstart.FromScratch(config), scratchFolder, listener, stop));
            if (scratch.End == TrainingEnd.Interrupted)
                return RunDisplay.ShowInterrupted(scratchFolder, scratch);

            var report = Quickstart.Report(folder, tuned, scratch);
            RunDisplay.ShowReport(report);
            Console.WriteLine($"{RunDisplay.Duration(clock.GetElapsedTime(start).TotalSeconds)} in all, {PeakMemory.OfProcess() / 1e9:F1} GB. Report: {folder.Report}");
            Console.WriteLine("With your own data:");
            Console.WriteLine("  perenos tune --model base --data pairs.jsonl --prompt \"English: {en}\\nFrench:\" --completion \" {fr}\"");
            return 0;
        });
    }

    private static void Announce(RunConfig config)
    {
        using var run = OpeningDisplay.Follow(progress => PreparedRun.Open(config, progress));
        // What it costs is said by the run, from its own rehearsal.
        RunDisplay.ShowRun(run);
    }
}
