using Perenos.Adapters;
using Perenos.Hub;
using Perenos.Kernels;
using Perenos.Layers;
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
    private PreparedRun(RunConfig config, ComputeTypeChoice compute, Pretrained pretrained, ExampleRenderer renderer, RunData data, Adapter? adapter, IReadOnlyList<Trainable> trainables)
    {
        (Config, Compute, Pretrained, Renderer, Data, Adapter, Trainables) = (config, compute, pretrained, renderer, data, adapter, trainables);
        Order = new BatchOrder(data.Train, config.Training, config.Seed);
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
            var parts = pretrained.Model.Parts;
            if (config.Training.LearningRate is null)
                config = config with { Training = config.Training with { LearningRate = RateOf(config.Method, parts) } };
            var adapter = AdapterStart.Of(config, pretrained, data);
            var trainables = adapter is null
                ? parts.Weights.Select(weight => Trainable.Of(weight.Key, weight.Value, parts.NormWeights.Contains(weight.Key))).ToList()
                : Learning(adapter, config.Method);
            foreach (var trainable in trainables)
                trainable.Tensor.requires_grad = true;
            return new PreparedRun(config, compute, pretrained, renderer, data, adapter, trainables);
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
        var longest = Batch.Of([.. Data.Train.OrderByDescending(example => example.Ids.Length).Take(rows)]);
        double best = double.MaxValue;
        // The first pass pays for caches and code generation; the second is what a step costs.
        for (int pass = 0; pass < 2; pass++)
        {
            long start = clock.GetTimestamp();
            using (var scope = NewDisposeScope())
            {
                var loss = BatchLoss.Sum(Pretrained.Model, BatchLoss.LearntStates(Pretrained.Model, longest), longest, 1.0 / longest.Targets.Length);
                loss.backward();
            }

            foreach (var trainable in Trainables)
            {
                using var gradient = trainable.Tensor.grad;
                trainable.Tensor.grad = null;
            }

            best = Math.Min(best, clock.GetElapsedTime(start).TotalSeconds);
        }

        double averageTokens = Enumerable.Range(0, Math.Min(Order.TotalSteps, 20)).Average(step => Order.At(step).Sum(batch => (double)batch.Tokens.Length));
        long optimizer = TrainableParameters * (Compute.Type == ScalarType.Float32 || Adapter is not null ? 8 : 12);
        return (best / longest.Tokens.Length * averageTokens * Order.TotalSteps, PeakMemory.OfProcess() + optimizer);
    }

    /// <summary>Frees model and adapter.</summary>
    public void Dispose()
    {
        Adapter?.Dispose();
        Pretrained.Dispose();
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
        return config;
    }

    // A prompt moves on the scale of the embedding, which differs between models by orders of magnitude.
    private static double RateOf(MethodConfig method, ModelParts parts) =>
        method.DefaultLearningRate * (method.IsRateRelative ? AdapterStart.EmbeddingScale(parts) : 1);

    private static List<Trainable> Learning(Adapter adapter, MethodConfig method)
    {
        var norms = adapter.NormWeights;
        double ratio = (method as LoraConfig)?.RateRatio ?? 1;
        return [.. adapter.Weights.Select(weight => LoraPlus.Of(weight.Key, weight.Value, norms.Contains(weight.Key), ratio))];
    }
}
