using Perenos.Adapters;
using Perenos.Evaluation;
using Perenos.Hub;
using Perenos.Kernels;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;
using Perenos.Training;
using Perenos.Transfer;

namespace Perenos.Recipes;

/// <summary>Everything that a run needs before its first step: checked, loaded, attached, counted.</summary>
public sealed class PreparedRun : IDisposable
{
    private PreparedRun(RunConfig config, ComputeTypeChoice compute, Pretrained pretrained, ExampleRenderer renderer, RunData data, IReadOnlyList<MixedExamples> mixture, Adapter? adapter, IReadOnlyList<Trainable> trainables)
    {
        (Config, Compute, Pretrained, Renderer, Data, Adapter, Trainables) = (config, compute, pretrained, renderer, data, adapter, trainables);
        Mixture = mixture;
        Order = new BatchOrder(data.Train, config.Training, config.Seed, mixture);
    }

    /// <summary>The configuration with every default filled in.</summary>
    public RunConfig Config { get; }

    /// <summary>The type computed in, and why.</summary>
    public ComputeTypeChoice Compute { get; }

    /// <summary>Model, tokenizer, template.</summary>
    public Pretrained Pretrained { get; }

    /// <summary>Records to tokens.</summary>
    public ExampleRenderer Renderer { get; }

    /// <summary>What is learnt from.</summary>
    public RunData Data { get; }

    /// <summary>The attached adapter, where the method is one.</summary>
    public Adapter? Adapter { get; }

    /// <summary>The adapter that was attached before and learns nothing, or none.</summary>
    public Adapter? Frozen { get; private init; }

    /// <summary>What learns.</summary>
    public IReadOnlyList<Trainable> Trainables { get; }

    /// <summary>What keeps the weights near where they started, or none.</summary>
    public IWeightPull? Penalty { get; private init; }

    private RunFisher? Fisher { get; init; }

    /// <summary>The frozen base that a second copy of the weights holds, where the objective needs one.</summary>
    private Pretrained? Reference { get; init; }

    /// <summary>Learning of preferences, where that is the objective.</summary>
    public Dpo? Preference { get; private init; }

    /// <summary>What is minimised.</summary>
    public Objective Objective => Objectives.Of(Config, Pretrained, Reference, Adapter, Noise, Preference);

    /// <summary>Noise on the embedded tokens in training, or none.</summary>
    private EmbeddingNoise? Noise { get; init; }

    /// <summary>Which layers learn when, where not all do.</summary>
    public LayerSampling? Sampling { get; private init; }

    /// <summary>What is learnt beside the data: other data, and replay behind them.</summary>
    public IReadOnlyList<MixedExamples> Mixture { get; }

    /// <summary>Where what is learnt comes from, the data first; empty where they are alone.</summary>
    public IReadOnlyList<RunEvent.Source> Sources
    {
        get
        {
            if (Mixture.Count == 0)
                return [];
            double epochs = (double)Order.TotalSteps / Order.StepsPerEpoch;
            return [new RunEvent.Source(Config.Data.Path, Data.Train.Count, Data.Labels.LearntTokens, 1 - Mixture.Sum(source => source.Share), epochs),
                .. Mixture.Select(source => new RunEvent.Source(source.Name, source.Examples.Count, source.LearntTokens, source.Share, epochs * source.TokensPerEpoch / source.LearntTokens))];
        }
    }

    /// <summary>Tokens of an epoch, whatever their source.</summary>
    public long TokensPerEpoch => Data.Labels.Tokens + (long)Mixture.Sum(source => (double)source.Tokens / source.LearntTokens * source.TokensPerEpoch);

    /// <summary>Batches by step.</summary>
    public BatchOrder Order { get; }

    /// <summary>The test that the model takes before and after.</summary>
    internal Examination Examination => field ??= new Examination(Data.Test, Renderer, ReferenceText.Read(Config.Evaluation.Reference), Config.Evaluation, Config.Data.MaximumLength);

    /// <summary>Numbers that learn.</summary>
    public long TrainableParameters => Trainables.Sum(trainable => trainable.Tensor.numel());

    /// <summary>All numbers of the model and its adapter.</summary>
    public long TotalParameters => Pretrained.Model.Parts.Weights.Values.Sum(weight => weight.numel()) + (Adapter is null ? 0 : TrainableParameters);

    /// <summary>Loads what a configuration names.</summary>
    /// <param name="config">The configuration.</param>
    /// <param name="opening">Told how far the opening of the model, and the reading of streamed data, have come.</param>
    /// <param name="fisherFile">Where a Fisher file that the run itself estimates stays, and is found again; without it none stays.</param>
    /// <param name="stop">Asks to stop reading streamed data; nothing half-made stays.</param>
    /// <exception cref="PerenosException">Something is missing, malformed or does not fit.</exception>
    public static PreparedRun Open(RunConfig config, SlowOpening? opening = null, string? fisherFile = null, CancellationToken stop = default)
    {
        config = RunRules.Complete(config);
        var compute = ComputeTypes.Choose(config.Dtype);
        // Measured once: going on or repeating must compute in the same type.
        config = config with { Dtype = ComputeTypes.NameOf(compute.Type), Data = config.Data with { Streaming = StreamedData.IsMeant(config.Data) } };
        var pretrained = config.Start switch
        {
            PretrainedStart start => Pretrained.Open(HubLocation.InCache(start.Model, HubKind.Model), compute.Type, opening),
            RandomStart start => Pretrained.Start(start.Architecture, start.Tokenizer, config.Seed, compute.Type),
            _ => throw new InvalidOperationException($"Unknown start {config.Start}."),
        };
        Adapter? frozen = null;
        RunData? data = null;
        RunFisher? fisher = null;
        try
        {
            frozen = AdapterStart.FrozenOf(config, pretrained);
            var renderer = Rendering.For(pretrained, config.Data.Template);
            var reading = new DataReading(() => AdapterPassport.HashOfRendering(pretrained, config.Data.Template), opening, stop);
            data = RunData.Read(config, renderer, pretrained.Model.MaximumLength - config.Method.VirtualTokenCount, reading);
            // Without an adapter: what the base writes is the base's.
            frozen?.Detach();
            var mixture = Recipes.Mixture.Of(config, pretrained, renderer, data, reading);
            fisher = RunFisher.Of(config, pretrained, data, fisherFile, opening, stop);
            frozen?.Attach();
            var adapter = AdapterStart.Of(config, pretrained, data);
            if (config.Training.LearningRate is null)
                config = config with { Training = config.Training with { LearningRate = RateOf(config.Method, adapter) * config.Training.Optimizer.DefaultRateFactor * config.Objective.DefaultRateFactor } };
            var trainables = adapter is null ? ChosenWeights.Of(Learning(pretrained.Model), (config.Method as FullConfig)?.Only ?? []) : Learning(adapter, config.Method);
            trainables = LayerRates.Decayed(trainables, config.Training.LayerRateDecay, pretrained.Model.Layers.Count);
            RunRules.Check(config, pretrained.Model, trainables);
            var sampling = config.Method is LisaConfig lisa ? new LayerSampling(lisa, pretrained.Model.Layers.Count, Seed.Of(config.Seed, "lisa")) : null;
            foreach (var trainable in trainables)
                trainable.Tensor.requires_grad = sampling is null || sampling.Learns(trainable, step: 0);
            var reference = Objectives.ReferenceOf(config, pretrained, adapter);
            var noise = config.Training.EmbeddingNoise > 0 ? new EmbeddingNoise(pretrained.Model.Embedding, config.Training.EmbeddingNoise) : null;
            return new PreparedRun(config, compute, pretrained, renderer, data, mixture, adapter, trainables)
            {
                Frozen = frozen,
                Penalty = Retention.PenaltyOf(config, pretrained, adapter, trainables, fisher),
                Fisher = fisher,
                Reference = reference,
                Noise = noise,
                Sampling = sampling,
                Preference = Objectives.PreferenceOf(config, pretrained, reference, adapter, noise),
            };
        }
        catch
        {
            fisher?.Dispose();
            data?.Dispose();
            frozen?.Dispose();
            pretrained.Dispose();
            throw;
        }
    }

    /// <summary>Does some of everything that the run will do, which changes nothing: the heaviest pieces for the memory, others for the time.</summary>
    /// <param name="clock">Measures seconds.</param>
    /// <param name="stop">Asks to stop.</param>
    /// <exception cref="OperationCanceledException">It was asked to stop.</exception>
    /// <exception cref="PerenosException">The text that forgetting is measured on cannot be read, or a step is not finite.</exception>
    public RunPlan Rehearse(TimeProvider clock, CancellationToken stop = default) => new Rehearsal(this, clock, stop).Take();

    /// <summary>Does some of what the training will do, which changes nothing: the heaviest step and a few others, validation and saving.</summary>
    /// <param name="clock">Measures seconds.</param>
    /// <param name="stop">Asks to stop.</param>
    /// <exception cref="OperationCanceledException">It was asked to stop.</exception>
    /// <exception cref="PerenosException">A step is not finite.</exception>
    public RunPlan RehearseTraining(TimeProvider clock, CancellationToken stop = default) => new Rehearsal(this, clock, stop).TakeTraining();

    /// <summary>Names the seeds of what is random in a step.</summary>
    public void BeginStep(int step)
    {
        Adapter?.DropFor(Seed.Of(Config.Seed, "dropout", (ulong)step));
        Noise?.Renew(Seed.Of(Config.Seed, "embedding noise", (ulong)step));
    }

    /// <summary>Makes the model compute without chance again.</summary>
    public void EndStep()
    {
        Adapter?.DropFor(null);
        Noise?.Renew(null);
    }

    /// <summary>Frees model and adapter.</summary>
    public void Dispose()
    {
        Data.Dispose();
        foreach (var source in Mixture)
            (source.Examples as IDisposable)?.Dispose();
        Penalty?.Dispose();
        Fisher?.Dispose();
        Reference?.Dispose();
        Adapter?.Dispose();
        Frozen?.Dispose();
        Noise?.Dispose();
        Pretrained.Dispose();
    }

    // Virtual tokens move on the scale of embeddings, or of keys and values, which differs between models by orders of magnitude.
    private static double RateOf(MethodConfig method, Adapter? adapter) =>
        method.DefaultLearningRate * (method.IsRateRelative ? AdapterStart.ScaleOf(adapter!) : 1);

    private static IReadOnlyList<Trainable> Learning(CausalModel model) =>
        [.. model.Parts.Weights.Select(weight => Trainable.Of(weight.Key, weight.Value, model.Parts.NormWeights.Contains(weight.Key)) with { IsEmbedding = ReferenceEquals(weight.Value, model.Embedding.Weight) })];

    private static IReadOnlyList<Trainable> Learning(Adapter adapter, MethodConfig method)
    {
        var spared = adapter.SparedWeights;
        double ratio = (method as LoraConfig)?.RateRatio ?? 1;
        return [.. adapter.Weights.Select(weight => LoraPlus.Of(weight.Key, weight.Value, spared.Contains(weight.Key), ratio))];
    }
}
