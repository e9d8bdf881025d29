using System.Text.Json.Nodes;
using Perenos.Adapters;
using Perenos.Checkpoints;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Testing;
using Perenos.Tests.Checkpoints;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Adapters;

/// <summary>Adapters as PEFT saved them, against PEFT's numbers (the fixtures' README has the definitions).</summary>
public sealed class AdapterFixtureTests
{
    private const string Prefix = "base_model.model.";

    public static TheoryData<string> Names => [.. Fixtures.Folders("adapters", "adapter_config.json")];

    [Theory]
    [MemberData(nameof(Names))]
    public void An_adapter_computes_what_peft_computes(string name)
    {
        using var fixture = Fixture.OpenOrSkip(name);
        Assert.SkipWhen(fixture.IsInBfloat16, $"{name}: judged by the test in bfloat16");
        using var scope = NewDisposeScope();
        var model = fixture.Model;
        fixture.CompareLogits("logits_base", "position_ids", "base");
        var before = model.Parts.Weights.Values.Select(weight => weight.clone()).ToList();
        var plain = fixture.Logits("position_ids").clone();

        using var adapter = PeftFolder.Open(fixture.Folder, model.Parts);
        fixture.CompareLogits("logits", "position_ids", "adapter");
        if (fixture.Has("position_ids_from_mask"))
            fixture.CompareLogits("logits_position_ids_from_mask", "position_ids_from_mask", "positions from mask");
        if (!fixture.HasEncoder)
            Assert.Equal(fixture.Expected["trainable_parameters"]!.GetValue<long>(), adapter.Weights.Values.Sum(weight => weight.numel()));
        var matched = fixture.Expected["matched_modules"]!.AsArray().Select(node => node!.ToString()).ToList();
        Assert.Subset(adapter.Paths.ToHashSet(), matched.ToHashSet());
        fixture.CompareGradients(adapter);
        fixture.CompareGreedy();
        CompareMerged(fixture, adapter, before);

        // Off again, the base is back to the bit.
        adapter.Detach();
        Assert.True(plain.equal(fixture.Logits("position_ids")).all().item<bool>());
        foreach (var (weight, kept) in model.Parts.Weights.Values.Zip(before))
            Assert.True(weight.equal(kept).all().item<bool>());
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void The_encoder_of_virtual_tokens_gives_what_peft_saved_and_learns_alike(string name)
    {
        using var fixture = Fixture.OpenOrSkip(name);
        Assert.SkipUnless(fixture.HasEncoder, $"{name}: has no encoder");
        using var scope = NewDisposeScope();
        var config = new PeftConfig(fixture.Config, name);
        using var adapter = PeftMethods.Build(config, new EncoderOfFixture(fixture), fixture.Model.Parts);
        Assert.Equal(fixture.Expected["trainable_parameters"]!.GetValue<long>(), adapter.Weights.Values.Sum(weight => weight.numel()));
        fixture.CompareLogits("logits", "position_ids", "encoder");
        fixture.CompareGradients(adapter);
        using var saved = SafetensorsFile.Open(Path.Combine(fixture.Folder, "adapter_model.safetensors"));
        using var theirs = saved.Read("prompt_embeddings");
        Near.Equal(theirs, adapter.Saved.Single().Tensor, 1e-6, "prompt_embeddings");
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void An_adapter_on_a_bfloat16_base_stays_within_what_bfloat16_costs(string name)
    {
        using var fixture = Fixture.OpenOrSkip(name);
        Assert.SkipUnless(fixture.IsInBfloat16, $"{name}: judged in float32");
        using var scope = NewDisposeScope();
        using var adapter = PeftFolder.Open(fixture.Folder, fixture.Model.Parts);
        var real = fixture.Value("attention_mask").unsqueeze(-1);
        var actual = fixture.Model.Logits(fixture.Model.Hidden(fixture.Value("input_ids"), fixture.Value("attention_mask")));
        Assert.Equal(ScalarType.BFloat16, actual.dtype);
        Assert.All(adapter.Weights.Values, weight => Assert.Equal(ScalarType.Float32, weight.dtype));
        // "The distance to the fp32 base is the honest tolerance."
        Near.Equal(fixture.Value("logits") * real, actual * real, fixture.Expected["max_abs_bf16_minus_fp32_base"]!.GetValue<double>(), name);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void What_is_saved_is_what_peft_saved_and_opens_to_the_same_bits(string name)
    {
        using var fixture = Fixture.OpenOrSkip(name);
        using var work = new WorkFolder();
        using var scope = NewDisposeScope();
        var adapter = PeftFolder.Open(fixture.Folder, fixture.Model.Parts);
        var logits = fixture.Logits(null);
        PeftFolder.Save(work.Root, adapter, "base");
        adapter.Dispose();

        using var theirs = SafetensorsFile.Open(Path.Combine(fixture.Folder, "adapter_model.safetensors"));
        using var ours = SafetensorsFile.Open(work.PathOf("adapter_model.safetensors"));
        // PEFT repeats the frozen weight of an adapted embedding or head; it is not part of the adapter.
        Assert.Equal(theirs.Tensors.Keys.Where(key => !key.EndsWith(".base_layer.weight", StringComparison.Ordinal)).Order(StringComparer.Ordinal), ours.Tensors.Keys.Order(StringComparer.Ordinal));
        foreach (string key in ours.Tensors.Keys)
        {
            using var left = theirs.Read(key);
            using var right = ours.Read(key);
            Near.Equal(left, right, 0, key);
        }

        using var again = PeftFolder.Open(work.Root, fixture.Model.Parts);
        Assert.True(logits.equal(fixture.Logits(null)).all().item<bool>());
    }

    [Fact]
    public void Broken_adapters_are_refused_by_name_and_leave_the_model_alone()
    {
        string root = Shared.ParityOrSkip("adapters");
        var broken = Directory.EnumerateDirectories(root, "broken_*").ToList();
        Assert.NotEmpty(broken);
        foreach (string folder in broken)
        {
            using var scope = NewDisposeScope();
            using var model = Fixture.OpenBase(folder, ScalarType.Float32);
            var problem = Assert.Throws<PerenosException>(() => PeftFolder.Open(folder, model.Parts));
            Assert.NotEmpty(problem.Hint);
            Assert.All(model.Parts.Projections, projection => Assert.False(projection.IsAdapted));
            Assert.All(Culprits(folder, model), culprit => Assert.Contains(culprit, $"{problem.Message} {problem.Hint}", StringComparison.Ordinal));
        }
    }

    [Fact]
    public void Every_case_of_the_fixtures_is_judged_by_some_test()
    {
        string root = Shared.ParityOrSkip("adapters");
        foreach (string folder in Directory.EnumerateDirectories(root).Where(folder => Path.GetFileName(folder) != "bases"))
        {
            bool isSingle = File.Exists(Path.Combine(folder, "adapter_config.json"));
            Assert.True(isSingle || MultiAdapterFixtureTests.IsKnown(folder), $"{folder} holds a kind of case that no test looks at");
        }
    }

    private static void CompareMerged(Fixture fixture, Adapter adapter, IReadOnlyList<Tensor> before)
    {
        bool isShared = adapter.Parts.Any(part => part is LoraEmbedding or ReplacedEmbedding && part.WhyNotMerged is not null)
            || adapter.Parts.OfType<ProjectionPart>().Any(part => part.Target.IsTied);
        if (!fixture.Has("logits_merged") || isShared)
        {
            // PEFT merges into a shared table and changes the head with it; neither that nor what PEFT refuses is done here.
            var adapted = fixture.Logits("position_ids");
            Assert.Throws<PerenosException>(adapter.Merge);
            Assert.True(adapted.equal(fixture.Logits("position_ids")).all().item<bool>());
            return;
        }

        adapter.Merge();
        fixture.CompareLogits("logits_merged", "position_ids", "merged");
        Assert.All(fixture.Model.Parts.Projections, projection => Assert.False(projection.IsAdapted));
        adapter.Unmerge();
        fixture.CompareLogits("logits", "position_ids", "unmerged");
        adapter.Detach();
        foreach (var (weight, kept) in fixture.Model.Parts.Weights.Values.Zip(before))
            Assert.True(weight.equal(kept).all().item<bool>());
        adapter.Attach();
    }

    // What the refusal has to name: what is in the file without a place, in the configuration without weights, or of another shape.
    private static IEnumerable<string> Culprits(string folder, CausalModel model)
    {
        var config = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "adapter_config.json")))!.AsObject();
        using var fresh = PeftMethods.Start(config, model.Parts, seed: 1);
        using var file = SafetensorsFile.Open(Path.Combine(folder, "adapter_model.safetensors"));
        var wanted = fresh.Weights.ToDictionary(weight => weight.Key, weight => weight.Value.shape);
        foreach (var (key, info) in file.Tensors)
        {
            if (wanted.TryGetValue(key, out long[]? shape) && shape.SequenceEqual(info.Shape))
                continue;
            // A key of the right name and the wrong shape is told with both shapes; so are rows of a resized vocabulary.
            yield return key;
            if (shape is not null)
                yield return $"[{string.Join(", ", shape)}]";
            else if (model.Parts.Weights.ContainsKey(key.Replace(Prefix, "", StringComparison.Ordinal)))
                yield return "resize";
            if (shape is not null)
                yield return $"[{string.Join(", ", info.Shape)}]";
        }

        foreach (string key in wanted.Keys.Where(key => !file.Tensors.ContainsKey(key)))
            yield return key;
    }

    /// <summary>The weights of an encoder, which PEFT trains and does not save.</summary>
    private sealed class EncoderOfFixture(Fixture fixture) : AdapterWeights
    {
        public override bool IsFresh => true;

        public override bool Has(string name) => fixture.Has(name);

        public override Tensor Take(string path, string leaf, long[] shape, Tensor like, Func<Generator, Tensor> start, torch.ScalarType type)
        {
            var tensor = fixture.Value(leaf);
            Assert.Equal(shape, tensor.shape);
            return tensor.clone();
        }
    }
}
