using Perenos.Layers;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>Numbers that were computed or read already, by PEFT's names. The caller keeps the tensors.</summary>
internal sealed class GivenWeights(IReadOnlyDictionary<string, Tensor> tensors, string location) : AdapterWeights
{
    private readonly HashSet<string> _taken = [];

    public override bool IsFresh => false;

    public override bool Has(string name) => tensors.ContainsKey(name);

    public override Tensor Take(string path, string leaf, long[] shape, Tensor like, Func<Generator, Tensor> start, ScalarType type)
    {
        string name = PeftNames.OnDisk(path, leaf);
        if (!tensors.TryGetValue(name, out var tensor) || !tensor.shape.SequenceEqual(shape))
        {
            string found = tensor is null ? "missing" : $"[{string.Join(", ", tensor.shape)}]";
            throw new PerenosException($"{location}: {name} is {found}, but this model asks for [{string.Join(", ", shape)}].", "Use the base that the adapter was trained on.");
        }

        _taken.Add(name);
        return tensor.to(type, like.device).clone();
    }

    public override void RefuseMisfits(ModelParts parts)
    {
        var surplus = tensors.Keys.Where(name => !_taken.Contains(name)).ToList();
        if (surplus.Count > 0)
            throw new PerenosException($"{location} does not fit this model: names without a layer: {string.Join(", ", surplus)}.", "Use the base that the adapter was trained on.");
    }
}
