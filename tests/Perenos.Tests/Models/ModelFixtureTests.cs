using System.Text.Json.Nodes;
using Perenos.Checkpoints;
using Perenos.Generation;
using Perenos.Kernels;
using Perenos.Models;
using Perenos.Runs.Config;
using Perenos.Testing;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Models;

/// <summary>Every family against transformers: logits, padding, loss, gradients, greedy text (the fixtures' README has the definitions).</summary>
public sealed class ModelFixtureTests
{
    public static TheoryData<string> Folders => [.. Fixtures.Folders("models", "expected.safetensors")];

    [Theory]
    [MemberData(nameof(Folders))]
    public void Logits_equal_the_reference(string name)
    {
        using var fixture = ModelFixture.OpenOrSkip(name);
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        double tolerance = fixture.Tolerance("logits");
        Near.Equal(fixture["logits"], fixture.Logits(fixture["input_ids"]), tolerance, "logits");
        var right = fixture.Logits(fixture["input_ids_right"]);
        fixture.Compare("logits_right", right, fixture["attention_mask_right"], tolerance);
        var left = fixture.Logits(fixture["input_ids_left"], fixture["attention_mask_left"], fixture["position_ids_left"]);
        fixture.Compare("logits_left", left, fixture["attention_mask_left"], tolerance);

        // The fixture repeats these logits only where they differ by more than rounding.
        const double sameWithoutPositions = 1e-4;
        var unplaced = fixture.Logits(fixture["input_ids_left"], fixture["attention_mask_left"]);
        if (fixture.Has("logits_left_default_positions"))
            fixture.Compare("logits_left_default_positions", unplaced, fixture["attention_mask_left"], tolerance);
        else
            fixture.Compare("logits_left", unplaced, fixture["attention_mask_left"], tolerance + sameWithoutPositions);
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public void Loss_and_gradients_equal_the_reference(string name)
    {
        using var fixture = ModelFixture.OpenOrSkip(name);
        using var scope = NewDisposeScope();
        var model = fixture.Model;
        foreach (var weight in model.Parts.Weights.Values)
            weight.requires_grad = true;

        var hidden = model.Hidden(fixture["input_ids"]);
        var labels = fixture["labels"].narrow(1, 1, fixture["labels"].shape[1] - 1).flatten();
        var places = labels.ne(-100).nonzero().flatten();
        var states = hidden.narrow(1, 0, hidden.shape[1] - 1).reshape(-1, hidden.shape[2]).index_select(0, places);
        var loss = TokenLoss.Sum(states, model.Head.Weight, model.Head.Bias, labels.index_select(0, places), 1.0 / places.shape[0]);
        loss.backward();

        Near.Equal(fixture["loss"], loss.reshape(1), fixture.Tolerance("loss"), "loss");
        double tolerance = fixture.Tolerance("grad");
        // Every norm stands in expected.json; whole gradients of some tensors in the file.
        var norms = fixture.Expected["grad_l2_norms"]!.AsObject();
        Assert.Equal(norms.Count, model.Parts.Weights.Count);
        int compared = 0;
        foreach (var (weightName, weight) in model.Parts.Weights)
        {
            string onDisk = fixture.NameOnDisk(weightName);
            using var gradient = weight.grad;
            Assert.True(gradient is not null, $"{weightName} has no gradient");
            double norm = norms[onDisk]!.GetValue<double>();
            Assert.Equal(norm, gradient!.norm().item<float>(), Math.Max(1e-4 * norm, tolerance * Math.Sqrt(gradient.numel())));
            if (!fixture.Has($"grad.{onDisk}"))
                continue;
            Near.Equal(fixture[$"grad.{onDisk}"], gradient, tolerance, onDisk);
            compared++;
        }

        Assert.Equal(fixture.CountOf("grad."), compared);
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public void Greedy_text_equals_the_reference_alone_padded_and_stopped(string name)
    {
        using var fixture = ModelFixture.OpenOrSkip(name);
        var prompt = fixture.Ids("prompt_ids")[0];
        var expected = fixture.Ids("generated")[0];
        var settings = new GenerationConfig { MaxNewTokens = expected.Length - prompt.Length };
        var generator = new TextGenerator(fixture.Model, settings, []);
        Assert.Equal(expected[prompt.Length..], generator.Stream(prompt));

        var masks = fixture.Ids("prompt_mask_left");
        var padded = fixture.Ids("prompt_ids_left");
        var prompts = padded.Zip(masks, (ids, mask) => ids.Where((_, place) => mask[place] == 1).ToArray()).ToArray();
        var generatedLeft = fixture.Ids("generated_left");
        var texts = generator.Generate(prompts, cancellation: TestContext.Current.CancellationToken);
        for (int row = 0; row < prompts.Length; row++)
            Assert.Equal(generatedLeft[row][padded[row].Length..], texts[row]);

        int stop = fixture.Expected["stop_token_of_generated_stop_left"]!.GetValue<int>();
        var stopped = new TextGenerator(fixture.Model, settings, [stop]).Generate(prompts, cancellation: TestContext.Current.CancellationToken);
        var generatedStop = fixture.Ids("generated_stop_left");
        for (int row = 0; row < prompts.Length; row++)
            Assert.Equal(generatedStop[row][padded[row].Length..].TakeWhile(token => token != stop), stopped[row]);
    }

    private sealed class ModelFixture : IDisposable
    {
        private readonly SafetensorsFile _values;
        private readonly List<Tensor> _read = [];

        private ModelFixture(CausalModel model, SafetensorsFile values, JsonNode expected)
            => (Model, _values, Expected) = (model, values, expected);

        public CausalModel Model { get; }

        public JsonNode Expected { get; }

        public Tensor this[string name]
        {
            get
            {
                var tensor = _values.Read(name);
                _read.Add(tensor);
                return tensor;
            }
        }

        public static ModelFixture OpenOrSkip(string name)
        {
            string folder = Fixtures.FolderOrSkip("models", name);
            var config = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "config.json")))!.AsObject();
            string type = config["model_type"]!.ToString();
            Assert.SkipUnless(ModelCatalogue.Families.Any(family => family.ModelType == type), $"{name}: the family {type} is not built yet");
            using var weights = CheckpointFolder.OpenWeights(folder);
            var model = ModelCatalogue.Load(config, folder, weights, ScalarType.Float32);
            return new ModelFixture(model, SafetensorsFile.Open(Path.Combine(folder, "expected.safetensors")),
                JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "expected.json")))!);
        }

        public double Tolerance(string kind)
        {
            var tolerances = Expected["tolerance"]!.AsObject();
            return tolerances.First(tolerance => tolerance.Key.StartsWith(kind, StringComparison.Ordinal)).Value!.GetValue<double>();
        }

        public Tensor Logits(Tensor tokens, Tensor? mask = null, Tensor? positions = null) =>
            Model.Logits(Model.Hidden(tokens, mask, positions));

        public void Compare(string name, Tensor actual, Tensor mask, double tolerance)
        {
            var real = mask.unsqueeze(-1);
            Near.Equal(this[name] * real, actual * real, tolerance, name);
        }

        public string NameOnDisk(string name) =>
            ModelCatalogue.FamilyOf(Model.Config.Json, "").Spellings(name).First(Expected["grad_l2_norms"]!.AsObject().ContainsKey);

        public bool Has(string name) => _values.Tensors.ContainsKey(name);

        public int CountOf(string prefix) => _values.Tensors.Keys.Count(name => name.StartsWith(prefix, StringComparison.Ordinal));

        public int[][] Ids(string name)
        {
            using var tensor = _values.Read(name);
            return [.. Enumerable.Range(0, (int)tensor.shape[0]).Select(row =>
            {
                using var ids = tensor.select(0, row).contiguous();
                return ids.data<long>().Select(id => (int)id).ToArray();
            })];
        }

        public void Dispose()
        {
            Model.Dispose();
            foreach (var tensor in _read)
                tensor.Dispose();
            _values.Dispose();
        }
    }
}
