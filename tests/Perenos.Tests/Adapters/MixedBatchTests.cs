using System.Text.Json.Nodes;
using Perenos.Adapters;
using Perenos.Checkpoints;
using Perenos.Generation;
using Perenos.Layers;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Tests.Checkpoints;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Adapters;

/// <summary>Rows of one batch with adapters of different kinds, and an adapter as mlx-lm writes it.</summary>
public sealed class MixedBatchTests
{
    // Logits of some tens, float32, in products of other shapes.
    private const double Tolerance = 1e-4;

    public static TheoryData<string> Models => ["llama", "gpt2", "llama tied"];

    [Theory]
    [MemberData(nameof(Models))]
    public void Prompts_prefixes_and_updates_serve_one_batch_and_give_the_logits_of_each_alone(string name)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start(name);
        var loras = new[] { 1UL, 2UL }.Select(seed => Off(Roughened(Lora.Start(model.Parts, new LoraConfig { Rank = 3, TrainableTokens = [2, 4] }, seed), seed))).ToList();
        var prompts = new int[][] { [1], [2, 3, 4], [5, 6], [7, 8, 9] }.Select(tokens => Off(PromptTuning.Start(model.Parts, tokens, seed: 1))).ToList();
        var prefix = Off(PrefixTuning.StartProjected(model.Parts, 2, 5, seed: 1));
        Adapter?[] rows = [loras[0], prompts[0], null, prompts[1], loras[1], prompts[2], prefix, prompts[3]];
        var tokens = tensor(TinyModel.Tokens(rows.Length * 6, seed: 6).Select(id => (long)id).ToArray(), [rows.Length, 6]);
        Tensor together, cached;
        using (MixedBatch.Attach(model.Parts, rows))
        {
            together = model.Logits(model.Hidden(tokens));
            using var cache = new KeyValueCache(model.Layers.Count, 6);
            cached = cat([model.Hidden(tokens.narrow(1, 0, 4), cache: cache), model.Hidden(tokens.narrow(1, 4, 1), cache: cache), model.Hidden(tokens.narrow(1, 5, 1), cache: cache)], 1);
            cached = model.Logits(cached);
        }

        Near.Equal(together, cached, Tolerance, "cached");
        for (int row = 0; row < rows.Length; row++)
        {
            rows[row]?.Attach();
            Near.Equal(model.Logits(model.Hidden(tokens.narrow(0, row, 1))), together.narrow(0, row, 1), Tolerance, $"row {row}");
            rows[row]?.Detach();
        }

        foreach (var adapter in rows.OfType<Adapter>())
            adapter.Dispose();
    }

    [Fact]
    public void Two_loras_four_prompts_and_the_base_write_in_one_batch_what_each_writes_alone()
    {
        using var model = TinyModel.Start("llama");
        var loras = new[] { 1UL, 2UL }.Select(seed => Off(Roughened(Lora.Start(model.Parts, new LoraConfig { Rank = 3 }, seed), seed)));
        var prompts = new int[][] { [1], [2, 3, 4], [5, 6], [7, 8, 9] }.Select(tokens => Off(PromptTuning.Start(model.Parts, tokens, seed: 1)));
        Adapter?[] rows = [.. loras, .. prompts, null];
        var settings = new GenerationConfig { MaxNewTokens = 6 };
        // Of one length: the generator then keeps the rows' order.
        var texts = rows.Select((_, row) => TinyModel.Tokens(5, seed: (ulong)row + 1)).ToList();
        IReadOnlyList<int[]> together;
        using (MixedBatch.Attach(model.Parts, rows))
            together = new TextGenerator(model, settings, []).Generate(texts, cancellation: TestContext.Current.CancellationToken);

        for (int row = 0; row < rows.Length; row++)
        {
            rows[row]?.Attach();
            Assert.Equal(Assert.Single(new TextGenerator(model, settings, []).Generate([texts[row]], cancellation: TestContext.Current.CancellationToken)), together[row]);
            rows[row]?.Detach();
        }

        Assert.True(together.Select(text => string.Join(' ', text)).Distinct().Count() > 3, "the rows should differ");
        foreach (var adapter in rows.OfType<Adapter>())
            adapter.Dispose();
    }

    [Fact]
    public void What_was_trained_in_place_cannot_differ_by_row()
    {
        using var model = TinyModel.Start("gpt2");
        using var norms = TunedNorms.Start(model.Parts, new NormConfig(), seed: 1);
        Assert.Throws<PerenosException>(() => MixedBatch.Attach(model.Parts, [norms, null]));
    }

    [Fact]
    public void A_batch_of_other_rows_is_refused()
    {
        using var model = TinyModel.Start("llama");
        using var lora = Lora.Start(model.Parts, new LoraConfig { Rank = 1 }, seed: 1);
        using var batch = MixedBatch.Attach(model.Parts, [lora, null]);
        Assert.Throws<PerenosException>(() => model.Hidden(zeros([3, 2], ScalarType.Int64)));
    }

    [Theory]
    [InlineData("lora")]
    [InlineData("dora")]
    public void An_adapter_as_mlx_writes_it_computes_what_its_peft_form_computes(string kind)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        using var work = new WorkFolder();
        using var model = TinyModel.Start("llama");
        var settings = new LoraConfig { Rank = 3, Alpha = 7.5, Targets = ["q_proj", "down_proj", .. kind == "lora" ? ["embed_tokens"] : Array.Empty<string>()] };
        using var peft = Roughened(kind == "lora" ? Lora.Start(model.Parts, settings, seed: 1) : Dora.Start(model.Parts, new DoraConfig { Rank = 3, Alpha = 7.5, Targets = settings.Targets }, seed: 1), 5);
        var tokens = tensor(TinyModel.Tokens(7, seed: 6).Select(id => (long)id).ToArray(), [1, 7]);
        var expected = model.Logits(model.Hidden(tokens));
        // Their names, and their matrices the other way round.
        SafetensorsWriter.Write(work.PathOf("adapters.safetensors"), peft.Weights.Select(weight => (Mlx(weight.Key), weight.Value.dim() == 2 ? weight.Value.t().contiguous() : weight.Value)));
        File.WriteAllText(work.PathOf("adapter_config.json"), new JsonObject
        {
            ["fine_tune_type"] = kind,
            ["num_layers"] = 2,
            ["lora_parameters"] = new JsonObject { ["rank"] = 3, ["scale"] = 2.5, ["dropout"] = 0.0 },
        }.ToJsonString());
        peft.Detach();
        using (PeftFolder.Open(work.Root, model.Parts))
            Near.Equal(expected, model.Logits(model.Hidden(tokens)), Tolerance, kind);

        SafetensorsWriter.Write(work.PathOf("adapters.safetensors"), [("model.layers.0.self_attn.q_proj.lora_c", zeros([2, 2]))]);
        Assert.Contains("lora_c", Assert.Throws<PerenosException>(() => PeftFolder.Open(work.Root, model.Parts)).Message, StringComparison.Ordinal);
        foreach (string scale in new[] { "1e999", "1e308" })
        {
            File.WriteAllText(work.PathOf("adapter_config.json"), $$$"""{"fine_tune_type": "lora", "lora_parameters": {"rank": 300, "scale": {{{scale}}}}}""");
            Assert.Contains("scale", Assert.Throws<PerenosException>(() => PeftFolder.Open(work.Root, model.Parts)).Message, StringComparison.Ordinal);
        }
    }

    private static string Mlx(string name) => name["base_model.model.".Length..]
        .Replace("lora_A.weight", "lora_a", StringComparison.Ordinal).Replace("lora_B.weight", "lora_b", StringComparison.Ordinal)
        .Replace("lora_embedding_A", "lora_a", StringComparison.Ordinal).Replace("lora_embedding_B", "lora_b", StringComparison.Ordinal)
        .Replace("lora_magnitude_vector", "m", StringComparison.Ordinal);

    private static Adapter Off(Adapter adapter)
    {
        adapter.Detach();
        return adapter;
    }

    private static Adapter Roughened(Adapter adapter, ulong seed)
    {
        using var quiet = no_grad();
        foreach (var (name, weight) in adapter.Weights)
        {
            using var scope = NewDisposeScope();
            using var generator = new Generator(Perenos.Runs.Seed.Of(seed, name));
            weight.add_(randn(weight.shape, generator: generator).mul(0.2));
        }

        return adapter;
    }
}
