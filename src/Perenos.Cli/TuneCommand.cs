using System.CommandLine;
using Perenos.Recipes;
using Perenos.Runs;
using Perenos.Runs.Config;

namespace Perenos.Cli;

/// <summary><c>perenos tune</c>: adapt a pretrained model to a corpus.</summary>
internal static class TuneCommand
{
    public static Command Create()
    {
        var command = new ExampledCommand("tune", "Adapt a pretrained model to a corpus, judge it before and after, and write a report.",
            "perenos tune --model base --data pairs.jsonl --prompt \"English: {en}\\nFrench:\" --completion \" {fr}\"",
            "perenos tune --model ./SmolLM2-135M-Instruct --data bulletins.jsonl --prompt \"Translate to French: {en}\" --completion \"{fr}\" --method lora",
            "perenos tune --model base --data pairs.jsonl --prompt \"English: {en}\\nFrench:\" --completion \" {fr}\" --method prefix --virtual-tokens 20",
            "perenos tune --mode transductive --model base --data captions.jsonl --target bulletins.jsonl --prompt \"English: {en}\\nFrench:\" --completion \" {fr}\"",
            "perenos tune recipes/hybrid.yaml",
            "perenos tune recipe.yaml --epochs 5 --dry-run",
            "perenos tune --resume runs/NAME");
        AddTo(command, isPretrained: true, "tune");
        return command;
    }

    /// <summary>Options and action that tuning and pretraining share: it is one road.</summary>
    public static void AddTo(Command command, bool isPretrained, string recipeName)
    {
        var recipe = new RecipeOptions(command, isPretrained);
        var hub = new HubOptions(command);
        var resume = new Option<string?>("--resume") { Description = "Go on with an interrupted run: its folder or name.", HelpName = "run" };
        var dryRun = new Option<bool>("--dry-run") { Description = "Show the plan (tokens, steps, memory, time) and one example, and stop." };
        var runs = new Option<string>("--runs") { Description = "Folder of runs.", DefaultValueFactory = _ => RunFolder.DefaultRoot, HelpName = "folder" };
        command.Add(resume);
        command.Add(dryRun);
        command.Add(runs);
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(resume) is { } name)
            {
                using var folder = RunFolder.Resume(name, parsed.GetValue(runs)!);
                if (folder.IsStaged)
                    return RunDisplay.ShowStages(folder, (listener, announce, stop) => FineTuneInStages.Resume(folder, listener, announce, stop));
                return RunDisplay.Show(folder, (listener, stop) => FineTune.Resume(folder, listener, stop));
            }

            if (recipe.ReadStages(parsed) is { } stages)
                return RunStages(hub.Pin(parsed, stages), parsed.GetValue(runs)!, parsed.GetValue(dryRun));
            var config = recipe.Read(parsed);
            RefuseWrongStart(config, isPretrained);
            string model = config.Start is PretrainedStart start ? start.Model : ((RandomStart)config.Start).Architecture, data = config.Data.Path;
            config = hub.Pin(parsed, config);
            if (parsed.GetValue(dryRun))
                return DryRun(config);
            using var fresh = RunFolder.Create(parsed.GetValue(runs)!, config.Name, recipeName, model, data, TimeProvider.System);
            return RunDisplay.Show(fresh, (listener, stop) => FineTune.Run(config, fresh, listener, stop));
        });
    }

    private static int RunStages(StagedConfig config, string runs, bool isDry)
    {
        var planned = FineTuneInStages.Check(config);
        if (isDry)
            return DryRun(planned[0]);
        using var fresh = RunFolder.Create(runs, config.Name, "stages", ((PretrainedStart)config.Start).Model, config.Data.Path, TimeProvider.System);
        return RunDisplay.ShowStages(fresh, (listener, announce, stop) => FineTuneInStages.Run(config, fresh, listener, announce, stop));
    }

    private static int DryRun(RunConfig config)
    {
        long start = TimeProvider.System.GetTimestamp();
        using var run = OpeningDisplay.Follow(progress => PreparedRun.Open(config, progress));
        var opening = new PlanPart(RunPlan.Names.Opening, TimeProvider.System.GetElapsedTime(start).TotalSeconds, "as just now");
        var rehearsed = run.Rehearse(TimeProvider.System);
        RunDisplay.ShowPlan(run, rehearsed with { Parts = [opening, .. rehearsed.Parts] });
        return 0;
    }

    private static void RefuseWrongStart(RunConfig config, bool isPretrained)
    {
        if (isPretrained && config.Start is RandomStart)
            throw new PerenosException("The recipe starts from random weights.", "That is perenos pretrain.");
        if (!isPretrained && !config.Method.ChangesBase)
            throw new PerenosException($"The method {config.Method.Name} adapts a model, and random weights are none.", "Set method.kind: full, or start from a pretrained model.");
        if (!isPretrained && config.Start is PretrainedStart)
            throw new PerenosException("The recipe starts from a pretrained model.", "That is perenos tune; to go on with pretraining, tune with method full.");
    }
}
