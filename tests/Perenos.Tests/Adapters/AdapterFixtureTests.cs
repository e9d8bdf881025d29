using System.Text.Json.Nodes;
using Perenos.Adapters;
using Perenos.Checkpoints;
using Perenos.Generation;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Testing;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Adapters;

/// <summary>Adapters as PEFT saved them, against PEFT's numbers (the fixtures' README has the definitions).</summary>
public sealed class AdapterFixtureTests
{
    public static TheoryData<string> Names => [.. Fixtures.Folders("adapters", "adapter_config.json")];

    [Theory]
    [MemberData(nameof(Names))]
    public void An_adapter_computes_what_peft_computes(string name)
    {
        string folder = OpenableOrSkip(name, out var expected);
        Assert.SkipWhen(IsInBfloat16(expected), $"{name}: judged by the test in bfloat16");
        using var scope = NewDisposeScope();
        using var model = OpenBase(folder);
        using var values = SafetensorsFile.Open(Path.Combine(folder, "expected.safetensors"));
        Tensor Value(string key)
        {
            var tensor = values.Read(key);
            scope.Attach(tensor);
            return tensor;
        }

        var real = Value("attention_mask").unsqueeze(-1);
        Tensor Logits(string? positions = "position_ids") => model.Logits(model.Hidden(
            Value("input_ids"), Value("attention_mask"), positions is null ? null : Value(positions)));
        double tolerance = Tolerance(expected, "logits", 1e-5);

        Near.Equal(Value("logits_base") * real, Logits() * real, Tolerance(expected, "logits_base", 1e-5), "base");
        using var lora = PeftFolder.Open(folder, model.Parts);
        Near.Equal(Value("logits") * real, Logits() * real, tolerance, "adapter");
        Near.Equal(Value("logits_position_ids_from_mask") * real, Logits("position_ids_from_mask") * real, tolerance, "positions from mask");
        Assert.Equal(expected["trainable_parameters"]!.GetValue<long>(), lora.Weights.Values.Sum(weight => weight.numel()));
        Assert.Equal(
            expected["matched_modules"]!.AsArray().Select(node => node!.ToString()).Order(StringComparer.Ordinal),
            lora.Placements.Select(placement => placement.Target.Path).Order(StringComparer.Ordinal));
        CompareGradients(model, lora, values, Value, expected);
        CompareGreedy(model, values, expected);

        var before = model.Parts.Weights.Values.Select(weight => weight.clone()).ToList();
        lora.Merge();
        Near.Equal(Value("logits_merged") * real, Logits() * real, tolerance, "merged");
        lora.Unmerge();
        Near.Equal(Value("logits") * real, Logits() * real, tolerance, "unmerged");
        foreach (var (weight, kept) in model.Parts.Weights.Values.Zip(before))
            Assert.True(weight.equal(kept).all().item<bool>());
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void An_adapter_on_a_bfloat16_base_stays_within_what_bfloat16_costs(string name)
    {
        string folder = OpenableOrSkip(name, out var expected);
        Assert.SkipUnless(IsInBfloat16(expected), $"{name}: judged in float32");
        using var scope = NewDisposeScope();
        using var model = OpenBase(folder, ScalarType.BFloat16);
        using var lora = PeftFolder.Open(folder, model.Parts);
        using var values = SafetensorsFile.Open(Path.Combine(folder, "expected.safetensors"));
        using var tokens = values.Read("input_ids");
        using var mask = values.Tensors.ContainsKey("attention_mask") ? values.Read("attention_mask") : ones_like(tokens);
        using var positions = values.Tensors.ContainsKey("position_ids") ? values.Read("position_ids") : null;
        using var logits = values.Read("logits");
        var real = mask.unsqueeze(-1);
        var actual = model.Logits(model.Hidden(tokens, mask, positions));
        Assert.Equal(ScalarType.BFloat16, actual.dtype);
        // "The distance to the fp32 base is the honest tolerance."
        Near.Equal(logits * real, actual * real, expected["max_abs_bf16_minus_fp32_base"]!.GetValue<double>(), name);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void What_is_saved_is_what_peft_saved(string name)
    {
        string folder = OpenableOrSkip(name, out _);
        var config = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "adapter_config.json")))!;
        Assert.SkipWhen(config["rank_pattern"]!.AsObject().Count > 0, $"{name}: patterns are read, not written");
        using var model = OpenBase(folder);
        using var lora = PeftFolder.Open(folder, model.Parts);
        string written = Directory.CreateTempSubdirectory("perenos-test").FullName;
        try
        {
            var settings = new LoraConfig { Rank = config["r"]!.GetValue<int>(), Alpha = config["lora_alpha"]!.GetValue<double>(), IsRankStabilized = config["use_rslora"]!.GetValue<bool>() };
            PeftFolder.Save(written, lora, model.Parts, settings, "base");
            using var theirs = SafetensorsFile.Open(Path.Combine(folder, "adapter_model.safetensors"));
            using var ours = SafetensorsFile.Open(Path.Combine(written, "adapter_model.safetensors"));
            // PEFT repeats the frozen weight of an adapted head; it is not part of the adapter.
            Assert.Equal(theirs.Tensors.Keys.Where(key => !key.EndsWith(".base_layer.weight", StringComparison.Ordinal)).Order(StringComparer.Ordinal), ours.Tensors.Keys.Order(StringComparer.Ordinal));
            lora.Detach();
            using var again = PeftFolder.Open(written, model.Parts);
            Assert.Equal(lora.Placements, again.Placements);
            foreach (var (key, weight) in lora.Weights)
                Near.Equal(weight, again.Weights[key], 0, key);
        }
        finally
        {
            Directory.Delete(written, recursive: true);
        }
    }

    [Fact]
    public void Broken_adapters_are_refused_with_the_reason()
    {
        string root = Shared.ParityOrSkip("adapters");
        var broken = Directory.EnumerateDirectories(root, "broken_*").ToList();
        Assert.NotEmpty(broken);
        foreach (string folder in broken)
        {
            using var model = OpenBase(folder);
            var problem = Assert.Throws<PerenosException>(() => PeftFolder.Open(folder, model.Parts));
            Assert.NotEmpty(problem.Hint);
            Assert.All(model.Parts.Projections, projection => Assert.Null(projection.Adapter));
        }
    }

    private static void CompareGradients(CausalModel model, Lora lora, SafetensorsFile values, Func<string, Tensor> value, JsonNode expected)
    {
        foreach (var weight in lora.Weights.Values)
            weight.requires_grad = true;
        var hidden = model.Hidden(value("input_ids"), value("attention_mask"), value("position_ids"));
        var labels = value("labels").narrow(1, 1, hidden.shape[1] - 1).flatten();
        var logits = model.Logits(hidden.narrow(1, 0, hidden.shape[1] - 1)).reshape(labels.shape[0], -1);
        var loss = nn.functional.cross_entropy(logits, labels, ignore_index: -100);
        loss.backward();
        Near.Equal(value("loss"), loss.reshape(1), Tolerance(expected, "loss", 1e-5), "loss");
        double largest = expected["max_abs_fp32_minus_fp64"]!["gradient_largest"]!.GetValue<double>();
        foreach (var (key, weight) in lora.Weights)
        {
            using var gradient = weight.grad;
            Near.Equal(value($"grad.base_model.model.{key}"), gradient!, Tolerance(expected, "gradients", 1e-6 * Math.Max(1, largest)), key);
            weight.requires_grad = false;
        }
    }

    private static void CompareGreedy(CausalModel model, SafetensorsFile values, JsonNode expected)
    {
        int[] Ids(string name)
        {
            using var tensor = values.Read(name);
            return [.. tensor.data<long>().Select(id => (int)id)];
        }

        int width = (int)values.Tensors["input_ids"].Shape[1];
        var ids = Ids("input_ids");
        var mask = Ids("attention_mask");
        int[][] prompts = [ids[..width], [.. ids[width..].Where((_, place) => mask[width + place] == 1)]];
        var generator = new TextGenerator(model, new GenerationConfig { MaxNewTokens = Ids("generated_row0").Length }, []);
        Assert.Equal(Ids("generated_row0"), generator.Stream(prompts[0]));
        Assert.Equal(Ids("generated_left_padded"), generator.Generate(prompts, cancellation: TestContext.Current.CancellationToken).SelectMany(row => row));
        _ = expected;
    }

    private static string OpenableOrSkip(string name, out JsonNode expected)
    {
        string folder = Fixtures.FolderOrSkip("adapters", name);
        Assert.SkipWhen(name.StartsWith("broken_", StringComparison.Ordinal), $"{name}: judged by the test of refusals");
        string type = JsonNode.Parse(File.ReadAllText(Path.Combine(BaseOf(folder), "config.json")))!["model_type"]!.ToString();
        Assert.SkipUnless(ModelCatalogue.Families.Any(family => family.ModelType == type), $"{name}: the family {type} is not built yet");
        if (PeftFolder.NotImplemented(folder) is { } reason)
            Assert.Skip($"{name}: {reason} is not built yet");
        expected = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "expected.json")))!;
        var targets = expected["matched_modules"]?.AsArray().Select(node => node!.ToString()).ToList() ?? [];
        Assert.SkipWhen(targets.Any(target => target.EndsWith("embed_tokens", StringComparison.Ordinal) || target.EndsWith("wte", StringComparison.Ordinal)), $"{name}: LoRA on embeddings is not built yet");
        return folder;
    }

    private static string BaseOf(string folder) => Path.GetFullPath(Path.Combine(
        folder, JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "adapter_config.json")))!["base_model_name_or_path"]!.ToString()));

    private static bool IsInBfloat16(JsonNode expected) => expected["logits_dtype"]?.ToString() == "bfloat16";

    private static CausalModel OpenBase(string folder, ScalarType type = ScalarType.Float32)
    {
        string path = BaseOf(folder);
        using var weights = CheckpointFolder.OpenWeights(path);
        return ModelCatalogue.Load(JsonNode.Parse(File.ReadAllText(Path.Combine(path, "config.json")))!.AsObject(), path, weights, type);
    }

    private static double Tolerance(JsonNode expected, string kind, double least) =>
        Math.Max(least, 10 * (expected["max_abs_fp32_minus_fp64"]![kind]?.GetValue<double>() ?? 0));
}
