using System.Text.Json.Nodes;
using Perenos.Adapters;
using Perenos.Checkpoints;
using Perenos.Generation;
using Perenos.Models;
using Perenos.Runs.Config;
using Perenos.Testing;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Adapters;

/// <summary>One case of the adapter fixtures with its base opened.</summary>
internal sealed class Fixture : IDisposable
{
    private readonly SafetensorsFile _values;
    private readonly List<Tensor> _read = [];

    private Fixture(string folder, JsonNode expected, CausalModel model)
    {
        (Folder, Expected, Model) = (folder, expected, model);
        Config = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "adapter_config.json")))!.AsObject();
        _values = SafetensorsFile.Open(Path.Combine(folder, "expected.safetensors"));
    }

    public string Folder { get; }

    public JsonNode Expected { get; }

    public JsonObject Config { get; }

    public CausalModel Model { get; }

    public bool IsInBfloat16 => InBfloat16(Expected);

    /// <summary>Virtual tokens that PEFT's logits cover: of prompts, not of prefixes.</summary>
    private long Prompt => Config["peft_type"]!.ToString() is "PROMPT_TUNING" or "P_TUNING" ? Config["num_virtual_tokens"]!.GetValue<long>() : 0;

    private long Ahead => Config["num_virtual_tokens"]?.GetValue<long>() ?? 0;

    public bool HasEncoder => _values.Tensors.Keys.Any(key => key.StartsWith("encoder.", StringComparison.Ordinal) && key != "encoder.embedding.weight");

    public static Fixture OpenOrSkip(string name)
    {
        string folder = Fixtures.FolderOrSkip("adapters", name);
        Assert.SkipWhen(name.StartsWith("broken_", StringComparison.Ordinal), $"{name}: judged by the test of refusals");
        SkipUnlessBuilt(name, folder);
        var expected = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "expected.json")))!;
        return new Fixture(folder, expected, OpenBase(folder, InBfloat16(expected) ? ScalarType.BFloat16 : ScalarType.Float32));
    }

    public static void SkipUnlessBuilt(string name, string folder)
    {
        string type = JsonNode.Parse(File.ReadAllText(Path.Combine(BaseOf(folder), "config.json")))!["model_type"]!.ToString();
        Assert.SkipUnless(ModelCatalogue.Families.Any(family => family.ModelType == type), $"{name}: the family {type} is not built yet");
    }

    public static CausalModel OpenBase(string folder, ScalarType type)
    {
        string path = BaseOf(folder);
        using var weights = CheckpointFolder.OpenWeights(path);
        return ModelCatalogue.Load(JsonNode.Parse(File.ReadAllText(Path.Combine(path, "config.json")))!.AsObject(), path, weights, type);
    }

    public bool Has(string key) => _values.Tensors.ContainsKey(key);

    public Tensor Value(string key)
    {
        var tensor = _values.Read(key);
        _read.Add(tensor);
        return tensor;
    }

    /// <summary>Logits at the positions that PEFT used, or at 0, 1, 2 … of the text; over virtual tokens as well where a prompt is attached.</summary>
    public Tensor Logits(string? positions)
    {
        using var quiet = no_grad();
        return Model.Logits(Hidden(positions));
    }

    public void CompareLogits(string key, string positions, string what)
    {
        using var scope = NewDisposeScope();
        var mask = Value("attention_mask");
        var (expected, actual) = (Value(key), Logits(positions));
        if (expected.shape[1] > mask.shape[1])
            mask = cat([ones([mask.shape[0], expected.shape[1] - mask.shape[1]], mask.dtype), mask], 1);
        var real = mask.unsqueeze(-1);
        Near.Equal(expected * real, actual * real, Tolerance("logits", 1e-5), what);
    }

    public void CompareGradients(Adapter adapter)
    {
        using var scope = NewDisposeScope();
        foreach (var weight in adapter.Weights.Values)
            weight.requires_grad = true;
        // Virtual tokens have no label.
        var labels = Value("labels");
        if (Prompt > 0)
            labels = cat([full([labels.shape[0], Prompt], -100L, dtype: ScalarType.Int64), labels], 1);
        labels = labels.narrow(1, 1, labels.shape[1] - 1).flatten();
        var hidden = Hidden("position_ids");
        var logits = Model.Logits(hidden.narrow(1, 0, hidden.shape[1] - 1)).reshape(labels.shape[0], -1);
        var loss = nn.functional.cross_entropy(logits, labels, ignore_index: -100);
        loss.backward();
        Near.Equal(Value("loss"), loss.reshape(1), Tolerance("loss", 1e-5), "loss");
        double largest = Expected["max_abs_fp32_minus_fp64"]!["gradient_largest"]!.GetValue<double>();
        foreach (var (key, weight) in adapter.Weights)
        {
            using var gradient = weight.grad;
            Near.Equal(Value($"grad.{key}"), gradient!, Tolerance("gradients", 1e-6 * Math.Max(1, largest)), key);
            weight.requires_grad = false;
        }

        // Every gradient that PEFT has is one of ours, or that of a second name of the same tensor.
        bool isEncoder = adapter.Weights.Keys.Any(key => key.StartsWith("encoder.", StringComparison.Ordinal));
        var names = adapter.Weights.Keys.Concat(adapter.Saved.Select(saved => saved.Name)).ToHashSet();
        Assert.All(_values.Tensors.Keys.Where(key => key.StartsWith("grad.", StringComparison.Ordinal) && (isEncoder || !key.StartsWith("grad.encoder.", StringComparison.Ordinal))),
            key => Assert.Contains(key["grad.".Length..], names));
    }

    /// <summary>Greedy tokens, each row alone and both in one batch padded on the left: padding changes nothing here, where PEFT's prompts do change.</summary>
    public void CompareGreedy()
    {
        int width = (int)_values.Tensors["input_ids"].Shape[1];
        var (ids, mask) = (Ids("input_ids"), Ids("attention_mask"));
        int[][] prompts = [ids[..width], [.. ids[width..].Where((_, place) => mask[width + place] == 1)]];
        int[][] expected = [Ids("generated_row0"), Ids("generated_row1_without_pads")];
        var generator = new TextGenerator(Model, new GenerationConfig { MaxNewTokens = expected[0].Length }, []);
        Assert.Equal(expected[0], generator.Stream(prompts[0]));
        Assert.Equal(expected, generator.Generate(prompts, cancellation: TestContext.Current.CancellationToken));
        if (Prompt == 0)
            Assert.Equal(Ids("generated_left_padded"), expected.SelectMany(row => row));
    }

    public void Dispose()
    {
        _read.ForEach(tensor => tensor.Dispose());
        _values.Dispose();
        Model.Dispose();
    }

    // Text positions are counted from the start of the text; the fixtures count virtual tokens as well.
    private Tensor Hidden(string? positions)
    {
        Tensor? places = null;
        if (positions is not null)
        {
            places = Value(positions);
            if (places.shape[1] > Value("input_ids").shape[1])
                places = places.narrow(1, Prompt, places.shape[1] - Prompt);
            places = places.sub(Filled(Ahead));
        }

        return Model.HiddenOfAll(Value("input_ids"), Value("attention_mask"), places, cache: null);
    }

    private static Tensor Filled(long value) => tensor(new[] { value });

    private int[] Ids(string name)
    {
        using var tensor = _values.Read(name);
        return [.. tensor.data<long>().Select(id => (int)id)];
    }

    private static bool InBfloat16(JsonNode expected) => expected["logits_dtype"]?.ToString() == "bfloat16";

    private static string BaseOf(string folder) => Path.GetFullPath(Path.Combine(
        folder, JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "adapter_config.json")))!["base_model_name_or_path"]!.ToString()));

    private double Tolerance(string kind, double least) =>
        Math.Max(least, 10 * (Expected["max_abs_fp32_minus_fp64"]![kind]?.GetValue<double>() ?? 0));
}
