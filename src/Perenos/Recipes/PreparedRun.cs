using Perenos.Adapters;
using Perenos.Hub;
using Perenos.Kernels;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;
using Perenos.Training;
using static TorchSharp.torch;

namespace Perenos.Recipes;

/// <summary>Everything that a run needs before its first step: checked, loaded, attached, counted.</summary>
public sealed class PreparedRun : IDisposable
{
    // Steps that are timed, spread over an epoch: lengths differ, and so does the time that a token takes.
    private const int RehearsedSteps = 4;

    // Enough for the largest batch of a validation.
    private const int LongestValidated = 64;

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

    /// <summary>The adapter that was attached before and learns nothing, or none.</summary>
    public Adapter? Frozen { get; private init; }

    /// <summary>What learns.</summary>
    public IReadOnlyList<Trainable> Trainables { get; }

    /// <summary>What keeps the weights near where they started, or none.</summary>
    public IWeightPull? Penalty { get; private init; }

    /// <summary>The frozen base that a second copy of the weights holds, where distillation needs one.</summary>
    private Pretrained? Teacher { get; init; }

    /// <summary>What is minimised.</summary>
    public Objective Objective => Config.Training.Recompute
        ? Recomputation.Of(Pretrained.Model)
        : Retention.ObjectiveOf(Config, Pretrained, Teacher, Adapter) ?? CrossEntropy.Of(Pretrained.Model);

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
        config = config with { Dtype = ComputeTypes.NameOf(compute.Type) };
        var pretrained = config.Start switch
        {
            PretrainedStart start => Pretrained.Open(HubLocation.InCache(start.Model, HubKind.Model), compute.Type, opening),
            RandomStart start => Pretrained.Start(start.Architecture, start.Tokenizer, config.Seed, compute.Type),
            _ => throw new InvalidOperationException($"Unknown start {config.Start}."),
        };
        Adapter? frozen = null;
        try
        {
            frozen = AdapterStart.FrozenOf(config, pretrained);
            var renderer = Rendering.For(pretrained, config.Data.Template);
            var data = RunData.Read(config, renderer, pretrained.Model.MaximumLength - config.Method.VirtualTokenCount);
            // Without an adapter: what the base writes is the base's.
            frozen?.Detach();
            var replay = Recipes.Replay.Of(config, pretrained, renderer, data);
            frozen?.Attach();
            var adapter = AdapterStart.Of(config, pretrained, data);
            if (config.Training.LearningRate is null)
                config = config with { Training = config.Training with { LearningRate = RateOf(config.Method, adapter) * config.Training.Optimizer.DefaultRateFactor } };
            var trainables = adapter is null ? Learning(pretrained.Model) : Learning(adapter, config.Method);
            trainables = LayerRates.Decayed(trainables, config.Training.LayerRateDecay, pretrained.Model.Layers.Count);
            RefuseCombinations(config, pretrained.Model, trainables);
            foreach (var trainable in trainables)
                trainable.Tensor.requires_grad = true;
            return new PreparedRun(config, compute, pretrained, renderer, data, replay, adapter, trainables)
            {
                Frozen = frozen,
                Penalty = Retention.PenaltyOf(config, pretrained, adapter, trainables),
                Teacher = Retention.TeacherOf(config, pretrained, adapter),
            };
        }
        catch
        {
            frozen?.Dispose();
            pretrained.Dispose();
            throw;
        }
    }

    /// <summary>Takes some steps of the run at rate 0 and validates once, which changes nothing: the heaviest step for the memory, others for the time.</summary>
    /// <param name="clock">Measures seconds.</param>
    /// <returns>Estimated seconds of all steps, and peak memory in bytes.</returns>
    public (double Seconds, long Memory) Rehearse(TimeProvider clock)
    {
        int steps = Math.Min(Order.TotalSteps, Order.StepsPerEpoch);
        int heaviest = Enumerable.Range(0, steps).MaxBy(step => Order.At(step).Max(batch => batch.Tokens.Length));
        double seconds = 0, tokens = 0;
        using (var trainer = new Trainer(Pretrained.Model, Trainables, Config.Training, LearningRate.Of(Config.Training, Order.TotalSteps), objective: Objective))
        {
            // The first pays for caches and code generation, and is not counted.
            foreach (int step in Enumerable.Range(0, RehearsedSteps).Select(part => part * steps / RehearsedSteps).Prepend(heaviest))
            {
                long start = clock.GetTimestamp();
                var report = trainer.TakeStep(Order.At(step), givenRate: 0);
                if (trainer.StepsTaken > 1)
                    (seconds, tokens) = (seconds + clock.GetElapsedTime(start).TotalSeconds, tokens + report.Tokens);
            }

            if (Data.Validation.Count > 0)
                BatchLoss.Mean(Pretrained.Model, [.. Data.Validation.OrderByDescending(example => example.Ids.Length).Take(LongestValidated)], TrainingRun.ValidationBatchTokens);
        }

        double averageTokens = Enumerable.Range(0, steps).Average(step => Order.At(step).Sum(batch => (double)batch.Tokens.Length));
        return (seconds / tokens * averageTokens * Order.TotalSteps, PeakMemory.OfProcess());
    }

    /// <summary>Frees model and adapter.</summary>
    public void Dispose()
    {
        Penalty?.Dispose();
        Teacher?.Dispose();
        Adapter?.Dispose();
        Frozen?.Dispose();
        Pretrained.Dispose();
    }

    // What only the loaded model shows.
    private static void RefuseCombinations(RunConfig config, CausalModel model, IReadOnlyList<Trainable> trainables)
    {
        bool drops = config.Method is LoraConfig { Dropout: > 0 } or DoraConfig { Dropout: > 0 };
        string? against = drops ? "method.dropout: a layer would drop something else the second time"
            : config.Retention.Distillation is not null ? "retention.distillation"
            : model.Parts.VirtualTokens > 0 ? "virtual tokens"
            : model.BalanceWeight != 0 ? "the balance of this model's experts"
            : null;
        if (config.Training.Recompute && against is not null)
            throw new PerenosException($"training.recompute does not go together with {against}.", "Remove one of the two.");
        if (config.Training.Pack && model.Parts.VirtualTokens > 0)
            throw new PerenosException("training.pack does not go together with virtual tokens, which stand before each text.", "Remove it, or choose another method.");
        if (config.Retention.Distillation is not null && config is { Method: FullConfig, Start: PretrainedStart { Adapter: not null } })
            throw new PerenosException("retention.distillation does not go together with start.adapter and method full: the frozen base would lack the adapter.", "Remove one of them.");
        if (!config.Training.Optimizer.KeepsMaster && trainables.FirstOrDefault(trainable => trainable.Tensor.dtype != ScalarType.BFloat16) is { } wide)
            throw new PerenosException($"training.optimizer.stochastic_rounding is set, but {wide.Name} learns in {wide.Tensor.dtype}.", "It is for all weights in bfloat16: set dtype: bfloat16 and method full, or remove the key.");
    }

    // Ranges are checked before anything is loaded.
    internal static RunConfig Complete(RunConfig config)
    {
        config = config with { Training = config.Training with { Epochs = config.Training.Epochs ?? config.Method.DefaultEpochs } };
        var training = config.Training;
        static void Demand(bool isMet, string key, object? value, string range)
        {
            if (!isMet)
                throw new PerenosException($"{key} = {value} is out of range.", $"Use {range}.");
        }

        Demand(training.Epochs > 0 && double.IsFinite(training.Epochs.Value), "training.epochs", training.Epochs, "more than 0");
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
        Retention.Check(config);
        return config;
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
