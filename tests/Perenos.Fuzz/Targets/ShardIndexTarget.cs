using Perenos.Checkpoints;

namespace Perenos.Fuzz.Targets;

/// <summary>The index of a sharded checkpoint, with two shards beside it.</summary>
internal static class ShardIndexTarget
{
    private static readonly byte[] First = SafetensorsTarget.File("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8);
    private static readonly byte[] Second = SafetensorsTarget.File("""{"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8);

    public static FuzzTarget Create() => new("index",
    [
        """{"metadata":{"total_size":16},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}"""u8.ToArray(),
    ],
    TextDamage.Json, Read);

    private static long Read(FuzzInput input)
    {
        foreach (var (name, bytes) in new[] { ("1.safetensors", First), ("2.safetensors", Second) })
        {
            string path = input.FileBeside(name);
            if (!File.Exists(path))
                File.WriteAllBytes(path, bytes);
        }

        using var checkpoint = ShardedCheckpoint.Open(input.FileNamed(ShardedCheckpoint.SafetensorsIndexName));
        return TensorReading.All(checkpoint);
    }
}
