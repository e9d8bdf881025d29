using System.Text;
using System.Text.Json.Nodes;
using Perenos.Evaluation;
using Perenos.Models;
using Perenos.Testing;
using Perenos.Text.Tokenization;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Evaluation;

/// <summary>Likelihood of documents: windows, closed forms, an independent count, and the field's harness (the fixtures' README has the definitions).</summary>
public sealed class RollingLikelihoodTests
{
    // Sums of float32 losses in another order.
    private const double RoundingTolerance = 1e-4;

    private static readonly string[] Documents =
    [
        "Vent d'ouest — 40 %", "", "a", " two  words\n", "The wind blows from the west; the wind is strong. Le vent souffle de l'ouest.",
    ];

    public static TheoryData<int?, int, int> Slides => new()
    {
        { 0, 8, 1 }, { 0, 8, 3 }, { 0, 8, 8 }, { 0, 1, 1 }, { 0, 100, 1 }, { null, 8, 1 }, { null, 8, 5 }, { null, 1, 1 }, { null, 100, 1 },
    };

    [Theory]
    [MemberData(nameof(Slides))]
    public void Every_token_is_predicted_once_with_at_least_the_context_asked_for(int? prefix, int window, int context)
    {
        using var model = TinyModel.Start("llama");
        var rolling = new RollingLikelihood(model, TinyModel.ByteTokenizer(), prefix, window, context);
        for (int length = 0; length < 40; length++)
        {
            int[] ids = [.. Enumerable.Range(100, length)];
            List<int> predicted = [];
            foreach (var example in rolling.Windows(ids, "document"))
            {
                Assert.True(example.Ids.Length <= window + 1);
                int first = Array.IndexOf(example.IsLearnt, true);
                Assert.All(example.IsLearnt[first..], Assert.True);
                // All that stands before a token of the first window is the prefix and the document's beginning.
                bool isFirst = predicted.Count == 0;
                Assert.True(isFirst ? first == 1 || prefix is null : first >= context, $"{first} tokens of context");
                int place = isFirst && prefix is not null ? -1 : example.Ids[0] - 100;
                Assert.Equal(place < 0 ? [prefix!.Value, .. ids[..(example.Ids.Length - 1)]] : ids[place..(place + example.Ids.Length)], example.Ids);
                predicted.AddRange(example.Ids[first..]);
            }

            Assert.Equal(prefix is null ? ids.Skip(1) : ids, predicted);
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(null)]
    public void A_model_that_knows_nothing_pays_the_logarithm_of_its_vocabulary(int? prefix)
    {
        var tokenizer = TinyModel.ByteTokenizer();
        using var model = Uniform(tokenizer);
        var scores = new RollingLikelihood(model, tokenizer, prefix, Window: 16, Context: 4).Score(Documents);
        for (int index = 0; index < Documents.Length; index++)
        {
            long bytes = Encoding.UTF8.GetByteCount(Documents[index]);
            long tokens = prefix is null ? Math.Max(0, bytes - 1) : bytes;
            Assert.Equal(bytes, scores[index].Bytes);
            Assert.Equal(tokens, scores[index].Tokens);
            Assert.Equal(tokens * Math.Log(tokenizer.VocabularySize), scores[index].Nats, RoundingTolerance);
        }

        Assert.Equal([5, 1, 1, 4, 15], scores.Select(score => score.Words));
    }

    [Theory]
    [InlineData("llama", 8, 1)]
    [InlineData("llama", 8, 5)]
    [InlineData("gpt2", 12, 12)]
    [InlineData("gpt2", 40, 1)]
    public void Each_token_costs_what_a_forward_over_its_window_says(string name, int window, int context)
    {
        var tokenizer = TinyModel.ByteTokenizer();
        using var model = TinyModel.Start(name, vocabulary: tokenizer.VocabularySize);
        var rolling = new RollingLikelihood(model, tokenizer, Prefix: 0, window, context);
        List<int> finished = [];
        var scores = rolling.Score(Documents, finished.Add);
        Assert.Equal(Documents.Length, finished[^1]);
        for (int index = 0; index < Documents.Length; index++)
        {
            int[] ids = [0, .. tokenizer.Encode(Documents[index])];
            double nats = 0;
            // The harness's rule, token by token: window k ends after its share of predictions and looks back as far as it may.
            for (int place = 1; place < ids.Length; place++)
            {
                int end = place <= window ? Math.Min(ids.Length, window + 1) : EndOfWindow(place, ids.Length, window, context);
                int start = Math.Max(0, end - window - 1);
                nats -= LogProbability(model, ids[start..place], ids[place]);
            }

            Assert.Equal(nats, scores[index].Nats, RoundingTolerance * Math.Max(1, nats));
        }
    }

    [Fact]
    public void Ratios_are_taken_after_the_sums()
    {
        // 6 nats over 3 tokens, 2 words and 12 bytes, and 2 nats over 1 token, 2 words and 4 bytes.
        var scores = TextLikelihood.Scores([new(6, 3, 12, 2), new(2, 1, 4, 2)], "signature").ToDictionary(score => score.Name, score => score.Value);
        Assert.Equal(2, scores["nats per token"], 1e-12);
        Assert.Equal(Math.Exp(2), scores["perplexity per token"], 1e-12);
        Assert.Equal(Math.Exp(2), scores["perplexity per word"], 1e-12);
        Assert.Equal(Math.Exp(0.5), scores["perplexity per byte"], 1e-12);
        Assert.Equal(0.5 / Math.Log(2), scores["bits per byte"], 1e-12);
    }

    [Fact]
    public void Windows_counts_and_ratios_are_those_of_the_harness()
    {
        var (fixture, tokenizer) = HarnessFixture.OpenOrSkip();
        using var model = Uniform(tokenizer);
        var rolling = new RollingLikelihood(model, tokenizer, fixture["prefix_token_id"]!.GetValue<int>(), fixture["max_length"]!.GetValue<int>());
        var documents = fixture["documents"]!.AsArray();
        Assert.NotEmpty(documents);
        var scores = rolling.Score([.. documents.Select(document => document!["text"]!.ToString())]);
        foreach (var (document, score) in documents.Zip(scores))
        {
            Assert.Equal(document!["tokens"]!.GetValue<long>(), score.Tokens);
            Assert.Equal(document["words"]!.GetValue<long>(), score.Words);
            Assert.Equal(document["utf8_bytes"]!.GetValue<long>(), score.Bytes);
            int[] ids = tokenizer.Encode(document["text"]!.ToString());
            Assert.Equal(
                document["windows"]!.AsArray().Select(window => (window!["context_tokens"]!.GetValue<int>(), window["first_context_id"]!.GetValue<int>(), window["predicted_tokens"]!.GetValue<int>())),
                rolling.Windows(ids, "document").Select(window => (window.IsLearnt.Count(isLearnt => !isLearnt), window.Ids[0], window.LearntTokens)));
        }

        CompareResults(fixture, [.. documents.Zip(scores, (document, score) => score with { Nats = -document!["loglikelihood_sum"]!.GetValue<double>() })], relative: 1e-9);
    }

    [Fact]
    [Trait("speed", "slow")]
    public void Likelihoods_are_those_of_the_harness()
    {
        var (fixture, _) = HarnessFixture.OpenOrSkip();
        using var pretrained = Pretrained.Open(HarnessFixture.Model, ScalarType.Float32);
        var rolling = new RollingLikelihood(pretrained.Model, pretrained.Tokenizer, fixture["prefix_token_id"]!.GetValue<int>(), fixture["max_length"]!.GetValue<int>());
        Assert.Equal(rolling.Prefix, pretrained.BeginToken);
        var documents = fixture["documents"]!.AsArray();
        var scores = rolling.Score([.. documents.Select(document => document!["text"]!.ToString())]);
        foreach (var (document, score) in documents.Zip(scores))
        {
            double expected = -document!["loglikelihood_sum"]!.GetValue<double>();
            // As the fixtures' README says.
            Assert.Equal(expected, score.Nats, 1e-3 + 1e-4 * expected);
        }

        CompareResults(fixture, scores, relative: 1e-4);
    }

    private static void CompareResults(JsonNode fixture, IReadOnlyList<DocumentLikelihood> scores, double relative)
    {
        var names = new Dictionary<string, string>
        {
            ["word_perplexity"] = "perplexity per word",
            ["byte_perplexity"] = "perplexity per byte",
            ["bits_per_byte"] = "bits per byte",
        };
        var actual = TextLikelihood.Scores(scores, "signature").ToDictionary(score => score.Name, score => score.Value);
        foreach (var (name, value) in fixture["results"]!.AsObject())
            Assert.Equal(value!.GetValue<double>(), actual[names[name]], relative * value.GetValue<double>());
    }

    // Windows after the first predict (window − context + 1) tokens each; the last one ends with the document.
    private static int EndOfWindow(int place, int length, int window, int context)
    {
        int end = window + 1;
        while (end <= place)
            end += window - context + 1;
        return Math.Min(end, length);
    }

    private static double LogProbability(CausalModel model, int[] context, int next)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        var tokens = tensor(context.Select(id => (long)id).ToArray(), [1, context.Length]);
        var logits = model.Logits(model.Hidden(tokens))[0, context.Length - 1].to(ScalarType.Float64);
        return nn.functional.log_softmax(logits, 0)[next].item<double>();
    }

    // A head of zeros: every token is as likely as every other.
    private static CausalModel Uniform(Tokenizer tokenizer)
    {
        using var quiet = no_grad();
        var model = TinyModel.Start("llama", vocabulary: tokenizer.VocabularySize);
        model.Head.Weight.zero_();
        return model;
    }

    /// <summary>The harness's numbers and the model on which they were computed.</summary>
    private static class HarnessFixture
    {
        public static string Model => Shared.SharedOrSkip("models", "smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf");

        public static (JsonNode Fixture, Tokenizer Tokenizer) OpenOrSkip()
        {
            string path = Shared.ParityOrSkip("scoring", "rolling.json");
            return (JsonNode.Parse(File.ReadAllText(path))!, Tokenizer.Load(Path.Combine(Path.GetDirectoryName(Model)!, "tokenizer.json")));
        }
    }
}
