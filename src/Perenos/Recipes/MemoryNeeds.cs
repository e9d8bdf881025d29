using System.Text.Json.Nodes;
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

    public static IReadOnlyList<MemoryNeed> Of(ModelConfig config, IReadOnlyList<(string Part, long[] Shape)> tensors, int batch, int length)
    {
        long parameters = tensors.Sum(tensor => tensor.Shape.Aggregate(1L, (product, size) => product * size)), loraParameters = LoraParameters(tensors);
        long tokens = (long)batch * length, width = config.Width, keyWidth = KeyWidth(config);
        long inner = tensors.Where(tensor => tensor.Part is "feed-forward" or "experts" && tensor.Shape.Length >= 2).Select(tensor => tensor.Shape[^2..].Max()).DefaultIfEmpty(4 * width).Max();
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
    private static long LoraParameters(IEnumerable<(string Part, long[] Shape)> tensors) =>
        tensors.Where(tensor => tensor.Shape.Length >= 2 && tensor.Part is "attention" or "feed-forward" or "experts")
            .Sum(tensor => LoraRank * (tensor.Shape[^1] + tensor.Shape[^2]) * tensor.Shape[..^2].Aggregate(1L, (product, size) => product * size));

    /// <summary>Keys and values of one token in one layer, in the spellings of all families.</summary>
    private static long KeyWidth(ModelConfig config)
    {
        long? Number(params ReadOnlySpan<string> keys)
        {
            foreach (string key in keys)
            {
                if (config.Json[key] is JsonValue value && value.TryGetValue(out long number) && number > 0)
                    return number;
            }

            return null;
        }

        long heads = Number("num_attention_heads", "n_head", "num_heads") ?? 1;
        bool isMultiQuery = config.Json["multi_query"] is JsonValue flag && flag.TryGetValue(out bool isOn)
            ? isOn && config.Json["new_decoder_architecture"]?.ToString() != "true"
            : config.ModelType == "gpt_bigcode";
        long keys = isMultiQuery ? 1 : Number("num_key_value_heads", "num_kv_heads") ?? heads;
        return 2 * keys * (Number("head_dim") ?? config.Width / heads);
    }
}
