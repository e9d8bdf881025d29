using Perenos.Runs;

namespace Perenos.Checkpoints;

/// <summary>Gives the tensors in a pickled dictionary their names; dictionaries in it add a part and a dot: <c>model.wte.weight</c>.</summary>
internal sealed class TorchStateDict
{
    private const int MostDepth = 16;
    private const long LeastBudget = 1 << 16;

    // A view may repeat its storage, and views may share it: a few bytes on disk can stand for any number of elements.
    private const long MostRepetition = 16;
    private const long AlwaysAllowedBytes = 16 << 20;

    private readonly MappedFile _file;
    private readonly Dictionary<string, TorchView> _tensors = new(StringComparer.Ordinal);
    private long _budget; // entries and characters of names; dictionaries may contain each other many times over
    private long _bytes;

    private TorchStateDict(MappedFile file, long pickleBytes) => (_file, _budget) = (file, Math.Max(LeastBudget, MostRepetition * pickleBytes));

    /// <summary>The tensors of a pickled value.</summary>
    /// <exception cref="PerenosException">It is no dictionary of tensors, or stands for far more than the file holds.</exception>
    public static IReadOnlyDictionary<string, TorchView> Tensors(TorchPickle pickle, MappedFile file, TorchConstructors torch)
    {
        if (pickle.Value is not PickleDict dictionary)
            throw Refusal.Malformed(file.Path, "what it holds is no dictionary of tensors");
        var found = new TorchStateDict(file, pickle.Bytes);
        found.Walk("", dictionary, depth: 0);
        int nameless = torch.TensorCount - found._tensors.Values.Distinct(ReferenceEqualityComparer.Instance).Count();
        if (nameless > 0)
            throw Refusal.Malformed(file.Path, $"{nameless:N0} of its tensors lie in lists or under keys that are no text, and so have no name");
        return found._tensors.Count > 0 ? found._tensors : throw Refusal.Malformed(file.Path, "it holds no tensor");
    }

    private void Walk(string prefix, PickleDict dictionary, int depth)
    {
        if (depth > MostDepth)
            throw Refusal.Malformed(_file.Path, $"its dictionaries lie more than {MostDepth} deep");
        foreach (var (key, value) in dictionary.Entries)
        {
            string name = key is string text ? prefix + text : "";
            _budget -= 1 + name.Length;
            if (_budget < 0)
                throw Refusal.Malformed(_file.Path, "its dictionaries contain each other many times over");
            if (key is not string)
                continue;
            if (value is PickleDict inner)
                Walk(name + ".", inner, depth + 1);
            else if (value is TorchView view)
                Add(name, view);
        }
    }

    private void Add(string name, TorchView view)
    {
        if (!_tensors.TryAdd(name, view))
            throw Refusal.Malformed(_file.Path, $"tensor {Refusal.Quote(name)} is described twice");
        long bytes = view.Elements * view.Element.Bytes;
        long most = Math.Max(AlwaysAllowedBytes, MostRepetition * _file.Length);
        if (bytes > most - _bytes)
            throw Refusal.Malformed(_file.Path, $"its tensors repeat its data many times over; {Refusal.Quote(name)} alone stands for {bytes:N0} bytes");
        _bytes += bytes;
    }
}

/// <summary>What a container holds.</summary>
/// <param name="Value">The value of its pickle.</param>
/// <param name="Bytes">Length of the pickle.</param>
internal readonly record struct TorchPickle(object? Value, long Bytes);
