using System.Buffers.Binary;

namespace Perenos.Fuzz;

/// <summary>Damage to bytes: bits, length fields, lost, repeated and exchanged pieces. All of it follows from the seed.</summary>
/// <param name="random">Drives every choice.</param>
/// <param name="others">Files whose pieces may be spliced in.</param>
public sealed class Damage(Random random, IReadOnlyList<byte[]> others)
{
    private const int MostBytes = 1 << 20;
    private const int HeadBytes = 300;

    private static readonly byte[] InterestingBytes = [0, 1, 0x7F, 0x80, 0xFF, .. "\"[]{}-+9,0.:()%e\n\\"u8];

    private static readonly ulong[] InterestingNumbers =
        [0, 1, 2, 255, 256, 65535, 65536, int.MaxValue, 1UL << 31, uint.MaxValue, 1UL << 32, 1UL << 34, 1UL << 40, 1UL << 62, long.MaxValue, 1UL << 63, ulong.MaxValue - 7, ulong.MaxValue];

    /// <summary>The source of choices, for damage that knows the structure.</summary>
    public Random Random { get; } = random;

    /// <summary>One of the items.</summary>
    public T Pick<T>(IReadOnlyList<T> items) => items[Random.Next(items.Count)];

    /// <summary>How many injuries: mostly one, so that much of what follows is still reached.</summary>
    public int Injuries => Random.Next(2) == 0 ? 1 : Random.Next(2, 5);

    /// <summary>Injuries anywhere, half of them near the beginning, where descriptions are.</summary>
    public byte[] Bytes(byte[] valid)
    {
        var bytes = new List<byte>(valid);
        for (int injuries = Injuries; injuries > 0 && bytes.Count > 0; injuries--)
            Injure(bytes);
        return bytes.Count > MostBytes ? [.. bytes[..MostBytes]] : [.. bytes];
    }

    private void Injure(List<byte> bytes)
    {
        int at = Random.Next(Random.Next(2) == 0 ? bytes.Count : Math.Min(bytes.Count, HeadBytes));
        int length = Math.Min(Random.Next(1, Random.Next(4) == 0 ? 200 : 12), bytes.Count - at);
        switch (Random.Next(12))
        {
            case 0:
                bytes[at] ^= (byte)(1 << Random.Next(8));
                break;
            case 1:
                bytes[at] = InterestingBytes[Random.Next(InterestingBytes.Length)];
                break;
            case 2:
                bytes[at] += (byte)Random.Next(-4, 5);
                break;
            case 3:
            case 4:
                WriteNumber(bytes, at);
                break;
            case 5:
                bytes.RemoveRange(at, length);
                break;
            case 6:
                bytes.RemoveRange(at, bytes.Count - at);
                break;
            case 7:
                var section = bytes.GetRange(at, length);
                for (int times = Random.Next(8) == 0 ? Random.Next(1, 500) : 1; times > 0; times--)
                    bytes.InsertRange(at, section);
                break;
            case 8:
                byte[] noise = new byte[length];
                Random.NextBytes(noise);
                bytes.InsertRange(at, noise);
                break;
            case 9:
                for (int i = 0; i < length; i++)
                    bytes[at + i] = (byte)Random.Next(256);
                break;
            case 10:
                byte[] other = Pick(others);
                bytes.RemoveRange(at, bytes.Count - at);
                bytes.AddRange(other.AsSpan(Math.Min(other.Length, Random.Next(2) == 0 ? at : Random.Next(other.Length + 1))));
                break;
            default:
                int from = Random.Next(bytes.Count - length + 1);
                (var first, var second) = (bytes.GetRange(at, length), bytes.GetRange(from, length));
                for (int i = 0; i < length; i++)
                    (bytes[at + i], bytes[from + i]) = (second[i], first[i]);
                break;
        }
    }

    /// <summary>A number where a count, length or offset may stand: near a limit, near the size of the file, or a little off.</summary>
    private void WriteNumber(List<byte> bytes, int at)
    {
        int width = 1 << Random.Next(1, 4);
        Span<byte> field = stackalloc byte[8];
        for (int i = 0; i < width && at + i < bytes.Count; i++)
            field[i] = bytes[at + i];
        ulong number = Random.Next(3) switch
        {
            0 => InterestingNumbers[Random.Next(InterestingNumbers.Length)],
            1 => (ulong)(bytes.Count + Random.Next(-16, 17)),
            _ => BinaryPrimitives.ReadUInt64LittleEndian(field) + (ulong)Random.Next(-8, 9),
        };
        BinaryPrimitives.WriteUInt64LittleEndian(field, number);
        for (int i = 0; i < width && at + i < bytes.Count; i++)
            bytes[at + i] = field[i];
    }
}
