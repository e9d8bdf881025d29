using System.Text.Json.Nodes;
using Perenos.Layers;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>
/// Prefix tuning: every layer sees trained keys and values before those of the text (Li and Liang 2021, https://arxiv.org/abs/2101.00190).
/// They are used as they are, without rotary positions and without a norm on keys. L layers, G heads of keys and values, D head size.
/// </summary>
public static class PrefixTuning
{
    internal const string Method = "PREFIX_TUNING";

    /// <summary>A prefix that starts as the keys and values of a text, attached.</summary>
    /// <param name="parts">The model's parts.</param>
    /// <param name="start">(2 · L, 1, G, N, D): keys and values that the model had for a text of N tokens.</param>
    public static Adapter Start(ModelParts parts, Tensor start)
    {
        using var scope = NewDisposeScope();
        // (2 L, 1, G, N, D) -> (N, 2 L · G · D)
        var flat = start.detach().squeeze(1).permute(2, 0, 1, 3).flatten(1).to(ScalarType.Float32);
        return PeftMethods.Start(Describe(parts, (int)flat.shape[0], hidden: null), parts, seed: 0, start: flat);
    }

    /// <summary>A prefix that a small network computes from trained vectors, attached; it starts at random.</summary>
    /// <param name="parts">The model's parts.</param>
    /// <param name="count">Virtual tokens, N.</param>
    /// <param name="hidden">Width inside the network.</param>
    /// <param name="seed">Seed of its weights.</param>
    public static Adapter StartProjected(ModelParts parts, int count, int hidden, ulong seed) =>
        PeftMethods.Start(Describe(parts, count, hidden), parts, seed);

    internal static UpdateDropout? Place(PeftConfig config, AdapterWeights weights, ModelParts parts, List<AdapterPart> pieces)
    {
        config.RefuseUnknown("num_virtual_tokens", "token_dim", "num_attention_heads", "num_layers", "encoder_hidden_size", "prefix_projection");
        var shapes = parts.KeyValueShapes;
        var (heads, width) = ((long)config.Size("num_attention_heads"), (long)config.Size("token_dim"));
        if (shapes.Count != config.Size("num_layers") || width % heads != 0 || shapes.Any(shape => shape != new KeyValueShape(heads, width / heads)))
        {
            throw new PerenosException(
                $"{config.Location}: the prefix is for {config.Size("num_layers")} layers of {heads} heads of {width / (double)heads}, but the model has {shapes.Count} layers of {string.Join(" or ", shapes.Distinct().Select(shape => $"{shape.Heads} heads of {shape.Size}"))}.",
                "Use the base that the adapter was trained on.");
        }

        var (count, full) = ((long)config.Size("num_virtual_tokens"), 2 * shapes.Count * width);
        var like = parts.Embeddings[0].Weight;
        if (config.Flag("prefix_projection") && weights.IsFresh)
        {
            long hidden = config.Size("encoder_hidden_size");
            var encoder = new EncoderWeights(weights, like);
            var table = encoder.Normal("encoder.embedding.weight", count, width);
            var (inner, outer) = (encoder.Linear("encoder.transform.0", width, hidden), encoder.Linear("encoder.transform.2", hidden, full));
            pieces.Add(new PrefixPart(parts, count, heads, encoder.Taken, () => outer.Apply(inner.Apply(table).tanh())));
            return null;
        }

        var vectors = weights.Take("", "prompt_embeddings", [count, full], like, generator => randn([count, full], generator: generator)).DetachFromDisposeScope();
        pieces.Add(new PrefixPart(parts, count, heads, [("prompt_embeddings", vectors)], () => vectors));
        return null;
    }

    // With grouped queries PEFT keeps the sizes of keys and values under the names of the base's.
    private static JsonObject Describe(ModelParts parts, int count, int? hidden)
    {
        var shapes = parts.KeyValueShapes;
        if (shapes.Distinct().Count() > 1)
            throw new PerenosException("The layers of this model have keys and values of different sizes, which PEFT's prefix has no form for.", "Use method prompt.");
        var config = PromptTuning.Describe(parts, Method, count);
        config["token_dim"] = shapes[0].Heads * shapes[0].Size;
        config["encoder_hidden_size"] = hidden ?? (int)parts.Embeddings[0].Width;
        config["prefix_projection"] = hidden is not null;
        return config;
    }
}

/// <summary>A trained prefix in its slot.</summary>
/// <param name="parts">The model's parts.</param>
/// <param name="count">Virtual tokens, N.</param>
/// <param name="heads">Heads of keys and values, G.</param>
/// <param name="weights">What learns.</param>
/// <param name="compute">(N, 2 L · G · D).</param>
internal sealed class PrefixPart(
    ModelParts parts, long count, long heads, IReadOnlyList<(string Name, Tensor Tensor)> weights, Func<Tensor> compute) : AdapterPart, IKeyValuePrefix
{
    public override string Path => "prefix";

    public override bool IsSpared => true;

    public override IEnumerable<(string Name, Tensor Tensor)> Weights => weights;

    public override IEnumerable<(string Name, Tensor Tensor)> Saved
    {
        get
        {
            using var quiet = no_grad();
            yield return ("prompt_embeddings", compute());
        }
    }

    public override string WhyNotMerged => "keys and values of virtual tokens are no weights of the base";

    public long Count => count;

    public Tensor KeysAndValues()
    {
        using var scope = NewDisposeScope();
        long slots = 2 * parts.KeyValueShapes.Count;
        // (N, 2 L · G · D) -> (2 L, G, N, D) -> (2 L, 1, G, N, D)
        return compute().view(count, slots, heads, -1).permute(1, 2, 0, 3).unsqueeze(1).MoveToOuterDisposeScope();
    }

    public override void Attach()
    {
        if (parts.Prefix is not null)
            throw new PerenosException("The model has a prefix already.", "Detach it first.");
        parts.Prefix = this;
    }

    public override void Detach() => parts.Prefix = null;

    public override void Merge() => throw new InvalidOperationException(WhyNotMerged);

    public override void Unmerge() => throw new InvalidOperationException(WhyNotMerged);

    public override void Dispose()
    {
        foreach (var (_, tensor) in weights)
            tensor.Dispose();
    }
}
