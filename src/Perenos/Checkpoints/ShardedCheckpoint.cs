using System.Text.Json;
using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Checkpoints;

/// <summary>
/// A model in several files, safetensors or pickled, with an index that says where each tensor lies:
/// <c>{"metadata": {"total_size": N}, "weight_map": {tensor: file}}</c>. Index and shards must agree completely.
/// </summary>
public sealed class ShardedCheckpoint : ITensorSource
{
    /// <summary>Name of the index of safetensors that transformers looks for.</summary>
    public const string SafetensorsIndexName = "model.safetensors.index.json";

    /// <summary>Name of the index of pickled files that transformers looks for.</summary>
    public const string TorchIndexName = "pytorch_model.bin.index.json";

    private const long MaximumIndexBytes = 100_000_000;

    private readonly Dictionary<string, ITensorSource> _shards = new(StringComparer.Ordinal);
    private readonly Dictionary<string, TensorInfo> _tensors = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _shardOf = new(StringComparer.Ordinal);

    private ShardedCheckpoint(string location) => Location = location;

    /// <inheritdoc/>
    public string Location { get; }

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, TensorInfo> Tensors => _tensors;

    /// <summary>Opens the shards named in <paramref name="indexPath"/>, which lie beside it.</summary>
    /// <exception cref="Runs.PerenosException">Index and shards do not agree, or one of the files is malformed.</exception>
    public static ShardedCheckpoint Open(string indexPath)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(indexPath))!;
        var opened = new ShardedCheckpoint(folder);
        try
        {
            opened.ReadIndex(indexPath);
            opened.OpenShards(indexPath, folder);
            return opened;
        }
        catch
        {
            opened.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public Tensor Read(string name, torch.ScalarType? type = null) =>
        _shardOf.TryGetValue(name, out string? shard) ? _shards[shard].Read(name, type) : throw Refusal.NoSuchTensor(this, name);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var shard in _shards.Values)
            shard.Dispose();
    }

    private void ReadIndex(string path)
    {
        try
        {
            long length = FileLength.Of(path);
            if (length > MaximumIndexBytes)
                throw Refusal.Malformed(path, $"{length:N0} bytes are too many for an index");
            using var json = JsonDocument.Parse(File.ReadAllBytes(path), new JsonDocumentOptions { AllowDuplicateProperties = false });
            if (json.RootElement.ValueKind != JsonValueKind.Object
                || !json.RootElement.TryGetProperty("weight_map", out var map) || map.ValueKind != JsonValueKind.Object)
            {
                throw Refusal.Malformed(path, "it has no weight_map");
            }

            foreach (var entry in map.EnumerateObject())
            {
                if (entry.Value.ValueKind != JsonValueKind.String)
                    throw Refusal.Malformed(path, $"its weight_map names no file for {Refusal.Quote(entry.Name)}");
                string shard = entry.Value.GetString()!;
                if (!IsPlainFileName(shard))
                    throw Refusal.Malformed(path, $"its weight_map leads out of the folder: {Refusal.Quote(shard)}");
                _shardOf.Add(entry.Name, shard);
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or ArgumentException)
        {
            throw Refusal.Malformed(path, "it is not the JSON of an index", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Refusal.Unreachable(path, "read", e);
        }

        if (_shardOf.Count == 0)
            throw Refusal.Malformed(path, "its weight_map is empty");
    }

    private static bool IsPlainFileName(string name) =>
        name.Length > 0 && name is not ("." or "..") && !name.EndsWith(".json", StringComparison.Ordinal) && name.IndexOfAny(['/', '\\', ':', '\0']) < 0;

    private void OpenShards(string indexPath, string folder)
    {
        foreach (string shard in _shardOf.Values.Distinct(StringComparer.Ordinal))
        {
            string path = Path.Combine(folder, shard);
            if (!File.Exists(path))
                throw Refusal.Malformed(indexPath, $"it names the shard {Refusal.Quote(shard)}, which is not there");
            _shards.Add(shard, CheckpointFolder.OpenFile(path));
        }

        foreach (var (shard, file) in _shards)
        {
            foreach (var (name, info) in file.Tensors)
            {
                if (!_shardOf.TryGetValue(name, out string? expected))
                    throw Refusal.Malformed(indexPath, $"the shard {Refusal.Quote(shard)} holds {Refusal.Quote(name)}, which it does not list");
                if (!_tensors.TryAdd(name, info))
                    throw Refusal.Malformed(indexPath, $"tensor {Refusal.Quote(name)} lies in two shards");
                if (expected != shard && !_shards[expected].Tensors.ContainsKey(name))
                    throw Refusal.Malformed(indexPath, $"it puts {Refusal.Quote(name)} into {Refusal.Quote(expected)}, but it lies in {Refusal.Quote(shard)}");
            }
        }

        foreach (string name in _shardOf.Keys)
        {
            if (!_tensors.ContainsKey(name))
                throw Refusal.Malformed(indexPath, $"it lists {Refusal.Quote(name)}, which is in no shard");
        }
    }
}
