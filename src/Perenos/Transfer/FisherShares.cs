using System.Globalization;
using System.Text.RegularExpressions;
using static TorchSharp.torch;

namespace Perenos.Transfer;

/// <summary>What a group of weights holds of the Fisher information.</summary>
/// <param name="Name">The group.</param>
/// <param name="Weights">Numbers in it.</param>
/// <param name="Share">Its part of the sum over all weights.</param>
/// <param name="Mean">Mean over its weights.</param>
/// <param name="Largest">Largest value.</param>
public sealed record FisherShare(string Name, long Weights, double Share, double Mean, double Largest);

/// <summary>Which layers, and which kinds of weights, a text rests on.</summary>
public static partial class FisherShares
{
    /// <summary>Layer by layer in the model's order: what comes before the layers, each layer, what comes after.</summary>
    public static IReadOnlyList<FisherShare> ByLayer(FisherFile fisher) =>
        [.. Grouped(fisher, name => LayerName().Match(name) is { Success: true } match ? match.Value : name)
            .OrderBy(share => LayerName().Match(share.Name) is { Success: true } match ? 1 + int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture) : IsEmbedding(share.Name) ? 0 : int.MaxValue)];

    /// <summary>By what the weights do, whatever their layer; the largest share first.</summary>
    public static IReadOnlyList<FisherShare> ByKind(FisherFile fisher) =>
        [.. Grouped(fisher, name => LayerName().Match(name) is { Success: true } match ? name[(match.Length + 1)..] : name).OrderByDescending(share => share.Share)];

    private static List<FisherShare> Grouped(FisherFile fisher, Func<string, string> groupOf)
    {
        var groups = new OrderedDictionary<string, (long Weights, double Sum, double Largest)>();
        foreach (string name in fisher.Tensors.Keys)
        {
            using var scope = NewDisposeScope();
            var values = fisher.Values(name);
            scope.Attach(values);
            var (weights, sum, largest) = groups.GetValueOrDefault(groupOf(name));
            groups[groupOf(name)] = (weights + values.numel(), sum + values.sum(ScalarType.Float64).item<double>(), Math.Max(largest, values.max().item<float>()));
        }

        double all = groups.Values.Sum(group => group.Sum);
        return [.. groups.Select(group => new FisherShare(group.Key, group.Value.Weights, group.Value.Sum / Math.Max(double.Epsilon, all), group.Value.Sum / group.Value.Weights, group.Value.Largest))];
    }

    private static bool IsEmbedding(string name) => name.Contains("emb", StringComparison.Ordinal) || name.Contains("wte", StringComparison.Ordinal) || name.Contains("wpe", StringComparison.Ordinal);

    // The first number in a name counts the layers: model.layers.3, transformer.h.3.
    [GeneratedRegex(@"^.*?\.(\d+)(?=\.|$)")]
    private static partial Regex LayerName();
}
