using System.Buffers.Binary;
using Perenos.Text.Data;

namespace Perenos.Fuzz.Targets;

/// <summary>Parquet: the whole file, or its footer with the length behind it kept right.</summary>
internal static class ParquetTarget
{
    private const int TailBytes = 8; // length of the footer, and PAR1

    public static FuzzTarget Create() => new("parquet",
        [.. Directory.EnumerateFiles(Path.Combine(AppContext.BaseDirectory, "Parquet"), "*.parquet").Order(StringComparer.Ordinal).Select(File.ReadAllBytes)],
        Mutate, Read);

    private static byte[] Mutate(byte[] valid, Damage damage)
    {
        if (damage.Random.Next(2) == 0)
            return damage.Bytes(valid);
        int length = BinaryPrimitives.ReadInt32LittleEndian(valid.AsSpan(valid.Length - TailBytes));
        byte[] footer = damage.Bytes(valid[^(length + TailBytes)..^TailBytes]);
        byte[] size = new byte[4];
        BinaryPrimitives.WriteInt32LittleEndian(size, footer.Length);
        return [.. valid[..^(length + TailBytes)], .. footer, .. size, .. valid[^4..]];
    }

    private static long Read(FuzzInput input)
    {
        foreach (var record in RecordFile.Read(input.FileNamed("train.parquet")))
            RecordsTargets.Use(record);
        return 0;
    }
}
