using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Training;
using static TorchSharp.torch;

namespace Perenos.Recipes;

/// <summary>What a configuration may ask for.</summary>
internal static class RunRules
{
    /// <summary>The configuration with the method's defaults, its ranges checked before anything is loaded.</summary>
    /// <exception cref="PerenosException">A value is out of range, or two settings exclude each other.</exception>
    public static RunConfig Complete(RunConfig config)
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
        Demand(double.IsFinite(training.EmbeddingNoise) && training.EmbeddingNoise >= 0, "training.embedding_noise", training.EmbeddingNoise, "0 (off) or more; 5 is common");
        if (config.Method is LisaConfig lisa)
        {
            Demand(lisa.ActiveLayers > 0, "method.active_layers", lisa.ActiveLayers, "1 or more");
            Demand(lisa.SwitchEvery > 0, "method.switch_every", lisa.SwitchEvery, "1 or more; 20 is common");
        }

        if (training.OptimizerInBackward)
            RefuseWhatNeedsAllGradients(config);
        Retention.Check(config);
        Mixture.Check(config);
        Objectives.Check(config);
        return config;
    }

    /// <summary>Refuses what only the loaded model shows.</summary>
    /// <exception cref="PerenosException">Two settings exclude each other, or one does not fit the model.</exception>
    public static void Check(RunConfig config, CausalModel model, IReadOnlyList<Trainable> trainables)
    {
        bool drops = config.Method is LoraConfig { Dropout: > 0 } or DoraConfig { Dropout: > 0 };
        string? against = drops ? "method.dropout: a layer would drop something else the second time"
            : config.Retention.Distillation is not null ? "retention.distillation"
            : config.Objective is DpoConfig ? "objective dpo"
            : model.Parts.VirtualTokens > 0 ? "virtual tokens"
            : model.BalanceWeight != 0 ? "the balance of this model's experts"
            : null;
        if ((config.Training.Recompute || config.Training.OptimizerInBackward) && against is not null)
            throw new PerenosException($"training.{(config.Training.Recompute ? "recompute" : "optimizer_in_backward")} does not go together with {against}.", "Remove one of the two.");
        if (config.Method is LisaConfig lisa && lisa.ActiveLayers > model.Layers.Count)
            throw new PerenosException($"method.active_layers = {lisa.ActiveLayers}, but the model has {model.Layers.Count} layers.", "Use fewer; method full trains them all.");
        if (config.Objective is DpoConfig && model.BalanceWeight != 0)
            throw new PerenosException("objective dpo does not go together with the balance of this model's experts.", "Set output_router_logits to false in the model's config.json.");
        if (config.Training.Pack && model.Parts.VirtualTokens > 0)
            throw new PerenosException("training.pack does not go together with virtual tokens, which stand before each text.", "Remove it, or choose another method.");
        if (config.Retention.Distillation is not null && config is { Method.ChangesBase: true, Start: PretrainedStart { Adapter: not null } })
            throw new PerenosException("retention.distillation does not go together with start.adapter and method full: the frozen base would lack the adapter.", "Remove one of them.");
        if (!config.Training.Optimizer.KeepsMaster && trainables.FirstOrDefault(trainable => trainable.Tensor.dtype != ScalarType.BFloat16) is { } wide)
            throw new PerenosException($"training.optimizer.stochastic_rounding is set, but {wide.Name} learns in {wide.Tensor.dtype}.", "It is for all weights in bfloat16: set dtype: bfloat16 and method full, or remove the key.");
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
}
