using Perenos.Evaluation;
using Perenos.Runs;
using Perenos.Runs.Config;
using static TorchSharp.torch;

namespace Perenos.Recipes;

/// <summary>
/// Measures every state of a run in stages: on the target, and on the data that a stage has for itself, always against the base. What a
/// stage's own run has measured already is taken from its folder; the rest is measured once and kept.
/// </summary>
internal sealed class StageExaminer(StagedConfig config, IReadOnlyList<StagePlan> plans, RunFolder folder, ScalarType type, RunListener listener, CancellationToken stop)
{
    private readonly Dictionary<DataConfig, Examination> _examinations = [];

    /// <summary>The test of a data set; opens the base once for its tokenizer and template.</summary>
    public Examination Of(DataConfig data) => _examinations.TryGetValue(data, out var known) ? known
        : throw new InvalidOperationException("The data of a stage are prepared first.");

    /// <summary>Reads all data, so that a mistake in a late stage is found before the first.</summary>
    /// <exception cref="PerenosException">Something is missing or malformed.</exception>
    public void Prepare()
    {
        foreach (var stage in config.Stages)
        {
            if (stage.SelfTraining is { } labels)
                RunData.ReadRecords(new DataConfig { Path = labels.Path, Text = labels.Prompt }, labels.Path);
            if (stage.Retention.Replay is TextReplay replay)
                RunData.ReadRecords(new DataConfig { Path = replay.Path }, replay.Path);
            if (stage.Retention.Penalty is EwcConfig { Keep: { } keep })
                _ = RecordSource.Of(stage.Data ?? config.Data, keep).Read().First();
        }

        foreach (var source in (config.Evaluation.Apart ?? []).SelectMany(apart => RecordSource.All(apart, isPreference: false)))
            _ = source.Read().First();
        using var opened = new TrainedModel(((PretrainedStart)config.Start).Model, []).Open(type);
        foreach (var data in plans.Select(plan => plan.Config.Data).Prepend(config.Data).Distinct())
        {
            foreach (var mix in data.Mix ?? [])
                _ = RecordSource.Of(data, mix, isPreference: false).Read().First();
            var test = RunData.SplitOf(data, config.Seed).Test.Take(config.Evaluation.TestRecords);
            // Of the reference there is one measurement for each state: beside the target.
            var reference = data == config.Data ? ReferenceText.Read(config.Evaluation.Reference) : [];
            _examinations[data] = new Examination([.. test], Rendering.For(opened.Pretrained, data.Template), reference, config.Evaluation, data.MaximumLength);
        }
    }

    /// <summary>The base on the test of a data set.</summary>
    public Judgement Base(DataConfig data)
    {
        // The first stage on the same data has judged it already.
        var same = plans.FirstOrDefault(plan => plan.From is null && plan.Config.Data == data && plan.Stage.SelfTraining is null);
        if (same?.Begun is { } begun && File.Exists(begun.Before))
            return Judgement.Read(begun.Before);
        string name = data == config.Data ? "base.json" : $"base-{plans.First(plan => plan.Config.Data == data).Stage.Name}.json";
        return Judge(new TrainedModel(((PretrainedStart)config.Start).Model, []), data, name);
    }

    /// <summary>What a finished stage left, on the target.</summary>
    public Judgement Target(StagePlan plan) => plan.Config.Data == config.Data && plan.Stage.SelfTraining is null
        ? Judgement.Read(plan.Begun!.After)
        : Judge(plan.Result, config.Data, $"target-{plan.FolderName}.json");

    /// <summary>The same without the adapter that stayed attached in training; null where there was none.</summary>
    public Judgement? TakenOff(StagePlan plan) => plan.Stage.Method.ChangesBase && plan.Start.Adapter is not null
        ? Judge(plan.Result with { Adapters = [] }, config.Data, $"target-{plan.FolderName}-off.json")
        : null;

    /// <summary>What a finished stage left, on its own data; null where these are the target's.</summary>
    public Judgement? Own(StagePlan plan) => plan.Config.Data != config.Data && plan.Stage.SelfTraining is null
        ? Judgement.Read(plan.Begun!.After)
        : null;

    private Judgement Judge(TrainedModel model, DataConfig data, string file)
    {
        string path = Path.Combine(folder.Path, file);
        if (File.Exists(path))
            return Judgement.Read(path);
        using var opened = model.Open(type);
        var judgement = Of(data).Take(opened.Pretrained.Model, opened.Pretrained.Tokenizer, FineTune.Prefix(opened.Pretrained), listener.Progress, stop);
        judgement.Write(path);
        return judgement;
    }
}
