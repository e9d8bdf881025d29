using Perenos.Adapters;
using Perenos.Hub;
using Perenos.Kernels;
using Perenos.Layers;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;
using Perenos.Training;
using Perenos.Transfer;
using static TorchSharp.torch;

namespace Perenos.Recipes;

/// <summary>Everything that a run needs before its first step: checked, loaded, attached, counted.</summary>
public sealed class PreparedRun : IDisposable
{
    private PreparedRun(RunConfig config, ComputeTypeChoice compute, Pretrained pretrained, ExampleRenderer renderer, RunData data, IReadOnlyList<IReadOnlyList<Example>> replay, Adapter? adapter, IReadOnlyList<Trainable> trainables)
    {
        (Config, Compute, Pretrained, Renderer, Data, Adapter, Trainables) = (config, compute, pretrained, renderer, data, adapter, trainables);
        Replay = replay;
        Order = new BatchOrder(data.Train, config.Training, config.Seed, replay);
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

    /// <summary>What learns.</summary>
    public IReadOnlyList<Trainable> Trainables { get; }

    /// <summary>What keeps the weights near where they started, or none.</summary>
    public AnchorPenalty? Penalty { get; private init; }

    /// <summary>The frozen base that a second copy of the weights holds, where the objective needs one.</summary>
    private Pretrained? Reference { get; init; }

    /// <summary>Learning of preferences, where that is the objective.</summary>
    public Dpo? Preference { get; private init; }

    /// <summary>What is minimised.</summary>
    public Objective Objective => Config.Training.OptimizerInBackward
        ? Recomputation.Of(Pretrained.Model, isLast => ForgetGradients(isLast ? null : Pretrained.Model.Embedding.Weight))
        : Objectives.Of(Config, Pretrained, Reference, Adapter, Noise, Preference);

    /// <summary>Noise on the embedded tokens in training, or none.</summary>
    private EmbeddingNoise? Noise { get; init; }

    /// <summary>Which layers learn when, where not all do.</summary>
    public LayerSampling? Sampling { get; private init; }

    /// <summary>Examples that are learnt beside the data so that the model keeps what they hold, for each epoch.</summary>
    public IReadOnlyList<IReadOnlyList<Example>> Replay { get; }

    /// <summary>Batches by step.</summary>
    public BatchOrder Order { get; }

    /// <summary>Numbers that learn.</summary>
    public long TrainableParameters => Trainables.Sum(trainable => trainable.Tensor.numel());

    /// <summary>All numbers of the model and its adapter.</summary>
    public long TotalParameters => Pretrained.Model.Parts.Weights.Values.Sum(weight => weight.numel()) + (Adapter is null ? 0 : TrainableParameters);

    /// <summary>Loads what a configuration names.</summary>
    /// <param name="config">The configuration.</param>
    /// <param name="opening">Told how far the opening of the model has come.</param>
    /// <exception cref="PerenosException">Something is missing, malformed or does not fit.</exception>
    public static PreparedRun Open(RunConfig config, IProgress<OpenProgress>? opening = null)
    {
        config = Complete(config);
        var compute = ComputeTypes.Choose(config.Dtype);
        // Measured once: going on or repeating must compute in the same type.
        config = config with { Dtype = compute.Type == ScalarType.BFloat16 ? "bfloat16" : "float32" };
        var pretrained = config.Start switch
        {
            PretrainedStart start => Pretrained.Open(HubLocation.InCache(start.Model, HubKind.Model), compute.Type, opening),
            RandomStart start => Pretrained.Start(start.Architecture, start.Tokenizer, config.Seed, compute.Type),
            _ => throw new InvalidOperationException($"Unknown start {config.Start}."),
        };
        try
        {
            var renderer = Rendering.For(pretrained, config.Data.Template);
            var data = RunData.Read(config, renderer, pretrained.Model.Config.MaximumLength - config.Method.VirtualTokenCount);
            // Before an adapter is attached: what the base writes is the base's.
            var replay = Recipes.Replay.Of(config, pretrained, renderer, data);
            var parts = pretrained.Model.Parts;
            if (config.Training.LearningRate is null)
                config = config with { Training = config.Training with { LearningRate = RateOf(config.Method, parts) * config.Training.Optimizer.DefaultRateFactor * config.Objective.DefaultRateFactor } };
            var adapter = AdapterStart.Of(config, pretrained, data);
            var trainables = adapter is null ? ChosenWeights.Of(Learning(pretrained.Model), (config.Method as FullConfig)?.Only ?? []) : Learning(adapter, config.Method);
            trainables = LayerRates.Decayed(trainables, config.Training.LayerRateDecay, pretrained.Model.Layers.Count);
            RefuseCombinations(config, pretrained.Model, trainables);
            var sampling = config.Method is LisaConfig lisa ? new LayerSampling(lisa, pretrained.Model.Layers.Count, Seed.Of(config.Seed, "lisa")) : null;
            foreach (var trainable in trainables)
                trainable.Tensor.requires_grad = sampling is null || sampling.Learns(trainable, step: 0);
            var reference = Objectives.ReferenceOf(config, pretrained, adapter);
            var noise = config.Training.EmbeddingNoise > 0 ? new EmbeddingNoise(pretrained.Model.Embedding, config.Training.EmbeddingNoise) : null;
            return new PreparedRun(config, compute, pretrained, renderer, data, replay, adapter, trainables)
            {
                Penalty = Retention.PenaltyOf(config, pretrained, trainables),
                Reference = reference,
                Noise = noise,
                Sampling = sampling,
                Preference = Objectives.PreferenceOf(config, pretrained, reference, adapter, noise),
            };
        }
        catch
        {
            pretrained.Dispose();
            throw;
        }
    }

    /// <summary>Measures one micro-batch, the longest, forward and backward, without changing anything.</summary>
    /// <param name="clock">Measures seconds.</param>
    /// <returns>Estimated seconds of all steps, and peak memory in bytes.</returns>
    public (double Seconds, long Memory) Rehearse(TimeProvider clock)
    {
        int rows = Config.Training.MicroBatchSize ?? (Config.Training.BatchTokens is { } tokens ? Math.Max(1, tokens / Data.Labels.Longest) : Config.Training.BatchSize);
        var longest = Batch.Of([.. Data.Train.Concat(Replay.SelectMany(epoch => epoch)).OrderByDescending(example => example.Length).Take(rows)]);
        double best = double.MaxValue;
        // The first pass pays for caches and code generation; the second is what a step costs.
        for (int pass = 0; pass < 2; pass++)
        {
            long start = clock.GetTimestamp();
            Objective(longest, 1.0 / longest.Units).Dispose();
            ForgetGradients();
            best = Math.Min(best, clock.GetElapsedTime(start).TotalSeconds);
        }

        double averageTokens = Enumerable.Range(0, Math.Min(Order.TotalSteps, 20)).Average(step => Order.At(step).Sum(batch => (double)batch.Tokens.Length));
        bool hasMaster = Trainables.Any(trainable => trainable.Tensor.dtype != ScalarType.Float32) && Config.Training.Optimizer.KeepsMaster;
        long optimizer = Trainables.Where(trainable => trainable.Tensor.requires_grad).Sum(trainable => trainable.Tensor.numel()) * (Config.Training.Optimizer.StateBytes + (hasMaster ? 4 : 0));
        return (best / longest.Tokens.Length * averageTokens * Order.TotalSteps, PeakMemory.OfProcess() + optimizer);
    }

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
        Penalty?.Dispose();
        Reference?.Dispose();
        Adapter?.Dispose();
        Noise?.Dispose();
        Pretrained.Dispose();
    }

    // What only the loaded model shows.
    private static void RefuseCombinations(RunConfig config, CausalModel model, IReadOnlyList<Trainable> trainables)
    {
        bool drops = config.Method is LoraConfig { Dropout: > 0 } or DoraConfig { Dropout: > 0 };
        string? against = drops ? "method.dropout: a layer would drop something else the second time"
            : config.Retention.Distillation is not null ? "retention.distillation"
            : config.Objective is DpoConfig ? "objective dpo"
            : config.Method.VirtualTokenCount > 0 ? "virtual tokens"
            : model.BalanceWeight != 0 ? "the balance of this model's experts"
            : null;
        if ((config.Training.Recompute || config.Training.OptimizerInBackward) && against is not null)
            throw new PerenosException($"training.{(config.Training.Recompute ? "recompute" : "optimizer_in_backward")} does not go together with {against}.", "Remove one of the two.");
        if (config.Method is LisaConfig lisa && lisa.ActiveLayers > model.Layers.Count)
            throw new PerenosException($"method.active_layers = {lisa.ActiveLayers}, but the model has {model.Layers.Count} layers.", "Use fewer; method full trains them all.");
        if (config.Objective is DpoConfig && model.BalanceWeight != 0)
            throw new PerenosException("objective dpo does not go together with the balance of this model's experts.", "Set output_router_logits to false in the model's config.json.");
        if (config.Training.Pack && config.Method.VirtualTokenCount > 0)
            throw new PerenosException("training.pack does not go together with virtual tokens, which stand before each text.", "Remove it, or choose another method.");
        if (!config.Training.Optimizer.KeepsMaster && trainables.FirstOrDefault(trainable => trainable.Tensor.dtype != ScalarType.BFloat16) is { } wide)
            throw new PerenosException($"training.optimizer.stochastic_rounding is set, but {wide.Name} learns in {wide.Tensor.dtype}.", "It is for all weights in bfloat16: set dtype: bfloat16 and method full, or remove the key.");
    }

    // Ranges are checked before anything is loaded.
    private static RunConfig Complete(RunConfig config)
    {
        var training = config.Training;
        static void Demand(bool isMet, string key, object? value, string range)
        {
            if (!isMet)
                throw new PerenosException($"{key} = {value} is out of range.", $"Use {range}.");
        }

        Demand(training.Epochs > 0 && double.IsFinite(training.Epochs), "training.epochs", training.Epochs, "more than 0");
        Demand(training.MaximumSteps is null or > 0, "training.maximum_steps", training.MaximumSteps, "1 or more");
        Demand(training.BatchSize > 0, "training.batch_size", training.BatchSize, "1 or more");
        Demand(training.BatchTokens is null or > 0, "training.batch_tokens", training.BatchTokens, "1 or more");
        Demand(training.MicroBatchSize is null or > 0, "training.micro_batch_size", training.MicroBatchSize, "1 or more");
        Demand(training.LearningRate is null || training.LearningRate > 0 && double.IsFinite(training.LearningRate.Value), "training.learning_rate", training.LearningRate, "more than 0, such as 1e-4");
        Demand(training.WarmupShare is >= 0 and <= 1, "training.warmup_share", training.WarmupShare, "0 to 1");
        Demand(training.FinalRateShare is >= 0 and < 1, "training.final_rate_share", training.FinalRateShare, "0 to 1, such as 0.1");
        Demand(training.ScheduleCycles > 0, "training.schedule_cycles", training.ScheduleCycles, "1 or more");
        Demand(training.SchedulePower > 0, "training.schedule_power", training.SchedulePower, "more than 0");
        Demand(training.DecayShare >= 0 && training.DecayShare + training.WarmupShare <= 1, "training.decay_share", training.DecayShare, "0 to 1, with training.warmup_share at most 1");
        Demand(training.AverageDecay is null or > 0 and < 1, "training.average_decay", training.AverageDecay, "more than 0, less than 1, such as 0.999");
        Demand(training.LayerRateDecay is > 0 and <= 1, "training.layer_rate_decay", training.LayerRateDecay, "more than 0, at most 1, such as 0.9");
        Demand(training.LearningRate is not null || training.Optimizer.DefaultRateFactor is not null, "training.learning_rate", "nothing", "--learning-rate: for SGD none can be guessed");
        Demand(training.WeightDecay >= 0, "training.weight_decay", training.WeightDecay, "0 or more");
        Demand(training.GradientClip >= 0, "training.gradient_clip", training.GradientClip, "0 (off) or more");
        Demand(training.ValidateEvery is null or > 0, "training.validate_every", training.ValidateEvery, "1 or more");
        Demand(training.SaveEvery is null or > 0, "training.save_every", training.SaveEvery, "1 or more");
        Demand(training.Patience is null or > 0, "training.patience", training.Patience, "1 or more");
        Demand(config.Data.MaximumLength >= 2, "data.maximum_length", config.Data.MaximumLength, "2 or more");
        Demand(config.Data.ValidationShare is >= 0 and < 1 && config.Data.TestShare is >= 0 and < 1 && config.Data.ValidationShare + config.Data.TestShare < 1,
            "data.validation_share + data.test_share", config.Data.ValidationShare + config.Data.TestShare, "shares that leave something to train on");
        Demand(config.Evaluation.Resamples > 0, "evaluation.resamples", config.Evaluation.Resamples, "1 or more; 1000 is usual");
        Demand(config.Evaluation.TestRecords >= 0, "evaluation.test_records", config.Evaluation.TestRecords, "0 or more");
        config.Evaluation.Generation.Checked();
        Demand(config.Method is not LoraConfig { RateRatio: <= 0 }, "method.rate_ratio", (config.Method as LoraConfig)?.RateRatio, "1 (the same rate) or more, such as 16");
        Demand(double.IsFinite(training.EmbeddingNoise) && training.EmbeddingNoise >= 0, "training.embedding_noise", training.EmbeddingNoise, "0 (off) or more; 5 is common");
        if (config.Method is LisaConfig lisa)
        {
            Demand(lisa.ActiveLayers > 0, "method.active_layers", lisa.ActiveLayers, "1 or more");
            Demand(lisa.SwitchEvery > 0, "method.switch_every", lisa.SwitchEvery, "1 or more; 20 is common");
            if (config.Retention.Penalty is not null)
                throw new PerenosException("retention.penalty does not go together with method lisa: it would pull only the layers that learn at the time.", "Use method full, or remove the penalty.");
        }

        if (training.OptimizerInBackward)
            RefuseWhatNeedsAllGradients(config);
        Retention.Check(config);
        Objectives.Check(config);
        return config;
    }

    // A gradient is gone before the next one is there.
    private static void RefuseWhatNeedsAllGradients(RunConfig config)
    {
        string? against = config.Training.GradientClip > 0 ? "training.gradient_clip: the global norm is known only when all gradients are; set it to 0"
            : config.Training.MicroBatchSize is not null ? "training.micro_batch_size: gradients cannot add up over micro-batches; lower training.batch_size instead"
            : config.Retention.Penalty is { Form: PenaltyForm.InLoss } ? "retention.penalty.form in_loss; use decoupled"
            : !config.Method.ChangesBase ? $"method {config.Method.Name}, whose gradients are small; use method full or lisa"
            : null;
        if (against is not null)
            throw new PerenosException($"training.optimizer_in_backward does not go together with {against}.", "Or use training.recompute, which keeps the gradients.");
    }

    private void ForgetGradients(Tensor? except = null)
    {
        foreach (var trainable in Trainables.Where(trainable => !ReferenceEquals(trainable.Tensor, except)))
        {
            using var gradient = trainable.Tensor.grad;
            trainable.Tensor.grad = null;
        }
    }

    // A prompt moves on the scale of the embedding, which differs between models by orders of magnitude.
    private static double RateOf(MethodConfig method, ModelParts parts) =>
        method.DefaultLearningRate * (method.IsRateRelative ? AdapterStart.EmbeddingScale(parts) : 1);

    private static IReadOnlyList<Trainable> Learning(CausalModel model) =>
        [.. model.Parts.Weights.Select(weight => Trainable.Of(weight.Key, weight.Value, model.Parts.NormWeights.Contains(weight.Key)) with { IsEmbedding = ReferenceEquals(weight.Value, model.Embedding.Weight) })];

    private static IReadOnlyList<Trainable> Learning(Adapter adapter, MethodConfig method)
    {
        var norms = adapter.NormWeights;
        double ratio = (method as LoraConfig)?.RateRatio ?? 1;
        return [.. adapter.Weights.Select(weight => LoraPlus.Of(weight.Key, weight.Value, norms.Contains(weight.Key), ratio))];
    }
}
