using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Checkpoints;

/// <summary>
/// A <c>pytorch_model.bin</c>, mapped into memory and read tensor by tensor. Its pickle is interpreted, never executed: it may make
/// tensors and dictionaries, and anything else in it is refused by name.
/// </summary>
public sealed class TorchFile : ITensorSource
{
    private readonly MappedFile _file;
    private readonly IReadOnlyDictionary<string, TorchView> _views;
    private readonly HashSet<TorchStorage> _taken; // those that no tensor may have for itself

    private TorchFile(MappedFile file, IReadOnlyDictionary<string, TorchView> views)
    {
        (_file, _views) = (file, views);
        _taken = [.. views.Values.GroupBy(view => view.Storage).Where(group => group.Count() > 1).Select(group => group.Key)];
        Tensors = views.ToDictionary(pair => pair.Key, pair => Describe(pair.Key, pair.Value), StringComparer.Ordinal);
    }

    /// <inheritdoc/>
    public string Location => _file.Path;

    /// <inheritdoc/>
    /// <remarks>Tensors of an inner dictionary have its key and a dot before their name. Those that share data are read apart.</remarks>
    public IReadOnlyDictionary<string, TensorInfo> Tensors { get; }

    /// <summary>Opens a file in the zip container of torch or the one before version 1.6, and checks all but the weights.</summary>
    /// <exception cref="Runs.PerenosException">The file cannot be read, is malformed, or asks for something that tensors do not need.</exception>
    public static TorchFile Open(string path)
    {
        var file = MappedFile.Open(path);
        try
        {
            Placeholder.Refuse(file);
            var torch = new TorchConstructors(path);
            var pickle = TorchZipContainer.Is(file) ? TorchZipContainer.Read(file, torch) : TorchLegacyContainer.Read(file, torch);
            return new TorchFile(file, TorchStateDict.Tensors(pickle, file, torch));
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    /// <remarks>As in <see cref="SafetensorsFile.Read"/>; a view with strides becomes contiguous.</remarks>
    public Tensor Read(string name, torch.ScalarType? type = null)
    {
        if (!_views.TryGetValue(name, out var view))
            throw Refusal.NoSuchTensor(this, name);
        long start = Tensors[name].Offset;
        int bytes = view.Element.Bytes;
        if ((type ?? view.Element.Torch) == view.Element.Torch && view.IsContiguous && !_taken.Contains(view.Storage)
            && _file.Share(start, view.Shape, view.Element) is { } shared)
        {
            _taken.Add(view.Storage);
            return shared;
        }

        try
        {
            return StoredElements.Read(view.Shape, view.Element, type, view.IsContiguous
                ? (first, target) => _file.Slice(start + first * bytes, target.Length).CopyTo(target)
                : (first, target) => StridedCopy.Run(_file, start, bytes, view.Shape, view.Strides, first, target));
        }
        catch (OverflowException e)
        {
            throw Refusal.TooLargeForTorch(Location, name, e);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private TensorInfo Describe(string name, TorchView view) => new(
        name, view.Element.Torch, view.Element.Name, view.Shape, view.Storage.Offset + view.First * view.Element.Bytes, view.Reach * view.Element.Bytes, Location);
}
