using System.Globalization;
using Perenos.Checkpoints;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Transfer;

/// <summary>Where an estimate of the Fisher information comes from; stands in its file's metadata.</summary>
public sealed record FisherOrigin
{
    /// <summary>How it was estimated.</summary>
    public required FisherEstimator Estimator { get; init; }

    /// <summary>The model's folder, file or name.</summary>
    public required string Base { get; init; }

    /// <summary>SHA-256 of its weights on disk.</summary>
    public required string BaseHash { get; init; }

    /// <summary>The text's files, one after the other where tasks were added.</summary>
    public required string Corpus { get; init; }

    /// <summary>SHA-256 of the text.</summary>
    public required string CorpusHash { get; init; }

    /// <summary>Predicted tokens of the newest task.</summary>
    public required long Tokens { get; init; }

    /// <summary>Backward passes of the newest task.</summary>
    public required long Passes { get; init; }

    /// <summary>Seed of the drawn labels.</summary>
    public required ulong Seed { get; init; }

    /// <summary>Type that was computed in.</summary>
    public required string ComputeType { get; init; }

    /// <summary>Texts that were added up.</summary>
    public int Tasks { get; init; } = 1;

    /// <summary>Weight of earlier texts when the newest was added.</summary>
    public double Decay { get; init; } = 1;
}

/// <summary>
/// <c>fisher.safetensors</c>: the diagonal Fisher information of a base on a text, float32 by the weights' names, with its origin
/// in the metadata. It belongs to the base that it names, and to no other.
/// </summary>
public sealed class FisherFile : IDisposable
{
    private const string Kind = "perenos.fisher.1", Units = "nats^2 per token and squared unit of the weight";

    private const string SketchPrefix = "sketch.";

    private readonly SafetensorsFile _file;

    private FisherFile(SafetensorsFile file, FisherOrigin origin)
    {
        (_file, Origin) = (file, origin);
        Tensors = file.Tensors.Where(tensor => !tensor.Key.StartsWith(SketchPrefix, StringComparison.Ordinal)).ToDictionary(StringComparer.Ordinal);
    }

    /// <summary>Where it comes from.</summary>
    public FisherOrigin Origin { get; }

    /// <summary>Names and shapes of the weights that it has values for.</summary>
    public IReadOnlyDictionary<string, TensorInfo> Tensors { get; }

    /// <summary>Rows of the sketch; 0 where the file has none.</summary>
    public long SketchRows => _file.Tensors.FirstOrDefault(tensor => tensor.Key.StartsWith(SketchPrefix, StringComparison.Ordinal)).Value?.Shape[0] ?? 0;

    /// <summary>Writes an estimate.</summary>
    /// <exception cref="PerenosException">The file cannot be written.</exception>
    public static void Save(string path, FisherInformation fisher, FisherOrigin origin)
    {
        using var scope = NewDisposeScope();
        var importance = fisher.Importance.Select(entry => (entry.Key, entry.Value));
        var sketch = (fisher.Sketch ?? new Dictionary<string, Tensor>()).Select(entry => (SketchPrefix + entry.Key, entry.Value.to(ScalarType.BFloat16)));
        SafetensorsWriter.Write(path, importance.Concat(sketch), new Dictionary<string, string>
        {
            ["kind"] = Kind,
            ["units"] = Units,
            ["estimator"] = origin.Estimator.ToString(),
            ["base"] = origin.Base,
            ["base_sha256"] = origin.BaseHash,
            ["corpus"] = origin.Corpus,
            ["corpus_sha256"] = origin.CorpusHash,
            ["tokens"] = Text(origin.Tokens),
            ["passes"] = Text(origin.Passes),
            ["seed"] = Text(origin.Seed),
            ["compute_type"] = origin.ComputeType,
            ["tasks"] = Text(origin.Tasks),
            ["decay"] = Text(origin.Decay),
        });
    }

    /// <summary>Opens an estimate; no values are read.</summary>
    /// <exception cref="PerenosException">The file is missing, malformed or something else.</exception>
    public static FisherFile Open(string path)
    {
        var file = SafetensorsFile.Open(path);
        try
        {
            if (file.Metadata.GetValueOrDefault("kind") != Kind)
                throw new PerenosException($"{path} holds no Fisher information.", "Give a file that perenos fisher wrote.");
            return new FisherFile(file, Read(path, file.Metadata));
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>The values of one weight; the caller owns the tensor.</summary>
    public Tensor Values(string name) => _file.Read(name, ScalarType.Float32);

    /// <summary>Values of all weights; the caller owns the tensors.</summary>
    /// <exception cref="PerenosException">It belongs to other weights, or holds what no squares are.</exception>
    public IReadOnlyDictionary<string, Tensor> ValuesFor(IReadOnlyDictionary<string, Tensor> weights, string baseHash)
    {
        if (Origin.BaseHash != baseHash)
        {
            throw new PerenosException(
                $"{_file.Location} belongs to another base: it was estimated on {Origin.Base}, whose weights are not those of this run.",
                "Estimate it anew: perenos fisher --model MODEL --data TEXT --output FILE.");
        }

        if (weights.FirstOrDefault(weight => !Tensors.TryGetValue(weight.Key, out var info) || !info.Shape.SequenceEqual(weight.Value.shape)) is { Key: { } missing })
            throw new PerenosException($"{_file.Location} has no values for {missing}, or of another shape.", "Estimate it anew for this model.");
        var values = new Dictionary<string, Tensor>();
        try
        {
            foreach (string name in weights.Keys)
            {
                values[name] = Values(name);
                RefuseNegative(name, values[name]);
            }

            return values;
        }
        catch
        {
            foreach (var value in values.Values)
                value.Dispose();
            throw;
        }
    }

    /// <summary>The sketch's rows of some weights, or none where the file has no sketch; the caller owns the tensors, which lie in this file while it is open.</summary>
    /// <exception cref="PerenosException">It fits other weights, or holds what no numbers are.</exception>
    public IReadOnlyDictionary<string, Tensor>? SketchFor(IReadOnlyDictionary<string, Tensor> weights)
    {
        if (SketchRows == 0)
            return null;
        foreach (var (name, weight) in weights)
        {
            long[] shape = [SketchRows, FisherSketch.ThinnedCount(weight.numel())];
            if (!_file.Tensors.TryGetValue(SketchPrefix + name, out var info) || !info.Shape.SequenceEqual(shape))
                throw new PerenosException($"{_file.Location}: the sketch of {name} is missing or of another shape than [{string.Join(", ", shape)}].", "Estimate it anew for this model.");
        }

        var rows = weights.Keys.ToDictionary(name => name, name => _file.Read(SketchPrefix + name), StringComparer.Ordinal);
        if (rows.FirstOrDefault(entry => !IsFinite(entry.Value)) is { Key: { } wrong })
        {
            foreach (var values in rows.Values)
                values.Dispose();
            throw new PerenosException($"{_file.Location}: the sketch of {wrong} holds what no numbers are.", "Estimate it anew.");
        }

        return rows;
    }

    /// <summary>Closes the file.</summary>
    public void Dispose() => _file.Dispose();

    private void RefuseNegative(string name, Tensor values)
    {
        using var scope = NewDisposeScope();
        if (values.numel() == 0)
            return;
        var (least, most) = (values.min().item<float>(), values.max().item<float>());
        if (!(least >= 0 && float.IsFinite(most)))
            throw new PerenosException($"{_file.Location}: {name} holds negative values or no numbers.", "Mean squares are neither: estimate it anew.");
    }

    private static bool IsFinite(Tensor values)
    {
        using var scope = NewDisposeScope();
        return values.isfinite().all().item<bool>();
    }

    private static FisherOrigin Read(string path, IReadOnlyDictionary<string, string> metadata)
    {
        string Value(string key) => metadata.GetValueOrDefault(key) ?? throw Malformed(path, key);
        T Number<T>(string key)
            where T : IParsable<T> => T.TryParse(Value(key), CultureInfo.InvariantCulture, out var number) ? number : throw Malformed(path, key);
        return new FisherOrigin
        {
            Estimator = Enum.TryParse<FisherEstimator>(Value("estimator"), out var estimator) ? estimator : throw Malformed(path, "estimator"),
            Base = Value("base"),
            BaseHash = Value("base_sha256"),
            Corpus = Value("corpus"),
            CorpusHash = Value("corpus_sha256"),
            Tokens = Number<long>("tokens"),
            Passes = Number<long>("passes"),
            Seed = Number<ulong>("seed"),
            ComputeType = Value("compute_type"),
            Tasks = Number<int>("tasks"),
            Decay = Number<double>("decay"),
        };
    }

    private static PerenosException Malformed(string path, string key) =>
        new($"{path}: the metadata's {key} is missing or malformed.", "Give the file as perenos fisher wrote it.");

    private static string Text(IFormattable value) => value.ToString(null, CultureInfo.InvariantCulture);
}
