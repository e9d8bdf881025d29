using Perenos.Adapters;
using Perenos.Checkpoints;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Training;
using Perenos.Transfer;
using static TorchSharp.torch;

namespace Perenos.Recipes;

/// <summary>What a recipe asks for against forgetting, made ready.</summary>
internal static class Retention
{
    /// <summary>Refuses what has no meaning, before anything is loaded.</summary>
    public static void Check(RunConfig config)
    {
        var retention = config.Retention;
        if (config.Start is RandomStart && (retention.Penalty is not null || retention.Distillation is not null || retention.Replay is GeneratedReplay))
            throw new PerenosException("retention is set, but random weights know nothing that could be forgotten.", "Remove it, or start from a pretrained model.");
        Demand(retention.Replay is null or { Share: > 0 and < 1 }, "replay.share", retention.Replay?.Share, "more than 0, less than 1, such as 0.05");
        Demand(retention.Replay is not GeneratedReplay { MaxNewTokens: < 1 }, "replay.max_new_tokens", (retention.Replay as GeneratedReplay)?.MaxNewTokens, "1 or more");
        Demand(retention.Replay is not GeneratedReplay { Temperature: <= 0 }, "replay.temperature", (retention.Replay as GeneratedReplay)?.Temperature, "more than 0; 1 is the base's own spread");
        Demand(retention.Distillation is null or { Weight: >= 0, Temperature: > 0 }, "distillation", retention.Distillation, "a weight of 0 or more and a temperature above 0");
        if (retention.Penalty is { } penalty)
            Check(config, penalty);
    }

    private static void Check(RunConfig config, PenaltyConfig penalty)
    {
        // A LoRA changes the base's weights by a product; the other adapters change them in part, or not at all.
        if (config.Method is not ({ ChangesBase: true } or LoraConfig))
            throw new PerenosException($"retention.penalty guards the base's weights, and the method {config.Method.Name} does not train them.", "Use --method full, lisa or lora, or remove the penalty.");
        if (config.Method is LoraConfig lora && (lora.Start != LoraStart.Random || lora.Bias != LoraBias.None || lora.ModulesToSave.Count > 0 || lora.TrainableTokens is { Count: > 0 }))
            throw new PerenosException("retention.penalty reaches the low-rank updates of a LoRA that starts at 0, and method.start, method.bias, method.modules_to_save or method.trainable_tokens ask for more.", "Remove those keys, or the penalty.");
        if (penalty is EwcConfig { Fisher: null, Keep: null })
            throw new PerenosException("retention.penalty of kind ewc names nothing that shall be kept.", "Set retention.penalty.keep.path (--keep TEXT), or retention.penalty.fisher (--fisher FILE, which perenos fisher wrote).");
        if (penalty is EwcConfig { Keep: { } keep })
        {
            Demand(keep.Tokens >= 2, "penalty.keep.tokens", keep.Tokens, "2 or more; 50000 is the default");
            Demand(keep.Decay is >= 0 and <= 1, "penalty.keep.decay", keep.Decay, "0 to 1");
        }

        Demand(penalty.Strength >= 0 && double.IsFinite(penalty.Strength), "penalty.lambda", penalty.Strength, "0 (off) or more");
        Demand(penalty.Budget is null or > 0 && penalty.Budget is not double.PositiveInfinity, "penalty.forget_at_most", penalty.Budget, "more than 0, such as 0.02 nats per token");
        Demand(penalty is not { Budget: not null, Strength: 0 }, "penalty.lambda", penalty.Strength, "a start above 0: a budget cannot steer it from 0");
    }

    private static void Demand(bool isMet, string key, object? value, string range)
    {
        if (!isMet)
            throw new PerenosException($"retention.{key} = {value} is out of range.", $"Use {range}.");
    }

    /// <summary>The penalty, anchored at the weights as they are; none where none is asked for.</summary>
    public static IWeightPull? PenaltyOf(RunConfig config, Pretrained pretrained, Adapter? adapter, IReadOnlyList<Trainable> trainables, RunFisher? fisher)
    {
        if (config.Retention.Penalty is not { } penalty)
            return null;
        IWeightPull Pull(IReadOnlyDictionary<string, Tensor>? importance, FisherSketch? sketch) =>
            adapter is null ? new AnchorPenalty(trainables, importance, penalty, sketch: sketch) : new LowRankPenalty(adapter, importance, penalty, sketch);
        if (fisher is null)
            return Pull(importance: null, sketch: null);
        var weights = adapter is null ? trainables.ToDictionary(trainable => trainable.Name, trainable => trainable.Tensor) : LowRankPenalty.WeightsOf(adapter);
        var file = FisherFile.Open(fisher.Path);
        IReadOnlyDictionary<string, Tensor> values = new Dictionary<string, Tensor>();
        try
        {
            values = file.ValuesFor(weights, Fingerprint.OfWeights(pretrained.Location));
            // The sketch stays in the file, which is closed with it.
            return Pull(values, file.SketchFor(weights) is { } rows ? new FisherSketch(rows, file) : null);
        }
        catch
        {
            file.Dispose();
            throw;
        }
        finally
        {
            foreach (var value in values.Values)
                value.Dispose();
        }
    }
}
