using System.Text.Json.Nodes;
using Perenos.Layers;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>
/// Prompt tuning: vectors that stand before the embedded text learn, and nothing else (Lester et al. 2021, https://arxiv.org/abs/2104.08691).
/// What they start from decides whether they learn at all: rows of the embedding, of sampled tokens or of a text.
/// </summary>
public static class PromptTuning
{
    internal const string Method = "PROMPT_TUNING";

    /// <summary>A prompt that starts as the embedding of these tokens, attached; as many virtual tokens as there are tokens.</summary>
    public static Adapter Start(ModelParts parts, IReadOnlyList<int> tokens, ulong seed) =>
        Start(parts, [.. tokens.Select(token => (IReadOnlyList<int>)[token])], seed);

    /// <summary>A prompt whose vectors start as the mean embedding of some tokens each, such as those of a class label; attached.</summary>
    public static Adapter Start(ModelParts parts, IReadOnlyList<IReadOnlyList<int>> tokens, ulong seed)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        var rows = cat([.. tokens.Select(group => Rows(parts, group).mean([0], keepdim: true))], 0);
        var config = Describe(parts, Method, tokens.Count);
        config["prompt_tuning_init"] = "RANDOM";
        config["prompt_tuning_init_text"] = null;
        config["tokenizer_kwargs"] = null;
        config["tokenizer_name_or_path"] = null;
        return PeftMethods.Start(config, parts, seed, start: rows);
    }

    /// <summary>Tokens drawn from the vocabulary, the same for the same seed.</summary>
    public static IReadOnlyList<int> Sample(int vocabulary, int count, ulong seed) =>
        [.. Enumerable.Range(0, count).Select(place => (int)(Seed.Of(seed, "prompt token", (ulong)place) % (ulong)vocabulary))];

    /// <summary>The tokens of a text, repeated or cut to a number.</summary>
    public static IReadOnlyList<int> Fit(IReadOnlyList<int> tokens, int count) =>
        [.. Enumerable.Range(0, count).Select(place => tokens[place % tokens.Count])];

    /// <summary>Rows of the embedding, [tokens, width], float32.</summary>
    internal static Tensor Rows(ModelParts parts, IReadOnlyList<int> tokens)
    {
        var table = parts.Embeddings[0].Weight;
        return table.index_select(0, tensor(tokens.Select(token => (long)token).ToArray(), device: table.device)).to(ScalarType.Float32);
    }

    /// <summary>Root mean square of the embedding's entries: the scale on which a prompt moves.</summary>
    internal static double Scale(ModelParts parts)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        return Math.Sqrt(parts.Embeddings[0].Weight.to(ScalarType.Float32).square().mean().item<float>());
    }

    internal static UpdateDropout? Place(PeftConfig config, AdapterWeights weights, ModelParts parts, List<AdapterPart> pieces)
    {
        config.RefuseUnknown("num_virtual_tokens", "token_dim", "num_attention_heads", "num_layers",
            "prompt_tuning_init", "prompt_tuning_init_text");
        pieces.Add(new PromptPart(parts, TakeVectors(config, weights, parts)));
        return null;
    }

    /// <summary>The vectors [N, width] as PEFT keeps them.</summary>
    internal static Tensor TakeVectors(PeftConfig config, AdapterWeights weights, ModelParts parts)
    {
        var embedding = parts.Embeddings[0];
        if (config.Json["num_transformer_submodules"] is { } submodules && config.Size(submodules, "num_transformer_submodules") != 1)
            throw config.NotImplemented("num_transformer_submodules");
        long[] shape = [config.Size("num_virtual_tokens"), embedding.Width];
        return weights.Take("", "prompt_embeddings", shape, embedding.Weight, generator => randn(shape, generator: generator));
    }

    // The keys that all kinds of virtual tokens share; PEFT reads sizes of the base there.
    internal static JsonObject Describe(ModelParts parts, string method, int count)
    {
        var shapes = parts.KeyValueShapes;
        return new JsonObject
        {
            ["auto_mapping"] = null,
            ["inference_mode"] = true,
            ["num_attention_heads"] = shapes[0].Heads,
            ["num_layers"] = shapes.Count,
            ["num_transformer_submodules"] = 1,
            ["num_virtual_tokens"] = count,
            ["peft_type"] = method,
            ["revision"] = null,
            ["task_type"] = "CAUSAL_LM",
            ["token_dim"] = parts.Embeddings[0].Width,
        };
    }
}

/// <summary>Trained vectors in the slot before the embedded text.</summary>
internal sealed class PromptPart(ModelParts parts, Tensor vectors) : AdapterPart, IPromptVectors
{
    private readonly Tensor _vectors = vectors.DetachFromDisposeScope();

    public override string Path => "prompt";

    public override bool IsSpared => true;

    public override IEnumerable<(string Name, Tensor Tensor)> Weights => [("prompt_embeddings", _vectors)];

    public override string WhyNotMerged => "virtual tokens are no weights of the base";

    public long Count => _vectors.shape[0];

    public Tensor Vectors() => _vectors.unsqueeze(0);

    public override void Attach() => PromptSlot.Fill(parts, this);

    public override void Detach() => parts.Prompt = null;

    public override void Merge() => throw new InvalidOperationException(WhyNotMerged);

    public override void Unmerge() => throw new InvalidOperationException(WhyNotMerged);

    public override void Dispose() => _vectors.Dispose();
}

/// <summary>The slot before the text holds one prompt.</summary>
internal static class PromptSlot
{
    public static void Fill(ModelParts parts, IPromptVectors prompt)
    {
        if (parts.Prompt is not null)
            throw new PerenosException("The model has a prompt already.", "Detach it first, or give each row of a batch its own.");
        parts.Prompt = prompt;
    }
}
