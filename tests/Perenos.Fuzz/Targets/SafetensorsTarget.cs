using System.Buffers.Binary;
using System.Text;
using Perenos.Checkpoints;

namespace Perenos.Fuzz.Targets;

/// <summary>Safetensors: the whole file, or its JSON with the length before it kept right.</summary>
internal static class SafetensorsTarget
{
    public static FuzzTarget Create() => new("safetensors",
    [
        File("""{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]},"__metadata__":{"format":"pt"}}""", 32),
        File("""{"u":{"dtype":"U64","shape":[1],"data_offsets":[0,8]},"e":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[8,11]},"n":{"dtype":"I8","shape":[0,7],"data_offsets":[11,11]},"s":{"dtype":"BOOL","shape":[],"data_offsets":[11,12]}}   """, 12),
        File("""{"model.layers.0.self_attn.q_proj.weight":{"dtype":"F16","shape":[2,2],"data_offsets":[8,16]},"model.norm.weight":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}""", 16),
    ],
    Mutate, Read);

    /// <summary>A file with that header.</summary>
    public static byte[] File(string header, int dataBytes) => File(Encoding.UTF8.GetBytes(header), new byte[dataBytes]);

    private static byte[] File(byte[] header, byte[] data)
    {
        byte[] length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
        return [.. length, .. header, .. data];
    }

    private static byte[] Mutate(byte[] valid, Damage damage)
    {
        if (damage.Random.Next(3) == 0)
            return damage.Bytes(valid);
        int end = 8 + (int)BinaryPrimitives.ReadInt64LittleEndian(valid);
        return File(TextDamage.Json(valid[8..end], damage), valid[end..]);
    }

    private static long Read(FuzzInput input)
    {
        using var file = SafetensorsFile.Open(input.FileNamed("model.safetensors"));
        return TensorReading.All(file);
    }
}
