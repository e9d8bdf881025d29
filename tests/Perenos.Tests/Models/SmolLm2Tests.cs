using System.Text.Json.Nodes;
using Perenos.Adapters;
using Perenos.Checkpoints;
using Perenos.Evaluation;
using Perenos.Generation;
using Perenos.Models;
using Perenos.Recipes;
using Perenos.Runs.Config;
using Perenos.Testing;
using Perenos.Text.Data;
using Perenos.Text.Templates;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Models;

/// <summary>A real model from its GGUF file, end to end, against transformers (the fixtures' READMEs have the definitions).</summary>
[Trait("speed", "slow")]
public sealed class SmolLm2Tests
{
    // Between float32 implementations, as the fixtures' READMEs say.
    private const double LogitTolerance = 2e-3;
    private const double LikelihoodTolerance = 1e-5;
    private const double BFloat16LikelihoodTolerance = 7e-3;

    [Fact]
    public void Logits_likelihoods_and_continuations_are_those_of_the_reference()
    {
        var (folder, expected) = OpenOrSkip("gguf", "smollm2");
        using var pretrained = Pretrained.Open(Gguf, ScalarType.Float32);
        using var values = SafetensorsFile.Open(Path.Combine(folder, "expected.safetensors"));
        foreach (var (name, text) in expected["texts"]!.AsObject())
            CompareText(pretrained, values, name, text!);
        var chats = expected["chats"]!.AsArray();
        Assert.NotEmpty(chats);
        foreach (var chat in chats)
            CompareChat(pretrained, chat!);
    }

    [Fact]
    public void Without_the_files_beside_it_the_gguf_file_says_the_same()
    {
        var (_, expected) = OpenOrSkip("gguf", "smollm2");
        using var work = new Checkpoints.WorkFolder();
        string alone = work.PathOf("alone.gguf");
        File.CreateSymbolicLink(alone, Gguf);
        using var pretrained = Pretrained.Open(alone, ScalarType.Float32);
        CompareChat(pretrained, expected["chats"]![0]!);
    }

    [Fact]
    public void In_bfloat16_the_likelihood_stays_within_what_bfloat16_costs()
    {
        var (_, expected) = OpenOrSkip("gguf", "smollm2");
        using var pretrained = Pretrained.Open(Gguf, ScalarType.BFloat16);
        foreach (var (name, text) in expected["texts"]!.AsObject())
        {
            double nats = Nats(pretrained, text!, prefix: null);
            double reference = text!["nll_nats"]!.GetValue<double>();
            Assert.True(Math.Abs(nats - reference) < BFloat16LikelihoodTolerance * reference, $"{name}: {nats:F3} instead of {reference:F3}");
        }
    }

    [Fact]
    public void A_real_adapter_gives_the_logits_and_translations_of_peft()
    {
        var (folder, expected) = OpenOrSkip("real-adapter", "smollm2-weather-lora");
        using var pretrained = Pretrained.Open(Gguf, ScalarType.Float32);
        using var lora = PeftFolder.Open(folder, pretrained.Model.Parts);
        using var values = SafetensorsFile.Open(Path.Combine(folder, "expected.safetensors"));
        var cases = expected["cases"]!.AsArray();
        Assert.NotEmpty(cases);
        for (int index = 0; index < cases.Count; index++)
        {
            using var scope = NewDisposeScope();
            using var quiet = no_grad();
            Tensor Read(string name) => Kept(scope, values.Read($"{index}.{name}"));
            var tokens = Read("input_ids").view(1, -1);
            int[] prompt = Ids(tokens);
            Assert.Equal(prompt, pretrained.Tokenizer.Encode(cases[index]!["prompt"]!.ToString()));

            var logits = pretrained.Model.Logits(pretrained.Model.Hidden(tokens))[0];
            Near.Equal(Read("top_values"), logits.gather(1, Read("top_ids")), LogitTolerance, $"case {index}");
            Near.Equal(Read("last_logits"), logits[-1], LogitTolerance, $"case {index}, last");
            lora.Detach();
            Near.Equal(Read("base_last_logits"), pretrained.Model.Logits(pretrained.Model.Hidden(tokens))[0, -1], LogitTolerance, $"case {index}, base");
            lora.Attach();

            int safe = cases[index]!["safe_tokens"]!.GetValue<int>();
            int[] generated = Ids(Read("generated"));
            var stream = new TextGenerator(pretrained.Model, new GenerationConfig { MaxNewTokens = Math.Min(safe, generated.Length) }, pretrained.StopTokens).Stream(prompt);
            Assert.Equal(generated.Take(safe).TakeWhile(token => !pretrained.StopTokens.Contains(token)), stream);
        }
    }

    [Fact]
    public void Unstopped_continuations_are_those_of_the_harness()
    {
        var requests = JsonNode.Parse(File.ReadAllText(Shared.ParityOrSkip("scoring", "greedy_until.json")))!["requests"]!.AsArray();
        Assert.NotEmpty(requests);
        using var pretrained = Pretrained.Open(Gguf, ScalarType.Float32);
        int compared = 0;
        foreach (var request in requests)
        {
            int[] expected = Numbers(request!["unstopped_greedy_ids"]!);
            // A near-tie may fall either way in another implementation, and everything after it with it.
            var margins = request["top1_minus_top2_logit"]!.AsArray().Select(margin => margin!.GetValue<double>());
            int safe = margins.TakeWhile(margin => margin >= 0.02).Count();
            compared += safe;
            int[] prompt = pretrained.Tokenizer.Encode(request["prompt"]!.ToString());
            Assert.Equal(Numbers(request["prompt_ids"]!), prompt);
            if (safe == 0)
                continue;
            var stream = new TextGenerator(pretrained.Model, new GenerationConfig { MaxNewTokens = safe }, []).Stream(prompt);
            Assert.Equal(expected.Take(safe), stream);
        }

        Assert.True(compared > 20, $"only {compared} tokens compared");
    }

    private static void CompareText(Pretrained pretrained, SafetensorsFile values, string name, JsonNode text)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        Tensor Read(string key) => Kept(scope, values.Read(key));
        int[] ids = pretrained.Tokenizer.Encode(text["text"]!.ToString());
        Assert.Equal(Ids(Read($"{name}/ids")), ids);

        var expected = Read($"{name}/logits"); // (64, 512): the first places, some columns
        var tokens = tensor(ids.Take((int)expected.shape[0]).Select(id => (long)id).ToArray(), [1, expected.shape[0]]);
        var logits = pretrained.Model.Logits(pretrained.Model.Hidden(tokens))[0];
        Near.Equal(expected, logits.index_select(1, Read("logit_columns")), LogitTolerance, name);
        Near.Equal(Read($"{name}/top_logits"), logits.gather(1, Read($"{name}/top_ids")), LogitTolerance, name);

        foreach (var (key, prefix) in new[] { ("", (int?)null), ("_with_bos_prefix", pretrained.BeginToken) })
        {
            double reference = text[$"nll_nats{key}"]!.GetValue<double>();
            double nats = Nats(pretrained, text, prefix);
            Assert.True(Math.Abs(nats - reference) < LikelihoodTolerance * reference, $"{name}{key}: {nats:F4} instead of {reference:F4}");
            double bitsPerByte = nats / (Math.Log(2) * text["utf8_bytes"]!.GetValue<double>());
            Assert.Equal(text[$"bits_per_byte{key}"]!.GetValue<double>(), bitsPerByte, LikelihoodTolerance * bitsPerByte);
        }
    }

    private static void CompareChat(Pretrained pretrained, JsonNode chat)
    {
        var messages = chat["messages"]!.AsArray().Select(message => new ChatMessage(message!["role"]!.ToString(), message["content"]!.ToString())).ToList();
        int[] prompt = Numbers(chat["prompt_ids"]!);
        var record = new ConversationRecord([.. messages, new ChatMessage(ChatMessage.Assistant, "answer")]) { Source = "chat", Group = "chat" };
        Assert.Equal(prompt, Rendering.For(pretrained, "auto").RenderPrompt(record));

        int safe = chat["safe_tokens"]!.GetValue<int>();
        int[] expected = Numbers(chat["continuation_ids"]!);
        var stream = new TextGenerator(pretrained.Model, new GenerationConfig { MaxNewTokens = Math.Min(safe, expected.Length) }, []).Stream(prompt);
        Assert.Equal(expected.Take(safe), stream);
    }

    private static double Nats(Pretrained pretrained, JsonNode text, int? prefix) =>
        new RollingLikelihood(pretrained.Model, pretrained.Tokenizer, prefix, Window: 2048).Score([text["text"]!.ToString()]).Single().Nats;

    private static string Gguf => Shared.SharedOrSkip("models", "smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf");

    private static (string Folder, JsonNode Expected) OpenOrSkip(string set, string name)
    {
        string path = Shared.ParityOrSkip(set, name, "expected.json");
        Assert.NotEmpty(Gguf);
        return (Path.GetDirectoryName(path)!, JsonNode.Parse(File.ReadAllText(path))!);
    }

    private static Tensor Kept(DisposeScope scope, Tensor tensor)
    {
        scope.Attach(tensor);
        return tensor;
    }

    private static int[] Ids(Tensor tensor) => [.. tensor.flatten().data<long>().Select(id => (int)id)];

    private static int[] Numbers(JsonNode ids) => [.. ids.AsArray().Select(id => id!.GetValue<int>())];
}
