using Perenos.Adapters;
using Perenos.Hub;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Training;
using Perenos.Transfer;

namespace Perenos.Recipes;

/// <summary>What a recipe minimises, made ready, and the frozen base that it may be measured against.</summary>
internal static class Objectives
{
    /// <summary>Refuses what has no meaning, before anything is loaded.</summary>
    public static void Check(RunConfig config)
    {
        if (config.Objective is not DpoConfig settings)
            return;
        if (!(settings.Beta > 0 && double.IsFinite(settings.Beta)))
            throw new PerenosException($"objective.beta = {settings.Beta} is out of range.", "Use more than 0; 0.1 is common, 0.01 to 0.5 are in use.");
        string? against = config.Start is RandomStart ? "random weights, which have no answers to prefer from"
            : config.Retention.Replay is not null ? "retention.replay, whose text has no rejected answers"
            : config.Retention.Distillation is not null ? "retention.distillation: it keeps the model near the base by itself"
            : config.Training.Pack ? "training.pack"
            : config.Data is { Prompt: null, Completion: null, Text: null } && (config.Data.Mix ?? []).All(mix => mix is { Prompt: null, Completion: null, Text: null }) ? null : "templates: preference records have a prompt and two answers of their own";
        if (against is not null)
            throw new PerenosException($"objective dpo does not go together with {against}.", "Remove one of the two.");
    }

    /// <summary>The frozen base where it is not the model itself with its adapter off; none where nothing is measured against it. The caller owns it.</summary>
    public static Pretrained? ReferenceOf(RunConfig config, Pretrained pretrained, Adapter? adapter) =>
        adapter is not null || config.Retention.Distillation is null && config.Objective is not DpoConfig
            ? null
            : Pretrained.Open(HubLocation.InCache(((PretrainedStart)config.Start).Model, HubKind.Model), pretrained.Model.ComputeType);

    /// <summary>Learning of preferences, where it is asked for.</summary>
    public static Dpo? PreferenceOf(RunConfig config, Pretrained pretrained, Pretrained? reference, Adapter? adapter, EmbeddingNoise? noise) =>
        config.Objective is DpoConfig settings ? new Dpo(pretrained.Model, (reference ?? pretrained).Model, settings, () => new BareBase(adapter, noise)) : null;

    /// <summary>What the loop minimises.</summary>
    public static Objective Of(RunConfig config, Pretrained pretrained, Pretrained? reference, Adapter? adapter, EmbeddingNoise? noise, Dpo? preference)
    {
        if (config.Training.Recompute)
            return Recomputation.Of(pretrained.Model);
        if (preference is not null)
            return preference.Backward;
        return config.Retention.Distillation is { } settings
            ? new Distillation(pretrained.Model, (reference ?? pretrained).Model, settings, () => new BareBase(adapter, noise)).Backward
            : CrossEntropy.Of(pretrained.Model);
    }
}

/// <summary>A model as its frozen base: adapter and noise are off until this is disposed.</summary>
internal sealed class BareBase : IDisposable
{
    private readonly Adapter? _adapter;
    private readonly EmbeddingNoise? _noise;

    public BareBase(Adapter? adapter, EmbeddingNoise? noise)
    {
        (_adapter, _noise) = (adapter, noise);
        adapter?.Detach();
        noise?.IsSilent = true;
    }

    public void Dispose()
    {
        _adapter?.Attach();
        _noise?.IsSilent = false;
    }
}
