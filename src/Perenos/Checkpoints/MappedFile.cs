using System.IO.MemoryMappedFiles;
using static TorchSharp.torch;

namespace Perenos.Checkpoints;

/// <summary>A file mapped into memory for reading: its pages are loaded when touched, and a read needs no buffer of its own.</summary>
internal sealed unsafe class MappedFile : IDisposable
{
    private const long LeastSharedBytes = 64 << 10;

    private readonly MemoryMappedFile _mapping;
    private readonly MemoryMappedViewAccessor _view;
    private byte* _start;
    private MemoryMappedViewAccessor? _private;
    private bool _isShared = !OperatingSystem.IsWindows(); // there a mapped file can be neither replaced nor deleted

    private MappedFile(string path, MemoryMappedFile mapping, MemoryMappedViewAccessor view, long length)
    {
        (Path, _mapping, _view, Length) = (path, mapping, view, length);
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref _start);
    }

    public string Path { get; }

    public long Length { get; }

    /// <exception cref="Runs.PerenosException">The file cannot be read, or is empty.</exception>
    public static MappedFile Open(string path)
    {
        FileStream? stream = null;
        MemoryMappedFile? mapping = null;
        try
        {
            stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
            long length = stream.Length;
            if (length == 0)
            {
                stream.Dispose();
                throw Refusal.Malformed(path, "it is empty");
            }

            mapping = MemoryMappedFile.CreateFromFile(
                stream, mapName: null, capacity: 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false);
            return new MappedFile(path, mapping, mapping.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read), length);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            mapping?.Dispose();
            stream?.Dispose();
            throw Refusal.Unreachable(path, "read", e);
        }
    }

    /// <summary>Bytes of the file; the range must have been checked against <see cref="Length"/>.</summary>
    public ReadOnlySpan<byte> Slice(long offset, int length)
    {
        ObjectDisposedException.ThrowIf(_start == null, this);
        if (offset < 0 || length < 0 || offset > Length - length)
            throw new ArgumentOutOfRangeException(nameof(offset));
        return new ReadOnlySpan<byte>(_start + offset, length);
    }

    /// <summary>
    /// A tensor whose memory is the file's own pages, or null where that cannot be: it is small, its elements would not be aligned, or
    /// the system refuses. Pages are copied when they are written to; the file and <see cref="Slice"/> keep what they have. Two tensors
    /// of one place share their memory.
    /// </summary>
    public Tensor? Share(long offset, ReadOnlySpan<long> shape, SafetensorsType type)
    {
        long bytes = ShapeSize.Elements(shape)!.Value * type.Bytes;
        if (type.Torch is not { } torchType || bytes < LeastSharedBytes || offset % type.Bytes != 0 || !_isShared)
            return null;
        ObjectDisposedException.ThrowIf(_start == null, this);
        if (offset < 0 || offset > Length - bytes)
            throw new ArgumentOutOfRangeException(nameof(offset));
        try
        {
            _private ??= _mapping.CreateViewAccessor(0, 0, MemoryMappedFileAccess.CopyOnWrite);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _isShared = false; // the system counts such a mapping as memory, and there is not enough
            return null;
        }

        var handle = _private.SafeMemoryMappedViewHandle;
        byte* start = null;
        handle.AcquirePointer(ref start);
        try
        {
            return MappedTensor.Create(handle, start + offset, shape, torchType);
        }
        finally
        {
            handle.ReleasePointer();
        }
    }

    public void Dispose()
    {
        if (_start == null)
            return;
        _start = null;
        _private?.Dispose();
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _mapping.Dispose();
    }
}
