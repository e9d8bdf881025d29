using Perenos.Checkpoints;
using Perenos.Hub;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;
using Perenos.Transfer;
using static TorchSharp.torch;

namespace Perenos.Recipes;

/// <summary>What to estimate the Fisher information of, and on what.</summary>
public sealed record FisherRequest
{
    /// <summary>The base: folder, GGUF file or <c>base</c>.</summary>
    public required string Model { get; init; }

    /// <summary>The text that shall be kept, and how records become text.</summary>
    public required DataConfig Data { get; init; }

    /// <summary>Where the file goes.</summary>
    public required string Output { get; init; }

    /// <summary>How it is estimated.</summary>
    public FisherEstimator Estimator { get; init; } = FisherEstimator.Sampled;

    /// <summary>Examples in a backward pass of the sampled form; fewer mean more passes and less noise.</summary>
    public int BatchSize { get; init; } = 1;

    /// <summary>Tokens to use, drawn by example.</summary>
    public int MostTokens { get; init; } = 50_000;

    /// <summary>An earlier file of the same base whose values are added, or none.</summary>
    public string? Earlier { get; init; }

    /// <summary>Whether the earlier file may be of the weights that these were trained from: the online form, where each task is estimated where it was learnt.</summary>
    public bool IsOnline { get; init; }

    /// <summary>Rows of the sketch, by which forgetting is forecast; 0 for none. Each is 2 bytes for every seventh weight.</summary>
    public int SketchRows { get; init; } = FisherSketch.DefaultRows;

    /// <summary>Weight of the earlier values.</summary>
    public double Decay { get; init; } = 1;

    /// <summary>Seed of examples and labels.</summary>
    public ulong Seed { get; init; }

    /// <summary>Type to compute in.</summary>
    public string Dtype { get; init; } = "auto";
}

/// <summary>The road to a Fisher file: open, read, draw, estimate, add what was before, save.</summary>
public static class EstimateFisher
{
    /// <summary>Runs a request.</summary>
    /// <exception cref="PerenosException">Model, text or the earlier file cannot be used.</exception>
    public static FisherOrigin Run(FisherRequest request, Action<int, int> progress, CancellationToken stop)
    {
        using var pretrained = Pretrained.Open(HubLocation.InCache(request.Model, HubKind.Model), ComputeTypes.Choose(request.Dtype).Type);
        return Of(pretrained, request, [.. RunData.ReadRecords(request.Data, request.Data.Path).Records.Where(record => record.IsForTraining)], progress, stop);
    }

    /// <summary>Runs a request on a model that is open, without adapters.</summary>
    /// <param name="pretrained">The model.</param>
    /// <param name="request">What is estimated.</param>
    /// <param name="records">The records of its data.</param>
    /// <param name="progress">Told how many passes are done.</param>
    /// <param name="stop">Asks to stop.</param>
    internal static FisherOrigin Of(Pretrained pretrained, FisherRequest request, IReadOnlyList<Record> records, Action<int, int> progress, CancellationToken stop)
    {
        if (request.BatchSize < 1 || request.MostTokens < 2 || request.SketchRows < 0 || !(request.Decay is >= 0 and <= 1))
            throw new PerenosException($"Batch size {request.BatchSize}, tokens {request.MostTokens}, sketch {request.SketchRows} and decay {request.Decay} are not all usable.", "Use at least 1 example, at least 2 tokens, 0 or more rows, and a decay of 0 to 1.");
        string hash = Fingerprint.OfWeights(pretrained.Location);
        using var earlier = request.Earlier is { } path ? FisherFile.Open(path) : null;
        if (earlier is not null && earlier.Origin.BaseHash != hash && !request.IsOnline)
            throw new PerenosException($"{request.Earlier} was estimated on {earlier.Origin.Base}, whose weights are not those of {request.Model}.", "If this model was trained from that one, add --online: each task then counts as it was where it was learnt.");
        // Looked at first: an hour of estimating must not end in a refusal.
        var before = earlier?.ValuesFor(pretrained.Model.Parts.Weights, earlier.Origin.BaseHash);
        IReadOnlyDictionary<string, Tensor>? sketchBefore = null;
        try
        {
            sketchBefore = earlier?.SketchFor(pretrained.Model.Parts.Weights);
            var examples = Examples(request, pretrained, records);
            using var fisher = FisherInformation.Estimate(pretrained.Model, examples, request.Estimator, request.BatchSize, request.Seed, request.SketchRows, progress, stop);
            var origin = new FisherOrigin
            {
                Estimator = request.Estimator,
                Base = request.Model,
                BaseHash = hash,
                Corpus = request.Data.Path,
                CorpusHash = Fingerprint.OfTexts(examples.Select(example => string.Join(' ', example.Ids))),
                Tokens = fisher.Tokens,
                Passes = fisher.Passes,
                Seed = request.Seed,
                ComputeType = pretrained.Model.Embedding.Weight.dtype.ToString(),
            };
            if (before is not null)
            {
                fisher.Add(before, request.Decay, sketchBefore);
                origin = origin with { Corpus = $"{earlier!.Origin.Corpus}; {origin.Corpus}", Tasks = earlier.Origin.Tasks + 1, Decay = request.Decay };
            }

            FisherFile.Save(request.Output, fisher, origin);
            return origin;
        }
        finally
        {
            foreach (var values in (before?.Values ?? []).Concat(sketchBefore?.Values ?? []))
                values.Dispose();
        }
    }

    // A seeded draw of whole examples until there are tokens enough.
    private static List<Example> Examples(FisherRequest request, Pretrained pretrained, IReadOnlyList<Record> records)
    {
        var renderer = Rendering.For(pretrained, request.Data.Template);
        var limit = new LengthLimit((int)Math.Min(request.Data.MaximumLength, pretrained.Model.Config.MaximumLength));
        List<Example> all = [.. limit.Apply(records.Select(renderer.Render))];
        List<Example> drawn = [];
        int tokens = 0;
        foreach (int index in Seed.Permutation(request.Seed, "examples", all.Count))
        {
            if (tokens >= request.MostTokens)
                break;
            drawn.Add(all[index]);
            tokens += all[index].LearntTokens;
        }

        return drawn;
    }
}
