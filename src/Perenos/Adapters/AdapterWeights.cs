using Perenos.Checkpoints;
using Perenos.Layers;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>Where the numbers of an adapter come from while it is placed: a file, or a start for training.</summary>
internal abstract class AdapterWeights
{
    /// <summary>Whether training begins: nothing is on disk.</summary>
    public abstract bool IsFresh { get; }

    /// <summary>Whether a tensor of this name can be read.</summary>
    public abstract bool Has(string name);

    /// <summary>A tensor of this name and shape, in the caller's dispose scope.</summary>
    /// <param name="path">The layer that it belongs to, or "" for none.</param>
    /// <param name="leaf">PEFT's name below the layer.</param>
    /// <param name="shape">Shape that settings and model ask for.</param>
    /// <param name="like">Tensor whose device is used.</param>
    /// <param name="start">Gives the tensor where training begins.</param>
    /// <param name="type">Type to hold it in.</param>
    public abstract Tensor Take(string path, string leaf, long[] shape, Tensor like, Func<Generator, Tensor> start, ScalarType type = ScalarType.Float32);

    /// <summary>Called when all is placed: refuses names without a place and places without a name.</summary>
    public virtual void RefuseMisfits(ModelParts parts)
    {
    }
}

/// <summary>Numbers for a start; what is random is a function of the seed and the layer's name.</summary>
/// <param name="seed">The seed.</param>
/// <param name="given">What the first tensor of this shape starts as, instead of what the method would choose.</param>
internal sealed class FreshWeights(ulong seed, Tensor? given = null) : AdapterWeights
{
    private Tensor? _given = given;

    public override bool IsFresh => true;

    public override bool Has(string name) => false;

    public override Tensor Take(string path, string leaf, long[] shape, Tensor like, Func<Generator, Tensor> start, ScalarType type)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        using var generator = new Generator(Seed.Of(seed, path.Length == 0 ? leaf : path));
        bool isGiven = _given is not null && _given.shape.SequenceEqual(shape);
        var tensor = (isGiven ? _given! : start(generator)).to(type, like.device);
        _given = isGiven ? null : _given;
        // A copy: it must not share memory with a weight of the base.
        return tensor.clone().MoveToOuterDisposeScope();
    }
}

/// <summary>Numbers of a PEFT file. What is missing or left over is told at the end, all at once.</summary>
internal sealed class FileWeights(SafetensorsFile file, string location) : AdapterWeights
{
    // A list of names that a reader can still take in; broken files of large models have thousands.
    private const int MostNames = 64;

    private readonly HashSet<string> _taken = [];
    private readonly List<string> _missing = [];

    public override bool IsFresh => false;

    public override bool Has(string name) => file.Tensors.ContainsKey(name);

    /// <summary>The shape of a tensor, or null.</summary>
    public long[]? ShapeOf(string name) => file.Tensors.TryGetValue(name, out var info) ? info.Shape : null;

    public override Tensor Take(string path, string leaf, long[] shape, Tensor like, Func<Generator, Tensor> start, ScalarType type) =>
        Take(PeftNames.OnDisk(path, leaf), shape, like, type);

    /// <summary>Reads a second copy of a tensor, which may only repeat it.</summary>
    public void TakeCopy(string name, Tensor original)
    {
        if (!Has(name))
            return;
        using var scope = NewDisposeScope();
        if (!Take(name, original.shape, original, original.dtype).equal(original).all().item<bool>())
            throw new PerenosException($"{file.Location}: {name} differs from the tensor that it repeats.", "Take the adapter as PEFT wrote it.");
    }

    private Tensor Take(string name, long[] shape, Tensor like, ScalarType type)
    {
        if (!file.Tensors.TryGetValue(name, out var info))
        {
            _missing.Add(name);
            // Never computed with: the end refuses. No memory is taken for a shape that no file backs.
            return zeros([1], type).expand(shape);
        }

        if (!info.Shape.SequenceEqual(shape))
        {
            throw new PerenosException(
                $"{file.Location}: {name} is [{string.Join(", ", info.Shape)}], but {location} on this model asks for [{string.Join(", ", shape)}].",
                "Take adapter_config.json and adapter_model.safetensors from the same training, and the base that it names.");
        }

        _taken.Add(name);
        using var scope = NewDisposeScope();
        var tensor = file.Read(name, type);
        scope.Attach(tensor);
        WeightCheck.RefuseNotFinite($"{file.Location}: {name}", tensor);
        return tensor.to(like.device).MoveToOuterDisposeScope();
    }

    /// <summary>Refuses names without a place and places without a name. Copies of the base's own weights may stand beside them.</summary>
    public override void RefuseMisfits(ModelParts parts)
    {
        var surplus = file.Tensors.Keys.Where(name => !_taken.Contains(name) && !IsCopyOfBase(name, parts)).ToList();
        if (surplus.Count == 0 && _missing.Count == 0)
            return;
        throw new PerenosException(
            $"{file.Location} does not fit this model: names without a layer: {Listed(surplus)}; layers without weights: {Listed(_missing)}.",
            $"Use the base that the adapter was trained on; names must begin with {PeftNames.Prefix} and continue as in the base.{Nearest(surplus)}");
    }

    // PEFT saves the frozen weight of an adapted embedding or head, and both where the vocabulary was resized.
    private bool IsCopyOfBase(string name, ModelParts parts)
    {
        if (!name.StartsWith(PeftNames.Prefix, StringComparison.Ordinal))
            return false;
        string plain = name[PeftNames.Prefix.Length..].Replace(".base_layer.", ".", StringComparison.Ordinal);
        var weight = parts.Weights.GetValueOrDefault(plain)
            ?? parts.Projections.FirstOrDefault(projection => $"{projection.Path}.weight" == plain)?.Weight;
        if (weight is null)
            return false;
        long[] shape = file.Tensors[name].Shape;
        if (!shape.SequenceEqual(weight.shape))
        {
            throw new PerenosException(
                $"{file.Location}: {name} has {shape.FirstOrDefault():N0} rows, but the base's {plain} has {weight.shape[0]:N0}{OtherResized(name, parts)}.",
                "The adapter was trained after the vocabulary was resized: resize the base's vocabulary first, or use the base that it was trained on.");
        }

        using var scope = NewDisposeScope();
        var copy = file.Read(name, weight.dtype);
        scope.Attach(copy);
        if (copy.equal(weight.detach().cpu()).all().item<bool>())
            return true;
        throw new PerenosException(
            $"{file.Location}: {name} is not the weight of this model's {plain}.", "Use the base that the adapter was trained on.");
    }

    private string OtherResized(string name, ModelParts parts)
    {
        var others = file.Tensors.Where(tensor => tensor.Key != name && tensor.Key.StartsWith(PeftNames.Prefix, StringComparison.Ordinal)
            && parts.Weights.TryGetValue(tensor.Key[PeftNames.Prefix.Length..], out var weight) && !weight.shape.SequenceEqual(tensor.Value.Shape)).ToList();
        return others.Count == 0 ? "" : $" ({string.Join(", ", others.Select(other => $"{other.Key}: {other.Value.Shape[0]:N0}"))} as well)";
    }

    // The nearest pair shows where the names part.
    private string Nearest(List<string> surplus)
    {
        if (surplus.Count == 0 || _missing.Count == 0)
            return "";
        return NearestName.Of(Reversed(surplus[0]), _missing.Select(Reversed)) is { } nearest
            ? $" Nearest: {surplus[0]} in the file, {Reversed(nearest)} here."
            : "";
    }

    // Long names begin alike; what tells them apart stands at the end, and only the first characters are compared.
    private static string Reversed(string name) => new([.. name.Reverse()]);

    private static string Listed(List<string> names) => names.Count == 0
        ? "none"
        : string.Join(", ", names.Take(MostNames)) + (names.Count > MostNames ? $" and {names.Count - MostNames} more" : "");
}
