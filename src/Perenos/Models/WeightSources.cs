using Perenos.Checkpoints;
using Perenos.Layers;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>Weights of a checkpoint, each taken once and checked; what nobody asked for is an error at the end.</summary>
/// <param name="tensors">The checkpoint.</param>
/// <param name="type">Type in which weights are held; null reads nothing and gives weights that have a shape but no memory.</param>
/// <param name="spellings">Gives, for a name, the names under which it may lie in the file, likeliest first.</param>
internal sealed class CheckpointWeights(ITensorSource tensors, ScalarType? type, Func<string, IEnumerable<string>> spellings) : WeightSource
{
    private readonly OrderedDictionary<string, string> _taken = [];

    /// <summary>What was taken: names in the model, with their names in the file.</summary>
    public IReadOnlyDictionary<string, string> Taken => _taken;

    public override bool Has(string name) => Find(name) is not null;

    public override Tensor Create(string name, long[] shape, Initialization initialization)
    {
        string found = Find(name) ?? throw new PerenosException(
            $"{tensors.Location} lacks the tensor {name}.",
            $"The file holds {tensors.Tensors.Count} tensors, such as {string.Join(", ", tensors.Tensors.Keys.Take(3))}; config.json and weights must come from the same checkpoint.");
        var info = tensors.Tensors[found];
        if (!info.Shape.SequenceEqual(shape))
        {
            throw new PerenosException(
                $"{tensors.Location}: {found} is [{string.Join(", ", info.Shape)}], but config.json asks for [{string.Join(", ", shape)}].",
                "config.json and weights must come from the same checkpoint.");
        }

        _taken.Add(name, found);
        if (type is null)
            return empty(shape, device: META);
        var tensor = tensors.Read(found, type);
        WeightCheck.RefuseNotFinite($"{tensors.Location}: {found}", tensor);
        return tensor;
    }

    /// <summary>Refuses tensors that the model has no place for, unless they are known to be harmless.</summary>
    public void RefuseSurplus(Func<string, bool> isHarmless)
    {
        var taken = _taken.Values.ToHashSet();
        var surplus = tensors.Tensors.Keys.Where(name => !taken.Contains(name) && !isHarmless(name)).ToList();
        if (surplus.Count > 0)
        {
            throw new PerenosException(
                $"{tensors.Location} holds {surplus.Count} tensors that this model has no place for: {string.Join(", ", surplus.Take(4))}{(surplus.Count > 4 ? " …" : "")}.",
                "config.json and weights must come from the same checkpoint.");
        }
    }

    private string? Find(string name) => spellings(name).FirstOrDefault(tensors.Tensors.ContainsKey);
}

/// <summary>Random weights; each is a function of the seed and its own name.</summary>
internal sealed class SeededWeights(ulong seed, ScalarType type) : WeightSource
{
    public override bool Has(string name) => false;

    public override Tensor Create(string name, long[] shape, Initialization initialization)
    {
        using var scope = NewDisposeScope();
        using var generator = new Generator(Seed.Of(seed, name));
        var weight = initialization switch
        {
            Initialization.Zeros => zeros(shape, type),
            Initialization.Ones => ones(shape, type),
            Initialization.Normal normal => randn(shape, ScalarType.Float32, generator: generator).Scale(normal.StandardDeviation).to(type),
            _ => throw new InvalidOperationException($"Unknown initialization {initialization}."),
        };
        return weight.MoveToOuterDisposeScope();
    }
}
