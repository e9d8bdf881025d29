using System.Buffers.Binary;
using System.Text;
using Xunit;

namespace Perenos.Runs.Tests;

/// <summary>Event files, read back byte by byte as TensorBoard does.</summary>
public sealed class TensorBoardTests
{
    [Fact]
    public void Steps_and_validations_are_read_back()
    {
        using var folder = new TemporaryFolder();
        using (var log = TensorBoardLog.Create(folder.Path, TimeProvider.System))
        {
            log.Append(new RunEvent.Step(300, 2.5, 0.75, 1e-3, 10, 1, 10) { Forecast = 0.01 });
            log.Append(new RunEvent.Checkpoint(300, "step-000300"));
            log.Append(new RunEvent.Validation(300, 1.25, true));
        }

        string file = Assert.Single(Directory.EnumerateFiles(folder.Path));
        Assert.StartsWith("events.out.tfevents.", Path.GetFileName(file), StringComparison.Ordinal);
        var events = Records(File.ReadAllBytes(file)).Select(Event).ToList();
        Assert.Equal(3, events.Count);
        Assert.Equal("brain.Event:2", events[0].Version);
        Assert.Equal((300L, 2.5f), (events[1].Step, events[1].Scalars["train/loss"]));
        Assert.Equal((1e-3f, 0.75f, 0.01f), (events[1].Scalars["train/learning_rate"], events[1].Scalars["train/grad_norm"], events[1].Scalars["train/forecast"]));
        Assert.DoesNotContain("train/penalty_strength", events[1].Scalars.Keys);
        Assert.Equal((300L, 1.25f), (events[2].Step, Assert.Single(events[2].Scalars).Value));
    }

    // The bit-by-bit definition of the Castagnoli polynomial, and its published check value.
    [Fact]
    public void The_checksum_is_crc32c() => Assert.Equal(0xE3069283, Checksum("123456789"u8));

    private static uint Checksum(ReadOnlySpan<byte> data)
    {
        uint value = uint.MaxValue;
        foreach (byte part in data)
        {
            value ^= part;
            for (int bit = 0; bit < 8; bit++)
                value = value >> 1 ^ ((value & 1) == 0 ? 0 : 0x82F63B78u);
        }

        return ~value;
    }

    private static IEnumerable<byte[]> Records(byte[] file)
    {
        static uint Masked(ReadOnlySpan<byte> data) => BitConverter.IsLittleEndian ? uint.RotateRight(Checksum(data), 15) + 0xA282EAD8 : 0;
        for (int place = 0; place < file.Length;)
        {
            int length = (int)BinaryPrimitives.ReadInt64LittleEndian(file.AsSpan(place));
            Assert.Equal(Masked(file.AsSpan(place, 8)), BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan(place + 8)));
            byte[] payload = file[(place + 12)..(place + 12 + length)];
            Assert.Equal(Masked(payload), BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan(place + 12 + length)));
            yield return payload;
            place += 16 + length;
        }
    }

    private static (long Step, string? Version, Dictionary<string, float> Scalars) Event(byte[] payload)
    {
        var fields = Fields(payload);
        var scalars = new Dictionary<string, float>();
        foreach (byte[] value in fields.Where(field => field.Number == 5).SelectMany(field => Fields(field.Bytes)).Select(field => field.Bytes))
        {
            var inner = Fields(value);
            scalars.Add(Encoding.UTF8.GetString(inner[0].Bytes), BitConverter.ToSingle(inner[1].Bytes));
        }

        Assert.InRange(BitConverter.ToDouble(fields[0].Bytes), 1.6e9, 1e10);
        string? version = fields.Where(field => field.Number == 3).Select(field => Encoding.UTF8.GetString(field.Bytes)).SingleOrDefault();
        return ((long)fields[1].Varint, version, scalars);
    }

    private static List<(int Number, ulong Varint, byte[] Bytes)> Fields(byte[] message)
    {
        List<(int, ulong, byte[])> fields = [];
        int place = 0;
        ulong Varint()
        {
            ulong value = 0;
            for (int shift = 0; ; shift += 7)
            {
                byte part = message[place++];
                value |= (ulong)(part & 0x7F) << shift;
                if (part < 0x80)
                    return value;
            }
        }

        byte[] Take(int count) => message[place..(place += count)];
        while (place < message.Length)
        {
            int key = (int)Varint();
            fields.Add((key & 7) switch
            {
                0 => (key >> 3, Varint(), []),
                1 => (key >> 3, 0, Take(8)),
                2 => (key >> 3, 0, Take((int)Varint())),
                5 => (key >> 3, 0, Take(4)),
                _ => throw new InvalidOperationException($"wire type {key & 7}"),
            });
        }

        return fields;
    }
}
