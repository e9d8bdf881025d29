using System.Text.Json.Nodes;
using Perenos.Adapters;
using Perenos.Layers;
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

    private const int Virtual = 3;
    private const int Hidden = 10;

    /// <summary>A method with one choice of options.</summary>
    /// <param name="Start">A fresh adapter, attached.</param>
    /// <param name="Count">The formula for its parameters.</param>
    /// <param name="IsIdentity">Whether the model is unchanged at the start.</param>
    /// <param name="IsMerged">Whether it can become part of the base's weights.</param>
    private sealed record Method(Func<CausalModel, Adapter> Start, Func<CausalModel, long> Count, bool IsIdentity = true, bool IsMerged = true);

    private static readonly Dictionary<string, Method> Methods = new()
    {
        ["lora on all linear layers"] = OfLora(new LoraConfig { Rank = 4, Alpha = 8 }),
        ["lora, rank-stabilized"] = OfLora(new LoraConfig { Rank = 3, Alpha = 2, IsRankStabilized = true }),
        ["lora on attention, by expression"] = OfLora(new LoraConfig { Rank = 1, Alpha = 1, Targets = [@"re:.*(attn|attention)\..*"] }),
        ["lora with head and dropout"] = OfLora(new LoraConfig { Rank = 5, Alpha = 10, Targets = ["all-linear", "lm_head"], Dropout = 0.3 }),
        ["lora from principal directions"] = OfLora(new LoraConfig { Rank = 4, Alpha = 4, Start = LoraStart.Pissa }),
        ["lora with patterns"] = new(model => Lora.Start(model.Parts, new LoraConfig
        {
            Rank = 4,
            RankPattern = new Dictionary<string, int> { [".*\\.1\\..*"] = 2 },
            AlphaPattern = new Dictionary<string, double> { [".*\\.0\\..*"] = 5.5 },
        }, Seed), model => Linear(model).Sum(target => (target.Path.Contains(".1.", StringComparison.Ordinal) ? 2 : 4) * (target.Inputs + target.Outputs))),
        ["lora beside modules, tokens and biases"] = new(model => Lora.Start(model.Parts, new LoraConfig
        {
            Rank = 2,
            TrainableTokens = [3, 5],
            ModulesToSave = [End(model.Parts.NormWeights.Order(StringComparer.Ordinal).Last())],
            Bias = LoraBias.LoraOnly,
        }, Seed), model => 2 * Linear(model).Sum(target => target.Inputs + target.Outputs) + 2 * (model.Embedding.Width + (model.Head.IsTied ? 0 : model.Head.Inputs))
            + Modules(model, End(model.Parts.NormWeights.Order(StringComparer.Ordinal).Last())) + Linear(model).Sum(target => target.Bias?.numel() ?? 0)),
        ["lora on the embedding"] = new(model => Lora.Start(model.Parts, new LoraConfig { Rank = 4, Targets = [model.Embedding.Path] }, Seed),
            model => 4 * (model.Embedding.Vocabulary + model.Embedding.Width)),
        ["dora"] = new(model => Dora.Start(model.Parts, new DoraConfig { Rank = 4, Alpha = 8, Dropout = 0.1 }, Seed),
            model => Linear(model).Sum(target => 4 * (target.Inputs + target.Outputs) + target.Outputs)),
        ["ia3"] = new(model => Ia3.Start(model.Parts, new Ia3Config(), Seed), CountOfIa3),
        ["norms"] = new(model => TunedNorms.Start(model.Parts, new NormConfig(), Seed), model => model.Parts.NormWeights.Select(name => name[..name.LastIndexOf('.')]).Distinct().Sum(module => Modules(model, module))),
        ["biases"] = new(model => TunedBiases.Start(model.Parts, new BiasConfig(), Seed), model => model.Parts.Weights.Where(weight => weight.Key.Contains("bias", StringComparison.Ordinal)).Sum(weight => weight.Value.numel())),
        ["prompt"] = new(model => PromptTuning.Start(model.Parts, [1, 2, 3], Seed), model => Virtual * model.Embedding.Width, IsIdentity: false, IsMerged: false),
        ["p-tuning"] = new(model => PTuning.Start(model.Parts, new PTuningConfig { VirtualTokens = 3, HiddenSize = Hidden }, Seed),
            model => Table(model) + Layer(model.Embedding.Width, Hidden) + Layer(Hidden, Hidden) + Layer(Hidden, model.Embedding.Width), IsIdentity: false, IsMerged: false),
        ["p-tuning by lstm"] = new(model => PTuning.Start(model.Parts, new PTuningConfig { VirtualTokens = 3, HiddenSize = Hidden, Encoder = PromptEncoderKind.Lstm }, Seed),
            model => Table(model) + 2 * (Cell(model.Embedding.Width) + Cell(2 * Hidden)) + Layer(2 * Hidden, 2 * Hidden) + Layer(2 * Hidden, model.Embedding.Width), IsIdentity: false, IsMerged: false),
        ["prefix"] = new(StartPrefix, model => Virtual * KeysAndValues(model), IsIdentity: false, IsMerged: false),
        ["prefix, projected"] = new(model => PrefixTuning.StartProjected(model.Parts, Virtual, Hidden, Seed),
            model => Virtual * KeyWidth(model) + Layer(KeyWidth(model), Hidden) + Layer(Hidden, KeysAndValues(model)), IsIdentity: false, IsMerged: false),
    };

    private const ulong Seed = 3;

    /// <summary>Every method by name; other tests start them too.</summary>
    internal static IReadOnlyCollection<string> Names => Methods.Keys;

    public static TheoryData<string, string> Pairs()
    {
        // Every method on each family, and on the corners that concern it: shared heads and biases. Every model with one method.
        var pairs = new TheoryData<string, string>();
        var families = TinyModel.Names.GroupBy(TinyModel.FamilyOf).Select(family => family.First()).Concat(["llama tied", "llama with biases", "gpt2 untied"]).ToHashSet();
        foreach (string model in TinyModel.Names)
        {
            foreach (string method in families.Contains(model) ? Methods.Keys : Methods.Keys.Take(1))
                pairs.Add(model, method);
        }

        return pairs;
    }

    /// <summary>A fresh adapter, attached.</summary>
    internal static Adapter Start(CausalModel model, string method) => Methods[method].Start(model);

    [Theory]
    [MemberData(nameof(Pairs))]
    public void A_fresh_adapter_changes_no_bit_of_the_output(string name, string method)
    {
        Assert.SkipUnless(Methods[method].IsIdentity, $"{method}: does not start from the base, and does not promise it");
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start(name);
        var expected = Logits(model);
        using var adapter = StartOrSkip(model, method);
        // Logits of trained rows are a product of their own, which may round otherwise.
        if (method.Contains("tokens", StringComparison.Ordinal))
            Near.Equal(expected, Logits(model), 1e-5, "trained rows");
        else
            Assert.True(expected.equal(Logits(model)).all().item<bool>());
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Only_the_adapter_trains_and_without_it_the_base_is_back_bit_for_bit(string name, string method)
    {
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start(name);
        var baseLogits = Logits(model);
        var baseWeights = model.Parts.Weights.Values.Select(weight => weight.clone()).ToList();
        using var adapter = StartOrSkip(model, method);
        Assert.Equal(Methods[method].Count(model), adapter.Weights.Values.Sum(weight => weight.numel()));

        var before = adapter.Weights.Values.Select(weight => weight.clone()).ToList();
        Train(model, adapter);
        var learnt = adapter.Weights.Zip(before).Where(pair => Near.Largest(pair.Second, pair.First.Value) > 1e-3).Select(pair => pair.First.Key).ToHashSet();
        // Rows of tokens that do not occur, and the bias of keys, whose gradient is 0, may rest.
        Assert.True(learnt.Count > 0.7 * before.Count, $"only {learnt.Count} of {before.Count} have moved");

        var adapted = Logits(model);
        Assert.True(Near.Largest(baseLogits, adapted) > 1e-3);
        adapter.Detach();
        Assert.True(baseLogits.equal(Logits(model)).all().item<bool>());
        foreach (var ((key, weight), start) in model.Parts.Weights.Zip(baseWeights))
        {
            Assert.True(start.equal(weight).all().item<bool>(), key);
            Assert.False(weight.requires_grad);
        }

        adapter.Attach();
        Assert.True(adapted.equal(Logits(model)).all().item<bool>());
        adapter.Dispose();
        Assert.True(baseLogits.equal(Logits(model)).all().item<bool>());
        foreach (var ((key, weight), start) in model.Parts.Weights.Zip(baseWeights))
            Assert.True(start.equal(weight).all().item<bool>(), key);
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Merging_gives_the_same_logits_and_unmerging_the_same_bits(string name, string method)
    {
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start(name);
        var before = model.Parts.Weights.Values.Select(weight => weight.clone()).ToList();
        using var adapter = StartOrSkip(model, method);
        Train(model, adapter);
        var adapted = Logits(model);
        bool isShared = model.Head.IsTied && adapter.Parts.Any(part => part is LoraEmbedding or ProjectionPart && (part.Path == model.Head.Path || part.Path == model.Embedding.Path));
        if (isShared || !Methods[method].IsMerged)
        {
            // Merged into the shared table, the update would change what goes in as well as what comes out.
            var problem = Assert.Throws<PerenosException>(adapter.Merge);
            Assert.Contains(adapter.Paths, path => problem.Message.Contains(path, StringComparison.Ordinal));
            Assert.True(adapted.equal(Logits(model)).all().item<bool>());
            return;
        }

        adapter.Merge();
        Assert.All(model.Parts.Projections, projection => Assert.False(projection.IsAdapted));
        Near.Equal(adapted, Logits(model), MergeTolerance * Math.Max(1, adapted.abs().max().item<float>()), "merged");
        adapter.Unmerge();
        Assert.True(adapted.equal(Logits(model)).all().item<bool>());
        adapter.Detach();
        foreach (var ((key, weight), start) in model.Parts.Weights.Zip(before))
            Assert.True(start.equal(weight).all().item<bool>(), key);
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Saved_and_opened_again_it_gives_the_same_logits(string name, string method)
    {
        using var work = new WorkFolder();
        using var scope = NewDisposeScope();
        string folder = work.PathOf("adapter");
        using var model = TinyModel.Start(name);
        using var adapter = StartOrSkip(model, method);
        Train(model, adapter);
        PeftFolder.Save(folder, adapter, "base");
        using var other = TinyModel.Start(name);
        using var opened = PeftFolder.Open(folder, other.Parts);
        Assert.Equal(adapter.Paths.Order(StringComparer.Ordinal), opened.Paths.Order(StringComparer.Ordinal));
        if (method == "lora from principal directions")
            Near.Equal(Logits(model), Logits(other), MergeTolerance * 10, "converted to twice the rank");
        else
            Assert.True(Logits(model).equal(Logits(other)).all().item<bool>());
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Caches_and_padding_on_the_left_change_nothing(string name, string method)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start(name);
        using var adapter = StartOrSkip(model, method);
        var tokens = tensor(TinyModel.Tokens(14, seed: 6).Select(id => (long)id).ToArray(), [2, 7]);
        var whole = model.Hidden(tokens);
        using var cache = new KeyValueCache(model.Layers.Count, 7);
        var parts = new[] { (0, 4), (4, 1), (5, 2) }.Select(part => model.Hidden(tokens.narrow(1, part.Item1, part.Item2), cache: cache)).ToArray();
        Near.Equal(whole, cat(parts, 1), 2e-5, "cached");

        var padded = cat([zeros([2, 2], ScalarType.Int64), tokens], 1);
        var mask = cat([zeros([2, 2], ScalarType.Int64), ones([2, 7], ScalarType.Int64)], 1);
        var places = (mask.cumsum(1) - 1).relu();
        Near.Equal(whole, model.Hidden(padded, mask, places).narrow(1, 2, 7), 2e-5, "padded");
    }

    [Fact]
    public void An_adapter_of_another_family_is_refused_with_both_names()
    {
        using var saved = new Saved("llama", "lora on all linear layers");
        var problem = saved.Refused("gpt2");
        Assert.Contains("target_modules", problem.Message, StringComparison.Ordinal);
        Assert.Contains("q_proj", problem.Message, StringComparison.Ordinal);
        Assert.Contains("c_attn", problem.Hint, StringComparison.Ordinal);
    }

    [Fact]
    public void An_adapter_that_fits_partly_is_refused_with_what_is_left_over_and_what_is_missing()
    {
        using var saved = new Saved("llama", "lora on all linear layers");
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
        using var saved = new Saved("llama", "lora on all linear layers");
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
        var problem = Assert.Throws<PerenosException>(() => Lora.Start(model.Parts, new LoraConfig { Targets = ["v_proj", target] }, Seed));
        Assert.Contains(target.Replace("re:", "", StringComparison.Ordinal), problem.Message, StringComparison.Ordinal);
        Assert.Throws<PerenosException>(() => Lora.Start(model.Parts, new LoraConfig { Targets = [] }, Seed));
        Assert.Throws<PerenosException>(() => Lora.Start(model.Parts, new LoraConfig { Rank = 0 }, Seed));
        Assert.Throws<PerenosException>(() => Lora.Start(model.Parts, new LoraConfig { Dropout = 1 }, Seed));
    }

    private static Method OfLora(LoraConfig settings) => new(
        model => Lora.Start(model.Parts, For(model, settings), Seed),
        model => Targets(model, For(model, settings)).Sum(target => settings.Rank * (target.Inputs + target.Outputs)));

    // Some families call their head otherwise.
    private static LoraConfig For(CausalModel model, LoraConfig settings) =>
        settings with { Targets = [.. settings.Targets.Select(target => target == "lm_head" ? model.Head.Path : target)] };

    private static IEnumerable<Projection> Targets(CausalModel model, LoraConfig settings)
    {
        var chosen = TargetLayers.Choose(model.Parts, settings.Targets);
        return model.Parts.Projections.Where(projection => chosen.Contains(projection.Path));
    }

    private static IEnumerable<Projection> Linear(CausalModel model) => model.Parts.Projections.SkipLast(1);

    private static long CountOfIa3(CausalModel model)
    {
        using var adapter = Ia3.Start(model.Parts, new Ia3Config(), Seed);
        return adapter.Parts.Cast<ProjectionPart>().Sum(part => part.Weights.Single().Tensor.shape[0] == 1 ? part.Target.Inputs : part.Target.Outputs);
    }

    private static long Modules(CausalModel model, string end) => model.Parts.Weights
        .Where(weight => weight.Key[..weight.Key.LastIndexOf('.')].EndsWith(end, StringComparison.Ordinal)).Sum(weight => weight.Value.numel());

    private static string End(string weight) => weight.Split('.')[^2];

    private static long Table(CausalModel model) => Virtual * model.Embedding.Width;

    private static long Layer(long inputs, long outputs) => (inputs + 1) * outputs;

    private static long Cell(long inputs) => 4 * Hidden * (inputs + Hidden + 2);

    private static long KeyWidth(CausalModel model) => model.Parts.KeyValueShapes[0].Heads * model.Parts.KeyValueShapes[0].Size;

    private static long KeysAndValues(CausalModel model) => 2 * model.Layers.Count * KeyWidth(model);

    private static Adapter StartPrefix(CausalModel model)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        using var cache = new KeyValueCache(model.Layers.Count, Virtual);
        model.Hidden(tensor(new long[] { 4, 5, 6 }, [1, Virtual]), cache: cache);
        return PrefixTuning.Start(model.Parts, stack(Enumerable.Range(0, model.Layers.Count).SelectMany(layer => new[] { cache.Keys(layer), cache.Values(layer) }).ToArray()));
    }

    private static Adapter StartOrSkip(CausalModel model, string method)
    {
        bool hasBias = model.Parts.Weights.Keys.Any(name => name.Contains("bias", StringComparison.Ordinal));
        Assert.SkipWhen(method == "biases" && !hasBias, "the model has no biases, and the method says so");
        bool needsNorms = method is "norms" or "lora beside modules, tokens and biases";
        Assert.SkipWhen(needsNorms && model.Parts.NormWeights.Count == 0, "the norms of the model have no weights, and the method says so");
        var adapter = Methods[method].Start(model);
        foreach (var weight in adapter.Weights.Values)
            weight.requires_grad = true;
        return adapter;
    }

    private static void Train(CausalModel model, Adapter adapter)
    {
        int[] ids = TinyModel.Tokens(12, seed: 5);
        var batch = Batch.Of([new Example(ids, [.. ids.Select((_, place) => place > 0)], "row")]);
        using var trainer = new Trainer(model, [.. adapter.Weights.Select(weight => Trainable.Of(weight.Key, weight.Value))],
            new TrainingConfig(), new LearningRate(1e-2, Schedule.Constant, 0, 4));
        for (int step = 0; step < 4; step++)
        {
            adapter.DropFor((ulong)step);
            trainer.TakeStep([batch]);
        }

        adapter.DropFor(null);
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
            using var adapter = StartOrSkip(model, option);
            PeftFolder.Save(_work.Root, adapter, "base");
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
            Assert.All(model.Parts.Projections, projection => Assert.False(projection.IsAdapted));
            return problem;
        }

        public void Dispose() => _work.Dispose();
    }
}
