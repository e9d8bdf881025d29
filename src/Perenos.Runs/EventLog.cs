using System.Buffers;
using System.Text.Json;

namespace Perenos.Runs;

/// <summary>
/// <c>events.jsonl</c>: append-only, one write per event. An event counts once its newline is written, so a killed process
/// costs at most the event it was writing. A resumed run continues the log as if it had never stopped.
/// </summary>
public sealed class EventLog : IDisposable
{
    private readonly string _path;
    private readonly FileStream _stream;

    private EventLog(string path, FileMode mode)
    {
        _path = path;
        try
        {
            // No buffer of our own: one Append is one write.
            _stream = new FileStream(path, mode, FileAccess.Write, FileShare.Read, bufferSize: 0);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw StorageProblem.Writing(path, exception);
        }
    }

    /// <summary>Begins an empty log; an existing one is emptied.</summary>
    /// <exception cref="PerenosException">The file cannot be written.</exception>
    public static EventLog Create(string path) => new(path, FileMode.Create);

    /// <summary>
    /// Opens a log to go on after the checkpoint of <paramref name="step"/>: what happened later, the interruption included, is
    /// dropped; the last event kept is the last one of a step up to <paramref name="step"/>. Step 0 keeps nothing.
    /// </summary>
    /// <exception cref="PerenosException">The file is missing, malformed before its last line, or cannot be written.</exception>
    public static EventLog Resume(string path, long step)
    {
        long keep = 0;
        foreach (var (happened, end) in EventsWithEnds(path))
        {
            if (happened.AtStep > step)
                break;
            if (happened.AtStep is not null)
                keep = end;
        }

        // Rewritten under another name: a kill in the middle leaves the old log, which can be resumed again.
        if (keep < new FileInfo(path).Length)
            AtomicFile.Write(path, target => CopyStart(path, keep, target));
        return new EventLog(path, FileMode.Append);
    }

    /// <summary>All complete events in order, read as they are asked for; a torn last line is passed over.</summary>
    /// <exception cref="PerenosException">The file is missing, or a line before the last is not an event.</exception>
    public static IEnumerable<RunEvent> Read(string path) => EventsWithEnds(path).Select(pair => pair.Event);

    /// <summary>Writes one line. A checkpoint is also brought to the disk, since the folder saved after it relies on it.</summary>
    /// <exception cref="PerenosException">The disk is full or the file has become unwritable.</exception>
    public void Append(RunEvent happened)
    {
        byte[] line = [.. JsonSerializer.SerializeToUtf8Bytes(happened, ConfigFile.OneLine), (byte)'\n'];
        try
        {
            _stream.Write(line);
            _stream.Flush(flushToDisk: happened is RunEvent.Checkpoint or RunEvent.Finished);
        }
        catch (IOException exception)
        {
            throw StorageProblem.Writing(_path, exception);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _stream.Dispose();

    // Each event with the offset behind its newline.
    private static IEnumerable<(RunEvent Event, long End)> EventsWithEnds(string path)
    {
        using var stream = OpenToRead(path);
        var line = new ArrayBufferWriter<byte>();
        var buffer = new byte[1 << 16];
        long end = 0;
        for (int number = 1, count; (count = stream.Read(buffer)) > 0;)
        {
            for (int start = 0; start < count;)
            {
                int length = buffer.AsSpan(start, count - start).IndexOf((byte)'\n');
                line.Write(buffer.AsSpan(start, length < 0 ? count - start : length));
                if (length < 0)
                    break;
                start += length + 1;
                end += line.WrittenCount + 1;
                yield return (Parse(line.WrittenSpan, path, number++), end);
                line.ResetWrittenCount();
            }
        }
    }

    private static RunEvent Parse(ReadOnlySpan<byte> line, string path, int number)
    {
        try
        {
            return JsonSerializer.Deserialize<RunEvent>(line, ConfigFile.OneLine) ?? throw new JsonException("an empty event");
        }
        catch (Exception exception) when (exception is JsonException or NotSupportedException or InvalidOperationException)
        {
            throw new PerenosException(
                $"{path}, line {number}: this is not an event of a run.",
                "The log was edited, or written by another version; remove the line, or start the run anew.",
                exception);
        }
    }

    private static FileStream OpenToRead(string path)
    {
        try
        {
            return new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw StorageProblem.Reading(path, exception);
        }
    }

    private static void CopyStart(string path, long length, Stream target)
    {
        using var source = OpenToRead(path);
        var buffer = new byte[1 << 16];
        for (int count; length > 0 && (count = source.Read(buffer, 0, (int)Math.Min(length, buffer.Length))) > 0; length -= count)
            target.Write(buffer, 0, count);
    }
}
