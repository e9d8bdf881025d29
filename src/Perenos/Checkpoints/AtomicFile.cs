using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Perenos.Runs;

namespace Perenos.Checkpoints;

/// <summary>
/// Writes a file so that its name always stands for a whole one: into a temporary file of the same folder, forced to the disk,
/// then renamed. A failure leaves the old file and no temporary; a killed process leaves a temporary that the next write reuses.
/// </summary>
internal static partial class AtomicFile
{
    /// <summary>Writes <paramref name="length"/> bytes through <paramref name="write"/>; the space is claimed first.</summary>
    /// <exception cref="PerenosException">The folder cannot be written or the disk is full.</exception>
    public static void Write(string path, long length, Action<SafeFileHandle> write)
    {
        string temporary = path + ".tmp";
        bool created = false;
        try
        {
            RefuseWithoutSpace(path, length);
            using (var handle = File.OpenHandle(temporary, FileMode.Create, FileAccess.Write, FileShare.None, FileOptions.None, length))
            {
                created = true;
                write(handle);
                RandomAccess.FlushToDisk(handle);
            }

            File.Move(temporary, path, overwrite: true);
            created = false;
            FlushFolder(Path.GetDirectoryName(Path.GetFullPath(path))!);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Refusal.Unreachable(path, "write", e);
        }
        finally
        {
            if (created)
                File.Delete(temporary);
        }
    }

    private static void RefuseWithoutSpace(string path, long length)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        if (!Directory.Exists(folder))
            throw new DirectoryNotFoundException($"the folder {folder} does not exist.");
        if (folder.StartsWith(@"\\", StringComparison.Ordinal))
            return; // a network share: Windows tells free space by drive letter only
        long free = new DriveInfo(folder).AvailableFreeSpace;
        if (length > free)
        {
            throw new PerenosException(
                $"cannot write {path}: it takes {length:N0} bytes, and the disk has {free:N0} left.",
                "free some space, or choose another output folder.");
        }
    }

    /// <summary>Makes the rename itself durable. A file system that cannot flush a folder is no reason to fail.</summary>
    private static void FlushFolder(string folder)
    {
        if (OperatingSystem.IsWindows())
            return;
        int descriptor = OpenDescriptor(folder, 0);
        if (descriptor < 0)
            return;
        _ = Flush(descriptor);
        _ = CloseDescriptor(descriptor);
    }

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int OpenDescriptor(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync")]
    private static partial int Flush(int descriptor);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int CloseDescriptor(int descriptor);
}
