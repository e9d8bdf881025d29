using System.Text.Json.Nodes;
using Perenos.Adapters;
using Perenos.Checkpoints;
using Perenos.Models;
using Perenos.Testing;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Adapters;

/// <summary>Several adapters on one base: one for each row, joined into one, and PiSSA's three forms, against PEFT's numbers.</summary>
public sealed class MultiAdapterFixtureTests
{
    // PiSSA factors float32 weights of width 32 and subtracts what they give.
    private const double PissaTolerance = 2e-5;

    public static TheoryData<string> Rows => Cases("adapter_names");

    public static TheoryData<string> Merges => Cases("merges");

    public static TheoryData<string> Principal => Cases("init_lora_weights");

    public static bool IsKnown(string folder) => new[] { "adapter_names", "merges", "init_lora_weights" }.Count(key => ReadExpected(folder)[key] is not null) == 1;

    [Theory]
    [MemberData(nameof(Rows))]
    public void Each_row_of_a_batch_computes_with_its_own_adapter(string name)
    {
        using var scope = NewDisposeScope();
        var (folder, expected, model, values) = OpenOrSkip(name);
        using var _ = model;
        using var __ = values;
        var adapters = Adapters(folder, model);
        var rows = expected["adapter_names"]!.AsArray().Select(row => adapters.GetValueOrDefault(row!.ToString())).ToList();
        using (MixedBatch.Attach(model.Parts, rows))
            CompareLogits(values, "logits", model, expected["suggested_tolerance"]!.GetValue<double>());
        Assert.All(model.Parts.Projections, projection => Assert.False(projection.IsAdapted));

        // Alone, each row gives the same.
        var logits = Logits(values, model, rows);
        for (int row = 0; row < rows.Count; row++)
        {
            rows[row]?.Attach();
            Near.Equal(logits.narrow(0, row, 1), Logits(values, model, row), expected["suggested_tolerance"]!.GetValue<double>(), $"row {row}");
            rows[row]?.Detach();
        }

        foreach (var adapter in adapters.Values)
            adapter.Dispose();
    }

    [Theory]
    [MemberData(nameof(Merges))]
    public void Weighted_merges_of_adapters_give_what_peft_gives(string name)
    {
        using var scope = NewDisposeScope();
        var (folder, expected, model, values) = OpenOrSkip(name);
        using var _ = model;
        using var __ = values;
        double tolerance = expected["suggested_tolerance"]!.GetValue<double>();
        var merges = expected["merges"]!.AsObject();
        string[] sources = [.. Directory.EnumerateDirectories(folder).Select(path => Path.GetFileName(path)!).Except(merges.Select(merge => merge.Key)).Order(StringComparer.Ordinal)];
        CompareLogits(values, "logits_base", model, tolerance);
        var adapters = sources.Select(source => PeftFolder.Open(Path.Combine(folder, source), model.Parts)).ToList();
        CompareLogits(values, $"logits_{string.Join("_and_", sources)}_active", model, tolerance);
        adapters.ForEach(adapter => adapter.Detach());
        for (int index = 0; index < sources.Length; index++)
        {
            adapters[index].Attach();
            CompareLogits(values, $"logits_{sources[index]}", model, tolerance);
            adapters[index].Detach();
        }

        Assert.NotEmpty(merges);
        foreach (var (merge, settings) in merges)
        {
            using (PeftFolder.Open(Path.Combine(folder, merge), model.Parts))
                CompareLogits(values, $"logits_{merge}", model, tolerance);
            var weights = settings!["weights"]!.AsArray().Select(weight => weight!.GetValue<double>());
            var kind = Enum.Parse<MergeKind>(settings["combination_type"]!.ToString().Replace("_", "", StringComparison.Ordinal), ignoreCase: true);
            using var joint = WeightedMerge.Of(model.Parts, [.. adapters.Zip(weights)], kind, settings["density"]?.GetValue<double>() ?? 1);
            CompareLogits(values, $"logits_{merge}", model, tolerance);
            Assert.Equal(settings["r"]!.GetValue<int>(), joint.Config["r"]!.GetValue<int>());
        }

        adapters.ForEach(adapter => adapter.Dispose());
    }

    [Theory]
    [MemberData(nameof(Principal))]
    public void Pissa_starts_trains_and_converts_as_in_peft(string name)
    {
        using var scope = NewDisposeScope();
        var (folder, expected, model, values) = OpenOrSkip(name);
        using var _ = model;
        using var __ = values;
        CompareLogits(values, "logits_base", model, PissaTolerance);
        foreach (string form in new[] { "tuned", "converted" })
        {
            using (PeftFolder.Open(Path.Combine(folder, form), model.Parts))
                CompareLogits(values, "logits", model, PissaTolerance);
        }

        // Signs of singular vectors are free: what is comparable is the product, and what is left of the base.
        var config = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "tuned", "adapter_config.json")))!.AsObject();
        double scale = config["lora_alpha"]!.GetValue<double>() / config["r"]!.GetValue<double>();
        var weights = model.Parts.Weights.ToDictionary(weight => weight.Key, weight => weight.Value.clone());
        using var fresh = PeftMethods.Start(config, model.Parts, seed: 1);
        CompareLogits(values, "logits_at_init", model, PissaTolerance);
        foreach (string key in values.Tensors.Keys.Where(key => key.StartsWith("residual.", StringComparison.Ordinal)))
        {
            string path = key["residual.".Length..^".weight".Length];
            var product = fresh.Weights[$"base_model.model.{path}.lora_B.weight"].matmul(fresh.Weights[$"base_model.model.{path}.lora_A.weight"]);
            Near.Equal(Read(values, key), weights[$"{path}.weight"] - product * scale, PissaTolerance, key);
        }

        Assert.Equal(expected["trainable_parameters"]!.GetValue<long>(), fresh.Weights.Values.Sum(weight => weight.numel()));
        foreach (var (key, weight) in model.Parts.Weights)
            Assert.True(weights[key].equal(weight).all().item<bool>(), key);
    }

    private static Dictionary<string, Adapter> Adapters(string folder, CausalModel model) => Directory.EnumerateDirectories(folder)
        .ToDictionary(path => Path.GetFileName(path)!, path =>
        {
            var adapter = PeftFolder.Open(path, model.Parts);
            adapter.Detach();
            return adapter;
        });

    private static void CompareLogits(SafetensorsFile values, string key, CausalModel model, double tolerance)
    {
        using var scope = NewDisposeScope();
        var real = Read(values, "attention_mask").unsqueeze(-1);
        Near.Equal(Read(values, key) * real, Logits(values, model, row: null) * real, tolerance, key);
    }

    private static Tensor Logits(SafetensorsFile values, CausalModel model, IReadOnlyList<Adapter?> rows)
    {
        using var batch = MixedBatch.Attach(model.Parts, rows);
        return Logits(values, model, row: null);
    }

    private static Tensor Logits(SafetensorsFile values, CausalModel model, int? row)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        Tensor Part(string key) => row is { } index ? Read(values, key).narrow(0, index, 1) : Read(values, key);
        return model.Logits(model.Hidden(Part("input_ids"), Part("attention_mask"))).MoveToOuterDisposeScope();
    }

    private static Tensor Read(SafetensorsFile values, string key)
    {
        using var tensor = values.Read(key);
        // A copy inside the caller's scope.
        return tensor.clone();
    }

    private static TheoryData<string> Cases(string key)
    {
        var all = Fixtures.Folders("adapters", "expected.json").ToList();
        if (all is [Fixtures.None])
            return [Fixtures.None];
        var found = all.Where(name => ReadExpected(Path.Combine(Shared.Parity, "adapters", name))[key] is not null).ToList();
        return [.. found.Count > 0 ? found : throw new InvalidOperationException($"No case of the adapter fixtures has {key}.")];
    }

    private static JsonNode ReadExpected(string folder) => JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "expected.json")))!;

    private static (string Folder, JsonNode Expected, CausalModel Model, SafetensorsFile Values) OpenOrSkip(string name)
    {
        string folder = Fixtures.FolderOrSkip("adapters", name);
        string first = Directory.EnumerateDirectories(folder).First();
        Fixture.SkipUnlessBuilt(name, first);
        return (folder, ReadExpected(folder), Fixture.OpenBase(first, ScalarType.Float32), SafetensorsFile.Open(Path.Combine(folder, "expected.safetensors")));
    }
}
