using System.Globalization;
using System.Text.RegularExpressions;

namespace Perenos.Training;

/// <summary>
/// Layer-wise decay of the learning rate (Howard and Ruder 2018, https://arxiv.org/abs/1801.06146, "discriminative fine-tuning"): each
/// layer learns at a share of the rate of the one above it, the embedding below all of them, what lies above the layers at the full rate.
/// </summary>
public static partial class LayerRates
{
    /// <summary>The same tensors with their rates lowered by depth; <paramref name="decay"/> 1 changes nothing.</summary>
    /// <param name="trainables">What learns; the first number in a name counts the layers.</param>
    /// <param name="decay">Rate of a layer as a share of that of the next one.</param>
    /// <param name="layers">Layers of the model.</param>
    public static IReadOnlyList<Trainable> Decayed(IReadOnlyList<Trainable> trainables, double decay, int layers) =>
        decay == 1 ? trainables : [.. trainables.Select(trainable => trainable with { RateFactor = trainable.RateFactor * Math.Pow(decay, StepsBelowTop(trainable, layers)) })];

    /// <summary>Number of the layer that a weight's name tells; none for what lies beside the layers.</summary>
    internal static int? LayerOf(string name) =>
        LayerNumber().Match(name) is { Success: true } match ? int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture) : null;

    private static int StepsBelowTop(Trainable trainable, int layers) =>
        LayerOf(trainable.Name) is { } layer ? layers - 1 - layer : trainable.IsEmbedding ? layers : 0;

    // model.layers.3.self_attn…, transformer.h.3.attn…, also behind PEFT's prefix.
    [GeneratedRegex(@"\.(\d{1,6})\.")]
    private static partial Regex LayerNumber();
}
