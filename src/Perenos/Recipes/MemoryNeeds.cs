using System.Reflection;
using Perenos.Models;

namespace Perenos.Recipes;

/// <summary>Memory that a model takes, computed from its sizes; <c>perenos tune --dry-run</c> measures it.</summary>
/// <param name="Use">inference, LoRA or full.</param>
/// <param name="Bytes">The sum.</param>
/// <param name="Formula">How it is computed.</param>
public sealed record MemoryNeed(string Use, long Bytes, string Formula);

/// <summary>The formulas. Weights compute in bfloat16 (2 bytes); adapters, gradients of adapters and moments are float32.</summary>
internal static class MemoryNeeds
{
    private const long WeightBytes = 2, LoraRank = 16, TrainedBytes = 16;

    // Values that one token leaves behind in a layer for the way back: inputs of the projections, both norms, both residuals,
    // queries and the mixed values (8 widths), keys and values, and the gated part (3 inner widths).
    private const long WidthsKept = 8, InnerWidthsKept = 3;

    public static IReadOnlyList<MemoryNeed> Of(ModelConfig config, long parameters, long loraParameters, int batch, int length)
    {
        long tokens = (long)batch * length;
        long width = config.Width, inner = Size(config, "InnerWidth") ?? 4 * width, heads = Size(config, "Heads") ?? 1;
        long headSize = Size(config, "HeadSize") ?? width / heads, keyWidth = 2 * (Size(config, "KeyValueHeads") ?? heads) * headSize;
        long weights = WeightBytes * parameters, cache = WeightBytes * tokens * config.LayerCount * keyWidth;
        long activations = WeightBytes * tokens * config.LayerCount * (WidthsKept * width + keyWidth + InnerWidthsKept * inner);
        return
        [
            new("inference", weights + cache + 4L * batch * config.VocabularySize,
                $"2 · {parameters:N0} weights + cache 2 · {tokens:N0} tokens · {config.LayerCount} layers · {keyWidth} + logits 4 · {batch} · {config.VocabularySize:N0}"),
            new("LoRA", weights + TrainedBytes * loraParameters + activations,
                $"2 · weights + 16 · {loraParameters:N0} (rank {LoraRank} on all linear layers) + activations 2 · {tokens:N0} tokens · {config.LayerCount} layers · ({WidthsKept} · {width} + {keyWidth} + {InnerWidthsKept} · {inner})"),
            new("full", TrainedBytes * parameters + activations, "16 · weights (bfloat16 weight and gradient, float32 moments and master copy) + activations as above"),
        ];
    }

    /// <summary>rank · (inputs + outputs) of every matrix but embeddings and head.</summary>
    public static long LoraParameters(IEnumerable<(string Part, long[] Shape)> tensors) =>
        tensors.Where(tensor => tensor.Shape.Length >= 2 && tensor.Part is "attention" or "feed-forward" or "experts")
            .Sum(tensor => LoraRank * (tensor.Shape[^1] + tensor.Shape[^2]) * tensor.Shape[..^2].Aggregate(1L, (product, size) => product * size));

    // The families' records name the same sizes alike.
    private static long? Size(ModelConfig config, string name) => config.GetType().GetProperty(name, BindingFlags.Public | BindingFlags.Instance)?.GetValue(config) switch
    {
        int value => value,
        long value => value,
        _ => null,
    };
}
