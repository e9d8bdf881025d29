using Perenos.Runs;
using Perenos.Runs.Config;

namespace Perenos.Recipes;

/// <summary>A stage with what it starts from and what it leaves, known before anything runs.</summary>
internal sealed record StagePlan
{
    private const string StagesName = "stages";

    /// <summary>The stage.</summary>
    public required StageConfig Stage { get; init; }

    /// <summary>Its folder.</summary>
    public required string Folder { get; init; }

    /// <summary>The stage that it starts from, or null for the base.</summary>
    public required StagePlan? From { get; init; }

    /// <summary>What it starts from.</summary>
    public required PretrainedStart Start { get; init; }

    /// <summary>The adapter that has to be merged into <see cref="Start"/> first, or null.</summary>
    public TrainedModel? ToMerge { get; init; }

    /// <summary>The run without the answers that self-training may add.</summary>
    public required RunConfig Config { get; init; }

    /// <summary>Last part of the folder, such as <c>2-prompts</c>.</summary>
    public string FolderName => Path.GetFileName(Folder);

    /// <summary>The stage's run; null before it begins.</summary>
    public RunFolder? Begun => RunFolder.TryOpen(Folder);

    /// <summary>What it leaves.</summary>
    public TrainedModel Result => TrainedModel.Of(Config, Folder);

    // What the weights that it leaves shall not forget, as the next stage adds it to what it keeps itself; null where nothing is kept.
    private string? Kept => Config.Retention.Penalty is not EwcConfig ewc ? From?.Kept : ewc.Keep is null ? ewc.Fisher : RunFolder.FisherIn(Folder);

    // The method whose adapter it leaves last; null where it leaves none.
    private MethodConfig? Held => !Stage.Method.ChangesBase ? Stage.Method : Start.Adapter is null ? null : From!.Held;

    /// <summary>Plans all stages below a folder and checks everything that can be checked without a model.</summary>
    /// <exception cref="PerenosException">A stage names what is not there, or asks for what cannot be.</exception>
    public static IReadOnlyList<StagePlan> Of(StagedConfig config, string root)
    {
        if (config.Start is not PretrainedStart { Adapter: null } start)
            throw new PerenosException("A recipe with stages starts from a pretrained model without an adapter.", "start: {kind: pretrained, model: …}; an adapter can be merged first: perenos merge.");
        if (config.Stages.Count == 0)
            throw new PerenosException("stages is empty.", "Give at least one stage with a name.");
        List<StagePlan> plans = [];
        foreach (var stage in config.Stages)
        {
            RefuseName(stage.Name, plans);
            var from = Find(stage, plans);
            var plan = Plan(config, stage, start, from, Path.Combine(root, StagesName, $"{plans.Count + 1}-{stage.Name}"), root);
            plan.Check();
            plans.Add(plan);
        }

        return plans;
    }

    /// <summary>The stage in words, such as "prompt from 1-domain".</summary>
    public override string ToString()
    {
        string adapter = From is not { Result.Adapters.Count: > 0 } ? "" : Stage.Adapter switch
        {
            AdapterHandover.Merge => ", its adapter merged",
            AdapterHandover.Attach => ", its adapter attached and frozen",
            _ => ", its adapter taken off",
        };
        return $"{Stage.Method.Name} from {From?.FolderName ?? "the base"}{adapter}";
    }

    private static StagePlan Plan(StagedConfig config, StageConfig stage, PretrainedStart start, StagePlan? from, string folder, string root)
    {
        TrainedModel? toMerge = null;
        if (from is not null)
        {
            RefuseHandover(stage, from);
            var given = from.Result;
            toMerge = stage.Adapter == AdapterHandover.Merge && given.Adapters.Count > 0 ? given : null;
            start = new PretrainedStart
            {
                Model = toMerge is null ? given.Model : Path.Combine(root, $"merged-{from.FolderName}"),
                Adapter = stage.Adapter == AdapterHandover.Attach ? given.Adapters[0] : null,
            };
        }

        return new StagePlan
        {
            Stage = stage,
            Folder = folder,
            From = from,
            Start = start,
            ToMerge = toMerge,
            Config = new RunConfig
            {
                Start = start,
                Data = stage.Data ?? config.Data,
                Method = stage.Method,
                Training = stage.Training,
                Retention = stage.Retention.Penalty is EwcConfig { Keep: not null, Fisher: null } ewc ? stage.Retention with { Penalty = ewc with { Fisher = from?.Kept } } : stage.Retention,
                Evaluation = Evaluation(config, stage),
                Seed = config.Seed,
                Dtype = config.Dtype,
                Tensorboard = config.Tensorboard,
            },
        };
    }

    // What it learns beside the target may hold the target's test.
    private static EvaluationConfig Evaluation(StagedConfig config, StageConfig stage) => stage is { Data: null, SelfTraining: null }
        ? config.Evaluation
        : config.Evaluation with { Apart = [.. config.Evaluation.Apart ?? [], config.Data] };

    private static void RefuseName(string name, List<StagePlan> plans)
    {
        if (name.Length is 0 or > 40 || !name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_'))
            throw new PerenosException($"\"{name}\" cannot name a stage.", "Use up to 40 letters, digits, dashes and underscores: it names a folder.");
        if (name == StagedConfig.BaseName || plans.Any(plan => plan.Stage.Name.Equals(name, StringComparison.OrdinalIgnoreCase)))
            throw new PerenosException($"The name {name} is taken.", $"Each stage needs a name of its own; {StagedConfig.BaseName} is the model that the first starts from.");
    }

    private static StagePlan? Find(StageConfig stage, List<StagePlan> plans)
    {
        if (stage.From == StagedConfig.BaseName || stage.From is null && plans.Count == 0)
            return null;
        if (stage.From is not { } wanted)
            return plans[^1];
        string[] known = [StagedConfig.BaseName, .. plans.Select(plan => plan.Stage.Name)];
        return plans.FirstOrDefault(plan => plan.Stage.Name == wanted) ?? throw new PerenosException(
            $"The stage {stage.Name} starts from {wanted}, which is no earlier stage.",
            $"{(NearestName.Of(wanted, known) is { } nearest ? $"Did you mean {nearest}? " : "")}Known there: {string.Join(", ", known)}.");
    }

    private static void RefuseHandover(StageConfig stage, StagePlan from)
    {
        int count = from.Result.Adapters.Count;
        bool isVirtual = from.Held?.VirtualTokenCount > 0;
        var (problem, hint) = stage.Adapter switch
        {
            AdapterHandover.Drop => (null, ""),
            _ when count > 1 => ("leaves two adapters, one on the other", $"Merge the first of them in the stage {from.Stage.Name}, or take both off with adapter: drop."),
            AdapterHandover.Merge when isVirtual => ("leaves virtual tokens, which are no weights and cannot be merged", "Set adapter: attach (kept, frozen) or adapter: drop."),
            AdapterHandover.Attach when count == 0 => ("leaves no adapter that could stay attached", "Remove the key adapter, or train that stage with an adapter."),
            AdapterHandover.Attach when from.Held is BiasConfig or NormConfig => ("was trained in place and cannot stay apart from the weights", "Set adapter: merge."),
            AdapterHandover.Attach when isVirtual && stage.Method.VirtualTokenCount > 0 => ("leaves virtual tokens, and so would this one", "Set adapter: drop, or choose another method."),
            _ => ((string?)null, ""),
        };
        if (problem is not null)
            throw new PerenosException($"The stage {stage.Name} starts from {from.Stage.Name}, which {problem}.", hint);
    }

    private void Check()
    {
        try
        {
            RunRules.Complete(Config);
        }
        catch (PerenosException problem)
        {
            throw new PerenosException($"The stage {Stage.Name}: {problem.Message}", problem.Hint, problem);
        }

        if (Stage.Retention.Penalty is EwcConfig { Keep: null } && From is not null)
            throw new PerenosException($"The stage {Stage.Name} has a Fisher file of the base, but starts from {From.Stage.Name}.", "Set retention.penalty.keep.path in its place: the stage then estimates at its start what that text rests on, and adds what the stages before it kept.");
        if (Stage.SelfTraining is not null && Config.Data.Mix is not null)
            throw new PerenosException($"The stage {Stage.Name}: self_training does not go together with data.mix.", "Remove one of the two, or mix in a stage of its own.");
        if (Stage.SelfTraining is { } labels && !(labels.Confidence is >= 0 and < 1 && labels.MaximumRecords > 0))
            throw new PerenosException($"The stage {Stage.Name}: self_training wants a confidence of 0 to 1 and at least one record.", "confidence: 0.8, maximum_records: 1000 are the defaults.");
    }
}
