using System.Text.Json.Nodes;
using Perenos.Layers;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>How several LoRA adapters become one; PEFT's <c>combination_type</c>.</summary>
public enum MergeKind
{
    /// <summary>A = Σ √(w s) A, B = Σ √(w s) B: equal ranks; not the weighted sum of the updates.</summary>
    Linear,

    /// <summary>The updates side by side, which is their weighted sum; the ranks add up.</summary>
    Cat,

    /// <summary>The best approximation of given rank, by singular values.</summary>
    Svd,

    /// <summary>As linear, of the largest numbers only, where they agree in sign (Yadav et al. 2023, https://arxiv.org/abs/2306.01708).</summary>
    Ties,

    /// <summary>As linear, of the largest numbers only.</summary>
    MagnitudePrune,
}

/// <summary>Joins LoRA adapters of one base into one, as PEFT's <c>add_weighted_adapter</c> does.</summary>
public static class WeightedMerge
{
    /// <summary>The joint adapter, attached; the given ones are taken off and stay the caller's.</summary>
    /// <param name="parts">The model's parts.</param>
    /// <param name="adapters">LoRA adapters and their weights, which may be negative.</param>
    /// <param name="kind">How they are joined.</param>
    /// <param name="density">Share of the numbers that is kept, for <see cref="MergeKind.Ties"/> and <see cref="MergeKind.MagnitudePrune"/>.</param>
    /// <param name="rank">Rank of the result, for <see cref="MergeKind.Svd"/>; the largest by default.</param>
    /// <exception cref="PerenosException">An adapter is no plain LoRA, or ranks differ where they must be equal.</exception>
    public static Adapter Of(ModelParts parts, IReadOnlyList<(Adapter Adapter, double Weight)> adapters, MergeKind kind, double density = 1, int? rank = null)
    {
        if (adapters.Count == 0)
            throw new PerenosException("There is no adapter to merge.", "Name at least one.");
        if (density is < 0 or > 1)
            throw new PerenosException($"A density of {density} is out of range.", "Use 0 to 1, the share of the numbers that is kept.");
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        var updates = adapters.SelectMany(given => Updates(given.Adapter, given.Weight)).ToList();
        var ranks = adapters.Select(given => Updates(given.Adapter, 1).Max(update => update.Down.shape[0])).ToList();
        if (kind is MergeKind.Linear or MergeKind.Ties or MergeKind.MagnitudePrune && ranks.Distinct().Count() > 1)
            throw new PerenosException($"The adapters have the ranks {string.Join(", ", ranks)}, which {kind} cannot join.", "Use cat or svd.");
        // With one adapter there is nothing to weigh against.
        kind = adapters.Count == 1 ? MergeKind.Linear : kind;
        long joint = kind switch { MergeKind.Cat => ranks.Sum(), MergeKind.Svd => rank ?? ranks.Max(), _ => ranks[0] };

        var tensors = new Dictionary<string, Tensor>();
        foreach (var layer in updates.GroupBy(update => update.Path))
        {
            var (down, up) = Join([.. layer], kind, density, joint);
            // Fewer ranks here than elsewhere: zeros add nothing.
            tensors.Add(layer.First().DownName, Padded(down, 0, joint));
            tensors.Add(layer.First().UpName, Padded(up, 1, joint));
        }

        foreach (var (adapter, _) in adapters)
            adapter.Detach();
        return PeftMethods.Build(PeftConfig.Made(Config(adapters, parts, joint), "the merged adapter"), new GivenWeights(tensors, "the merged adapter"), parts);
    }

    private sealed record Update(string Path, string DownName, string UpName, Tensor Down, Tensor Up, double Scale, double Weight)
    {
        public double Factor => Weight * Scale;
    }

    private static IEnumerable<Update> Updates(Adapter adapter, double weight)
    {
        foreach (var part in adapter.Parts)
        {
            yield return part switch
            {
                ProjectionPart { Update: LoraUpdate { Bias: null } lora } => new Update(part.Path, PeftNames.OnDisk(part.Path, "lora_A.weight"), PeftNames.OnDisk(part.Path, "lora_B.weight"), lora.Down, lora.Up, lora.Scale, weight),
                LoraEmbedding { HasMagnitude: false } table => new Update(part.Path, PeftNames.OnDisk(part.Path, "lora_embedding_A"), PeftNames.OnDisk(part.Path, "lora_embedding_B"), table.Down, table.Up, table.Scale, weight),
                _ => throw new PerenosException($"{part.Path}: only plain LoRA updates can be joined with others.", "Merge this adapter into the base instead."),
            };
        }
    }

    private static (Tensor Down, Tensor Up) Join(IReadOnlyList<Update> layer, MergeKind kind, double density, long rank)
    {
        switch (kind)
        {
            case MergeKind.Cat:
                return (cat([.. layer.Select(update => update.Down.Times(update.Factor))], 0), cat([.. layer.Select(update => update.Up)], 1));
            case MergeKind.Svd:
                var sum = layer.Select(update => update.Up.matmul(update.Down).Times(update.Factor)).Aggregate((left, right) => left.Plus(right));
                var (left, values, right) = linalg.svd(sum, fullMatrices: false);
                long kept = Math.Min(rank, values.shape[0]);
                return (right.narrow(0, 0, kept), left.narrow(1, 0, kept).mul(values.narrow(0, 0, kept)));
            default:
                // A negative weight must not cancel itself: its sign goes to one side only.
                double[] roots = [.. layer.Select(update => Math.Sqrt(Math.Abs(update.Factor)))];
                double[] signed = [.. layer.Select((update, place) => update.Factor < 0 ? -roots[place] : roots[place])];
                return (Weigh([.. layer.Select(update => update.Down)], signed, kind, density), Weigh([.. layer.Select(update => update.Up)], roots, kind, density));
        }
    }

    private static Tensor Weigh(IReadOnlyList<Tensor> tensors, double[] weights, MergeKind kind, double density)
    {
        if (kind != MergeKind.Linear && density < 1)
            tensors = [.. tensors.Select(tensor => Largest(tensor, density))];
        var stacked = stack(tensors.ToArray());
        var factors = tensor(weights.Select(weight => (float)weight).ToArray(), device: stacked.device).view(-1, 1, 1);
        if (kind != MergeKind.Ties)
            return stacked.mul(factors).sum(dim: 0L);
        // Elect the sign of the larger mass, then average over those that have it.
        var sum = stacked.sum(dim: 0L);
        var elected = where(sum.ge(zeros_like(sum)), ones_like(sum), ones_like(sum).neg());
        var agrees = stacked.sign().eq(elected).to(stacked.dtype);
        return stacked.mul(factors).mul(agrees).sum(dim: 0L).div(agrees.sum(dim: 0L).maximum(ones_like(sum)));
    }

    private static Tensor Largest(Tensor tensor, double density)
    {
        int count = (int)(density * tensor.numel());
        var flat = tensor.flatten();
        var places = flat.abs().topk(count).indexes;
        return zeros_like(flat).index_copy(0, places, flat.index_select(0, places)).view(tensor.shape);
    }

    private static Tensor Padded(Tensor tensor, int axis, long size)
    {
        if (tensor.shape[axis] == size)
            return tensor;
        long[] shape = [.. tensor.shape];
        shape[axis] = size - shape[axis];
        return cat([tensor, zeros(shape, tensor.dtype, tensor.device)], axis);
    }

    // The first adapter's, with the joint rank, an alpha that makes the plain factor 1, and all layers.
    private static JsonObject Config(IReadOnlyList<(Adapter Adapter, double Weight)> adapters, ModelParts parts, long rank)
    {
        var config = (JsonObject)adapters[0].Adapter.Config.DeepClone();
        config["r"] = rank;
        config["lora_alpha"] = rank;
        config["rank_pattern"] = new JsonObject();
        config["alpha_pattern"] = new JsonObject();
        config["exclude_modules"] = null;
        config["layers_to_transform"] = null;
        var paths = adapters.SelectMany(given => given.Adapter.Paths).ToHashSet();
        config["target_modules"] = new JsonArray([.. PeftNames.Shortest(paths, parts).Select(name => (JsonNode)name)]);
        return config;
    }
}
