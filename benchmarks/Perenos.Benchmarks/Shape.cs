using System.Text.Json.Nodes;
using Perenos.Text.Data;
using Perenos.Training;

namespace Perenos.Benchmarks;

/// <summary>Sizes of a Llama and of the batch it is trained on.</summary>
internal sealed record Shape(string Name, int Width, int Layers, int Heads, int KeyValueHeads, int InnerWidth, int Vocabulary, int Rows, int Length)
{
    internal const double RotaryBase = 10000;
    internal const double NormEpsilon = 1e-5;
    internal const double InitialSpread = 0.02;

    private static readonly Shape[] All =
    [
        // HuggingFaceTB/SmolLM2-135M
        new("smollm2-135m", 576, 30, 9, 3, 1536, 49152, 4, 256),
        // recipes/base/config.json with its batch
        new("base", 256, 6, 4, 2, 640, 8192, 16, 256),
        // To try the benchmark itself.
        new("tiny", 64, 2, 4, 2, 128, 512, 4, 32),
    ];

    internal int HeadSize => Width / Heads;

    /// <summary>Weights of all projections and the head: every one multiplies and adds once a token.</summary>
    internal long MultipliedWeights => Layers * ProjectionSizes().Sum(size => size.Inputs * size.Outputs) + (long)Width * Vocabulary;

    internal static Shape Named(string name) => All.First(shape => shape.Name == name);

    /// <summary>Operations of a step: two a weight and token forward, and as many for each of the two gradients, as far as they are wanted.</summary>
    internal double StepOperations(int? rank)
    {
        double tokens = (double)Rows * Length;
        double adapted = rank is null ? 0 : Layers * ProjectionSizes().Sum(size => rank.Value * (size.Inputs + size.Outputs));
        // Scores and mixture, causal: a token sees half of the others on average.
        double attention = 2.0 * Layers * Width * Length / 2;
        double frozen = rank is null ? 0 : MultipliedWeights;
        return 2 * tokens * (3 * (MultipliedWeights + adapted + attention) - frozen);
    }

    // Parsed again: the reader expects numbers as they come from a file.
    internal JsonObject Configuration() => JsonNode.Parse(new JsonObject
    {
        ["model_type"] = "llama",
        ["hidden_size"] = Width,
        ["num_hidden_layers"] = Layers,
        ["num_attention_heads"] = Heads,
        ["num_key_value_heads"] = KeyValueHeads,
        ["intermediate_size"] = InnerWidth,
        ["vocab_size"] = Vocabulary,
        ["max_position_embeddings"] = 2048,
        ["rms_norm_eps"] = NormEpsilon,
        ["rope_theta"] = RotaryBase,
        ["tie_word_embeddings"] = true,
        ["initializer_range"] = InitialSpread,
    }.ToJsonString())!.AsObject();

    /// <summary>Rows of Length + 1 random tokens, all learnt.</summary>
    internal Batch RandomBatch(ulong seed)
    {
        int Token(int row, int time) => (int)(Runs.Seed.Of(seed, "token", (ulong)(row * (Length + 1) + time)) % (ulong)Vocabulary);
        return Batch.Of([.. Enumerable.Range(0, Rows).Select(row => new Example(
            [.. Enumerable.Range(0, Length + 1).Select(time => Token(row, time))],
            [.. Enumerable.Range(0, Length + 1).Select(time => time > 0)],
            "random"))]);
    }

    private (long Inputs, long Outputs)[] ProjectionSizes()
    {
        long groups = KeyValueHeads * HeadSize;
        return [(Width, Width), (Width, groups), (Width, groups), (Width, Width), (Width, InnerWidth), (Width, InnerWidth), (InnerWidth, Width)];
    }
}
