using System.Text.Json.Nodes;
using Perenos.Adapters;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Tests.Checkpoints;
using Perenos.Text.Data;
using Perenos.Training;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Adapters;

/// <summary>The same questions to every adapter on every family.</summary>
public sealed class AdapterConformanceTests
{
    // One rounding of the weight instead of one of the output, over two layers.
    private const double MergeTolerance = 2e-5;

    private static readonly Dictionary<string, LoraConfig> Options = new()
    {
        ["all linear layers"] = new LoraConfig { Rank = 4, Alpha = 8 },
        ["rank-stabilized"] = new LoraConfig { Rank = 3, Alpha = 2, IsRankStabilized = true },
        ["attention, by expression"] = new LoraConfig { Rank = 1, Alpha = 1, Targets = [@"re:.*(attn|attention)\..*"] },
        ["with head and dropout"] = new LoraConfig { Rank = 5, Alpha = 10, Targets = ["all-linear", "lm_head"], Dropout = 0.3 },
    };

    public static TheoryData<string, string> Pairs()
    {
        var pairs = new TheoryData<string, string>();
        foreach (string model in TinyModel.Names)
        {
            foreach (string option in Options.Keys)
                pairs.Add(model, option);
        }

        return pairs;
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void A_fresh_adapter_changes_no_bit_of_the_output(string name, string option)
    {
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start(name);
        var expected = Logits(model);
        using var lora = Start(model, option);
        Assert.True(expected.equal(Logits(model)).all().item<bool>());
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Only_the_adapter_trains_and_without_it_the_base_is_back_bit_for_bit(string name, string option)
    {
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start(name);
        var baseLogits = Logits(model);
        var baseWeights = model.Parts.Weights.Values.Select(weight => weight.clone()).ToList();
        using var lora = Start(model, option);
        long formula = lora.Placements.Sum(placement => placement.Rank * (placement.Target.Inputs + placement.Target.Outputs));
        Assert.Equal(formula, lora.Weights.Values.Sum(weight => weight.numel()));

        var before = lora.Weights.Values.Select(weight => weight.clone()).ToList();
        Train(model, lora);
        foreach (var ((key, weight), start) in lora.Weights.Zip(before))
            Assert.True(Near.Largest(start, weight) > 1e-3, $"{key} has not moved");
        foreach (var ((key, weight), start) in model.Parts.Weights.Zip(baseWeights))
        {
            Assert.True(start.equal(weight).all().item<bool>(), key);
            Assert.False(weight.requires_grad);
        }

        var adapted = Logits(model);
        Assert.True(Near.Largest(baseLogits, adapted) > 0.01);
        lora.Detach();
        Assert.True(baseLogits.equal(Logits(model)).all().item<bool>());
        lora.Attach();
        Assert.True(adapted.equal(Logits(model)).all().item<bool>());
        lora.Dispose();
        Assert.True(baseLogits.equal(Logits(model)).all().item<bool>());
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Merging_gives_the_same_logits_and_unmerging_the_same_bits(string name, string option)
    {
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start(name);
        using var lora = Start(model, option);
        Train(model, lora);
        var adapted = Logits(model);
        var before = model.Parts.Weights.Values.Select(weight => weight.clone()).ToList();
        if (lora.Placements.Any(placement => placement.Target.IsTied))
        {
            // Merged into the embedding, the update would change what goes in as well as what comes out.
            var problem = Assert.Throws<PerenosException>(lora.Merge);
            Assert.Contains(model.Head.Path, problem.Message, StringComparison.Ordinal);
            Assert.True(adapted.equal(Logits(model)).all().item<bool>());
            return;
        }

        lora.Merge();
        Assert.All(model.Parts.Projections, projection => Assert.Null(projection.Adapter));
        Near.Equal(adapted, Logits(model), MergeTolerance * Math.Max(1, adapted.abs().max().item<float>()), "merged");
        lora.Unmerge();
        Assert.True(adapted.equal(Logits(model)).all().item<bool>());
        foreach (var ((key, weight), start) in model.Parts.Weights.Zip(before))
            Assert.True(start.equal(weight).all().item<bool>(), key);
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Saved_and_opened_again_it_gives_the_same_logits(string name, string option)
    {
        using var work = new WorkFolder();
        using var scope = NewDisposeScope();
        string folder = work.PathOf("adapter");
        using var model = TinyModel.Start(name);
        using var lora = Start(model, option);
        Train(model, lora);
        PeftFolder.Save(folder, lora, model.Parts, Settings(model, option), "base");
        using var other = TinyModel.Start(name);
        using var opened = PeftFolder.Open(folder, other.Parts);
        Assert.Equal(
            lora.Placements.Select(placement => (placement.Target.Path, placement.Rank, placement.Scale)),
            opened.Placements.Select(placement => (placement.Target.Path, placement.Rank, placement.Scale)));
        Assert.True(Logits(model).equal(Logits(other)).all().item<bool>());
    }

    [Fact]
    public void An_adapter_of_another_family_is_refused_with_both_names()
    {
        using var saved = new Saved("llama", "all linear layers");
        var problem = saved.Refused("gpt2");
        Assert.Contains("target_modules", problem.Message, StringComparison.Ordinal);
        Assert.Contains("q_proj", problem.Message, StringComparison.Ordinal);
        Assert.Contains("c_attn", problem.Hint, StringComparison.Ordinal);
    }

    [Fact]
    public void An_adapter_that_fits_partly_is_refused_with_what_is_left_over_and_what_is_missing()
    {
        using var saved = new Saved("llama", "all linear layers");
        var surplus = saved.Refused("llama", config => config["target_modules"] = new JsonArray("q_proj", "k_proj"));
        Assert.Contains("names without a layer: base_model.model.model.layers.", surplus.Message, StringComparison.Ordinal);
        Assert.Contains("layers without weights: none", surplus.Message, StringComparison.Ordinal);

        var missing = saved.Refused("llama", config => config["target_modules"] = new JsonArray(
            "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head"));
        Assert.Contains("names without a layer: none", missing.Message, StringComparison.Ordinal);
        Assert.Contains("base_model.model.lm_head.lora_A.weight", missing.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_adapter_of_another_size_is_refused_with_name_and_both_shapes()
    {
        using var saved = new Saved("llama", "all linear layers");
        var problem = saved.Refused("llama", config => config["r"] = 6);
        Assert.Contains("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight is [4, 32]", problem.Message, StringComparison.Ordinal);
        Assert.Contains("[6, 32]", problem.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("q_prj")]
    [InlineData("proj")]
    [InlineData("re:.*[")]
    public void Targets_that_match_nothing_are_refused_by_name(string target)
    {
        using var model = TinyModel.Start("llama");
        var problem = Assert.Throws<PerenosException>(() => LoraTargets.Choose(model.Parts, new LoraConfig { Targets = ["v_proj", target] }));
        Assert.Contains(target.Replace("re:", "", StringComparison.Ordinal), problem.Message, StringComparison.Ordinal);
        Assert.Throws<PerenosException>(() => LoraTargets.Choose(model.Parts, new LoraConfig { Targets = [] }));
        Assert.Throws<PerenosException>(() => LoraTargets.Choose(model.Parts, new LoraConfig { Rank = 0 }));
        Assert.Throws<PerenosException>(() => LoraTargets.Choose(model.Parts, new LoraConfig { Dropout = 1 }));
    }

    // Some families call their head otherwise.
    private static LoraConfig Settings(CausalModel model, string option) => Options[option] with
    {
        Targets = [.. Options[option].Targets.Select(target => target == "lm_head" ? model.Head.Path : target)],
    };

    private static Lora Start(CausalModel model, string option)
    {
        var lora = Lora.Start(LoraTargets.Choose(model.Parts, Settings(model, option)), Options[option].Dropout, seed: 3);
        foreach (var weight in lora.Weights.Values)
            weight.requires_grad = true;
        return lora;
    }

    private static void Train(CausalModel model, Lora lora)
    {
        int[] ids = TinyModel.Tokens(12, seed: 5);
        var batch = Batch.Of([new Example(ids, [.. ids.Select((_, place) => place > 0)], "row")]);
        using var trainer = new Trainer(model, [.. lora.Weights.Select(weight => Trainable.Of(weight.Key, weight.Value))],
            new TrainingConfig(), new LearningRate(1e-2, Schedule.Constant, 0, 4));
        for (int step = 0; step < 4; step++)
        {
            lora.DropFor((ulong)step);
            trainer.TakeStep([batch]);
        }

        lora.DropFor(null);
    }

    private static Tensor Logits(CausalModel model)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        var tokens = tensor(TinyModel.Tokens(14, seed: 6).Select(id => (long)id).ToArray(), [2, 7]);
        return model.Logits(model.Hidden(tokens)).MoveToOuterDisposeScope();
    }

    /// <summary>A trained adapter on disk, to be opened where it does not belong.</summary>
    private sealed class Saved : IDisposable
    {
        private readonly WorkFolder _work = new();
        private readonly JsonObject _config;

        public Saved(string name, string option)
        {
            using var model = TinyModel.Start(name);
            using var lora = Start(model, option);
            PeftFolder.Save(_work.Root, lora, model.Parts, Settings(model, option), "base");
            _config = JsonNode.Parse(File.ReadAllText(_work.PathOf("adapter_config.json")))!.AsObject();
        }

        public PerenosException Refused(string name, Action<JsonObject>? change = null)
        {
            var config = _config.DeepClone().AsObject();
            change?.Invoke(config);
            File.WriteAllText(_work.PathOf("adapter_config.json"), config.ToJsonString());
            using var model = TinyModel.Start(name);
            var problem = Assert.Throws<PerenosException>(() => PeftFolder.Open(_work.Root, model.Parts));
            Assert.NotEmpty(problem.Hint);
            Assert.All(model.Parts.Projections, projection => Assert.Null(projection.Adapter));
            return problem;
        }

        public void Dispose() => _work.Dispose();
    }
}
