using Perenos.Runs;
using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Checkpoints;

/// <summary>The tensors of a GGUF model under the names and in the layout of its Hugging Face twin.</summary>
public sealed class GgufSource : ITensorSource
{
    private readonly Dictionary<string, TensorInfo> _tensors = new(StringComparer.Ordinal);
    private readonly Dictionary<string, (string Gguf, GgufChange Change)> _origins = new(StringComparer.Ordinal);
    private readonly long _heads;
    private readonly long _keyHeads;

    private GgufSource(GgufFile file)
    {
        File = file;
        if (file.Text("general.type") is { } kind && kind != "model")
            throw new PerenosException($"{file.Location} is not a model but of the type {Refusal.Quote(kind)}.", "give the file of the model itself.");
        var layout = GgufLayout.Of(file.Architecture, file.Location);
        _heads = HeadCount("attention.head_count") ?? throw Refusal.Malformed(file.Location, $"it lacks {file.Architecture}.attention.head_count");
        _keyHeads = HeadCount("attention.head_count_kv") ?? _heads;
        foreach (var (name, tensor) in file.Tensors)
        {
            if (!GgufRotaryScaling.IsPartOfConfiguration(name))
                Add(layout, tensor);
        }
    }

    /// <summary>The file itself, for its metadata.</summary>
    public GgufFile File { get; }

    /// <inheritdoc/>
    public string Location => File.Location;

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, TensorInfo> Tensors => _tensors;

    /// <summary>Opens a model file.</summary>
    /// <exception cref="PerenosException">It is malformed, no model, of an unknown architecture, or has tensors that do not belong to it.</exception>
    public static GgufSource Open(string path)
    {
        var file = GgufFile.Open(path);
        try
        {
            return new GgufSource(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    /// <remarks>Quantised tensors are read as float32 where no other type is asked for.</remarks>
    public Tensor Read(string name, torch.ScalarType? type = null)
    {
        if (!_origins.TryGetValue(name, out var origin))
            throw Refusal.NoSuchTensor(this, name);
        // float32: 1 + w has lost the last bits of a small w in narrower types.
        var stored = File.Read(origin.Gguf, origin.Change == GgufChange.PlusOne ? torch.ScalarType.Float32 : type);
        if (origin.Change == GgufChange.None)
            return stored;
        using (stored)
        using (NewDisposeScope())
        {
            long heads = origin.Change == GgufChange.KeyRows ? _keyHeads : _heads;
            return GgufLayout.Apply(origin.Change, stored, heads).to(type ?? stored.dtype).contiguous().DetachFromDisposeScope();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => File.Dispose();

    private long? HeadCount(string key)
    {
        long? heads = File.Integer($"{File.Architecture}.{key}");
        return heads is < 1 or > 1 << 20 ? throw Refusal.Malformed(Location, $"its {key} is {heads}") : heads;
    }

    private void Add(GgufLayout layout, GgufTensor tensor)
    {
        string quoted = Refusal.Quote(tensor.Name);
        var (name, change) = layout.Translate(tensor.Name)
            ?? throw Refusal.Malformed(Location, $"tensor {quoted} has no place in the architecture {File.Architecture}");
        long unit = GgufLayout.RowUnit(change, change == GgufChange.KeyRows ? _keyHeads : _heads);
        if (change == GgufChange.Transposed && tensor.Shape.Length != 2 || unit > 1 && (tensor.Shape.Length == 0 || tensor.Shape[0] % unit != 0))
            throw Refusal.Malformed(Location, $"tensor {quoted} of shape [{string.Join(", ", tensor.Shape)}] does not fit {_heads} heads and {_keyHeads} for keys");
        var type = GgmlType.Named(tensor.Type).Torch;
        _tensors.Add(name, new TensorInfo(
            name, type, tensor.Type, GgufLayout.ShapeAfter(change, tensor.Shape), tensor.Offset, tensor.Length, Location));
        _origins.Add(name, (tensor.Name, change));
    }
}
