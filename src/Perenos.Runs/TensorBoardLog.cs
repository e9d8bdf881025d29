using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;
using System.Text;

namespace Perenos.Runs;

/// <summary>
/// The steps and validations of a run as TensorBoard reads them: records of length, payload and two masked checksums, the payload a
/// protobuf <c>Event</c> (https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto). Tags are those of Hugging Face's Trainer.
/// </summary>
public sealed class TensorBoardLog : IDisposable
{
    private readonly FileStream _stream;
    private readonly TimeProvider _clock;

    private TensorBoardLog(FileStream stream, TimeProvider clock) => (_stream, _clock) = (stream, clock);

    /// <summary>Begins a file in <paramref name="folder"/>; each process that goes on with a run writes its own, and TensorBoard joins them.</summary>
    /// <exception cref="PerenosException">The folder cannot be written to.</exception>
    public static TensorBoardLog Create(string folder, TimeProvider clock)
    {
        string path = Path.Combine(folder, string.Create(CultureInfo.InvariantCulture,
            $"events.out.tfevents.{clock.GetUtcNow().ToUnixTimeSeconds()}.{Environment.MachineName}.{Environment.ProcessId}.0"));
        try
        {
            Directory.CreateDirectory(folder);
            var log = new TensorBoardLog(new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read, bufferSize: 0), clock);
            log.Write(log.Event(0, [.. Field(3, "brain.Event:2"u8)]));
            return log;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw StorageProblem.Writing(path, exception);
        }
    }

    /// <summary>Writes what has numbers: steps and validations.</summary>
    public void Append(RunEvent happened)
    {
        switch (happened)
        {
            case RunEvent.Step step:
                Write(step.Number, [("train/loss", step.Loss), ("train/learning_rate", step.LearningRate), ("train/grad_norm", step.GradNorm),
                    ("train/tokens_per_second", step.TokensPerSecond), ("train/forecast", step.Forecast), ("train/penalty_strength", step.Strength),
                    ("train/rewards/margins", step.RewardMargin), ("train/rewards/accuracies", step.RewardAccuracy)]);
                break;
            case RunEvent.Validation validation:
                Write(validation.Number, [("eval/loss", validation.Loss)]);
                break;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _stream.Dispose();

    private void Write(long step, IEnumerable<(string Tag, double? Value)> scalars)
    {
        List<byte> summary = [];
        foreach (var (tag, value) in scalars)
        {
            if (value is { } number)
                summary.AddRange(Field(1, [.. Field(1, Encoding.UTF8.GetBytes(tag)), 2 << 3 | 5, .. Bytes((float)number)]));
        }

        Write(Event(step, [.. Field(5, [.. summary])]));
    }

    // wall_time = 1 (double), step = 2 (varint), then file_version = 3 or summary = 5.
    private byte[] Event(long step, byte[] content) =>
        [1 << 3 | 1, .. Bytes(_clock.GetUtcNow().ToUnixTimeMilliseconds() / 1000.0), 2 << 3, .. Varint((ulong)step), .. content];

    private void Write(byte[] payload)
    {
        byte[] length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, payload.Length);
        _stream.Write([.. length, .. MaskedChecksum(length), .. payload, .. MaskedChecksum(payload)]);
    }

    private static byte[] MaskedChecksum(ReadOnlySpan<byte> data)
    {
        uint checksum = uint.MaxValue;
        foreach (byte part in data)
            checksum = BitOperations.Crc32C(checksum, part);
        checksum = ~checksum;
        byte[] masked = new byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(masked, (checksum >> 15 | checksum << 17) + 0xA282EAD8);
        return masked;
    }

    // A field of bytes: key, length, content.
    private static IEnumerable<byte> Field(int number, ReadOnlySpan<byte> content) =>
        [(byte)(number << 3 | 2), .. Varint((ulong)content.Length), .. content];

    private static List<byte> Varint(ulong value)
    {
        List<byte> bytes = [];
        for (; value >= 0x80; value >>= 7)
            bytes.Add((byte)(value | 0x80));
        bytes.Add((byte)value);
        return bytes;
    }

    private static byte[] Bytes(double value)
    {
        byte[] bytes = new byte[8];
        BinaryPrimitives.WriteDoubleLittleEndian(bytes, value);
        return bytes;
    }

    private static byte[] Bytes(float value)
    {
        byte[] bytes = new byte[4];
        BinaryPrimitives.WriteSingleLittleEndian(bytes, value);
        return bytes;
    }
}
