using Perenos.Adapters;
using Perenos.Models;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Recipes;

/// <summary>How adapters are merged.</summary>
public sealed record MergeSettings
{
    /// <summary>How several become one; by default their weighted sum.</summary>
    public MergeKind Kind { get; init; } = MergeKind.Cat;

    /// <summary>Share of the numbers that <see cref="MergeKind.Ties"/> and <see cref="MergeKind.MagnitudePrune"/> keep.</summary>
    public double Density { get; init; } = 1;

    /// <summary>Rank of the result of <see cref="MergeKind.Svd"/>; the largest of the adapters' by default.</summary>
    public int? Rank { get; init; }

    /// <summary>Type of the stored weights; the base's own by default.</summary>
    public ScalarType? Type { get; init; }
}

/// <summary>What a merge wrote, and how far it is from base and adapter side by side.</summary>
/// <param name="Output">The new folder.</param>
/// <param name="Type">Type of its weights.</param>
/// <param name="Tokens">Tokens of the text on which logits were compared.</param>
/// <param name="Difference">Largest difference of a logit between base with adapter and merged weights, float32.</param>
/// <param name="StoredDifference">The same for the folder as it was opened again: with the rounding to <paramref name="Type"/>.</param>
/// <param name="Effect">Largest difference of a logit that the adapter makes to the base.</param>
public sealed record MergedModel(string Output, string Type, int Tokens, double Difference, double StoredDifference, double Effect);

/// <summary>Makes one or several adapters part of their base, and measures that the result computes the same.</summary>
public static class MergeAdapters
{
    private const string Probe = "The capital of France is Paris. 1, 2, 3, 5, 8\ndef add(a, b):\n    return a + b\nBonjour, il fait beau aujourd'hui. ";

    // Merged logits differ by rounding only; a factor more than this of the adapter's effect means that something else was merged.
    private const double MostShare = 0.05;

    /// <summary>Merges in float32 and writes a Hugging Face folder.</summary>
    /// <param name="model">The base.</param>
    /// <param name="adapters">Folders of adapters, each with its weight.</param>
    /// <param name="output">The new folder.</param>
    /// <param name="settings">How several adapters are joined, and what is stored.</param>
    /// <exception cref="PerenosException">An adapter cannot be merged, or the merged model does not compute the same.</exception>
    public static MergedModel Run(string model, IReadOnlyList<(string Folder, double Weight)> adapters, string output, MergeSettings? settings = null)
    {
        settings ??= new MergeSettings();
        if (Directory.Exists(output) && Directory.EnumerateFileSystemEntries(output).Any())
            throw new PerenosException($"{output} is not empty.", "Give a new folder: --output NAME.");
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        // float32: a sum in bfloat16 would lose most of a small update before it is rounded once, at the end.
        using var pretrained = Pretrained.Open(model, ScalarType.Float32);
        long[] ids = [.. pretrained.Tokenizer.Encode(Probe).Select(id => (long)id).Take((int)Math.Min(64, pretrained.Model.Config.MaximumLength))];
        var plain = Logits(pretrained, ids);
        using var attached = Attach(pretrained, adapters, settings);
        var beside = Logits(pretrained, ids);
        attached.Merge();
        var merged = Logits(pretrained, ids);
        double effect = Largest(beside, plain), difference = Largest(merged, beside);
        if (difference > MostShare * Math.Max(effect, 1e-3))
            throw new PerenosException($"the merged weights do not compute what base and adapter do: a logit differs by {difference:G3}.", "This is a mistake of the program; keep the adapter beside the model.");
        var stored = settings.Type ?? pretrained.StoredType;
        pretrained.Save(output, stored);
        using var reopened = Pretrained.Open(output, ScalarType.Float32);
        return new MergedModel(output, Name(stored), ids.Length, difference, Largest(Logits(reopened, ids), beside), effect);
    }

    /// <summary>The adapter, or one made of several.</summary>
    private static Adapter Attach(Pretrained pretrained, IReadOnlyList<(string Folder, double Weight)> adapters, MergeSettings settings)
    {
        if (adapters is [(var only, 1)])
            return OpenedAdapter.Open(only, pretrained).Adapter;
        var opened = new List<(Adapter Adapter, double Weight)>();
        try
        {
            foreach (var (folder, weight) in adapters)
            {
                opened.Add((OpenedAdapter.Open(folder, pretrained).Adapter, weight));
                // The next one is verified on the bare base.
                opened[^1].Adapter.Detach();
            }

            return WeightedMerge.Of(pretrained.Model.Parts, opened, settings.Kind, settings.Density, settings.Rank);
        }
        finally
        {
            foreach (var (adapter, _) in opened)
                adapter.Dispose();
        }
    }

    private static Tensor Logits(Pretrained pretrained, long[] ids)
    {
        using var scope = NewDisposeScope();
        return pretrained.Model.Logits(pretrained.Model.Hidden(tensor(ids).unsqueeze(0))).to(ScalarType.Float32).MoveToOuterDisposeScope();
    }

    private static double Largest(Tensor left, Tensor right)
    {
        using var scope = NewDisposeScope();
        return left.sub(right).abs().max().item<float>();
    }

    private static string Name(ScalarType type) => type switch { ScalarType.BFloat16 => "bfloat16", ScalarType.Float16 => "float16", _ => "float32" };
}
