using System.Text.Json.Nodes;
using Perenos.Checkpoints;
using Perenos.Kernels;
using Perenos.Layers;
using Perenos.Models;
using Perenos.Testing;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Models;

/// <summary>A tiny model with what transformers computes from it.</summary>
internal sealed class ModelFixture : IDisposable
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

    public static bool IsOfKnownFamily(string name) =>
        ModelCatalogue.Families.Any(family => family.ModelType == ConfigOf(name)["model_type"]!.ToString());

    public static ModelFixture OpenOrSkip(string name)
    {
        string folder = Fixtures.FolderOrSkip("models", name);
        Assert.SkipUnless(IsOfKnownFamily(name), $"{name}: its family is not built yet");
        var config = ConfigOf(name);
        using var weights = CheckpointFolder.OpenWeights(folder);
        var model = ModelCatalogue.Load(config, folder, weights, ScalarType.Float32);
        return new ModelFixture(model, SafetensorsFile.Open(Path.Combine(folder, "expected.safetensors")),
            JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "expected.json")))!);
    }

    /// <summary>Mean loss of the batch; its gradients are then on the weights.</summary>
    public Tensor LossWithGradients()
    {
        using var scope = NewDisposeScope();
        foreach (var weight in Model.Parts.Weights.Values)
            weight.requires_grad = true;
        using var balance = Model.BalanceWeight > 0 ? new RouterBalance() : null;
        var hidden = Model.Hidden(this["input_ids"], balance: balance);
        var labels = this["labels"].narrow(1, 1, this["labels"].shape[1] - 1).flatten();
        var places = labels.ne(-100).nonzero().flatten();
        var states = hidden.narrow(1, 0, hidden.shape[1] - 1).reshape(-1, hidden.shape[2]).index_select(0, places);
        var loss = TokenLoss.Sum(
            Model.HeadInput(states), Model.Head.Weight, Model.Head.Bias, labels.index_select(0, places), 1.0 / places.shape[0], Model.LogitCap);
        if (balance is not null)
            loss = loss + balance.Loss() * Model.BalanceWeight;
        loss.backward();
        return loss.reshape(1).detach().MoveToOuterDisposeScope();
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

    private static JsonObject ConfigOf(string name) =>
        JsonNode.Parse(File.ReadAllText(Path.Combine(Fixtures.FolderOrSkip("models", name), "config.json")))!.AsObject();

    public void Dispose()
    {
        Model.Dispose();
        foreach (var tensor in _read)
            tensor.Dispose();
        _values.Dispose();
    }
}
