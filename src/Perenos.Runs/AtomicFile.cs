using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Perenos.Runs;

/// <summary>
/// Files and folders that are either complete or absent, even after a power cut: written under a temporary name, brought to
/// the disk, renamed; on Unix the folder's entry is brought to the disk too.
/// </summary>
public static partial class AtomicFile
{
    private const string TemporarySuffix = ".partial";
    private static long _counter;

    /// <summary>Writes <paramref name="text"/> as UTF-8 without a byte order mark.</summary>
    /// <exception cref="PerenosException">The folder cannot be written to, or the disk is full.</exception>
    public static void WriteText(string path, string text) => Write(path, stream => stream.Write(Encoding.UTF8.GetBytes(text)));

    /// <summary>Replaces <paramref name="path"/> by what <paramref name="fill"/> writes; if that throws, the old file stays.</summary>
    /// <exception cref="PerenosException">The folder cannot be written to, or the disk is full.</exception>
    public static void Write(string path, Action<Stream> fill)
    {
        ArgumentNullException.ThrowIfNull(fill);
        Replace(Path.GetFullPath(path), temporary =>
        {
            using var stream = new FileStream(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 16);
            fill(stream);
            stream.Flush(flushToDisk: true);
        });
    }

    /// <summary>
    /// Likewise for a file whose length is known: its space is claimed before <paramref name="fill"/> begins, and
    /// <paramref name="check"/> is shown the whole file under its temporary name; if it throws, the old file stays.
    /// </summary>
    /// <exception cref="PerenosException">The folder cannot be written to, or the disk has fewer than <paramref name="length"/> bytes left.</exception>
    public static void Write(string path, long length, Action<SafeFileHandle> fill, Action<string>? check = null)
    {
        ArgumentNullException.ThrowIfNull(fill);
        path = Path.GetFullPath(path);
        Replace(path, temporary =>
        {
            RefuseWithoutSpace(path, length);
            using (var handle = File.OpenHandle(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None, FileOptions.None, length))
            {
                fill(handle);
                RandomAccess.FlushToDisk(handle);
            }

            check?.Invoke(temporary);
        });
    }

    /// <summary>Makes the folder <paramref name="path"/> appear with everything that <paramref name="fill"/> puts into the folder it is given.</summary>
    /// <exception cref="PerenosException">The parent folder cannot be written to, or the disk is full.</exception>
    public static void WriteFolder(string path, Action<string> fill)
    {
        ArgumentNullException.ThrowIfNull(fill);
        path = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        string temporary = TemporaryName(path);
        string parent = Path.GetDirectoryName(path)!;
        try
        {
            Directory.CreateDirectory(temporary);
            fill(temporary);
            SyncTree(temporary);
            if (Directory.Exists(path))
            {
                // Rename cannot replace a folder that holds files: the old one steps aside first.
                string replaced = TemporaryName(path);
                Directory.Move(path, replaced);
                Directory.Move(temporary, path);
                SyncFolder(parent);
                Directory.Delete(replaced, recursive: true);
            }
            else
            {
                Directory.Move(temporary, path);
                SyncFolder(parent);
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw StorageProblem.Writing(path, exception);
        }
        finally
        {
            TryDelete(temporary);
        }
    }

    /// <summary>Removes what killed processes left half written in <paramref name="folder"/>; only for the holder of its lock.</summary>
    internal static void RemoveLeftovers(string folder)
    {
        if (!Directory.Exists(folder))
            return;
        foreach (string entry in Directory.EnumerateFileSystemEntries(folder, ".*" + TemporarySuffix).ToList())
            TryDelete(entry);
    }

    /// <summary>True for names that writing a file and <see cref="WriteFolder"/> use before the rename.</summary>
    internal static bool IsTemporary(string path) => path.EndsWith(TemporarySuffix, StringComparison.Ordinal);

    private static void Replace(string path, Action<string> write)
    {
        string temporary = TemporaryName(path);
        try
        {
            write(temporary);
            File.Move(temporary, path, overwrite: true);
            SyncFolder(Path.GetDirectoryName(path)!);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw StorageProblem.Writing(path, exception);
        }
        finally
        {
            TryDelete(temporary);
        }
    }

    private static void RefuseWithoutSpace(string path, long length)
    {
        string folder = Path.GetDirectoryName(path)!;
        if (!Directory.Exists(folder))
            throw new DirectoryNotFoundException($"the folder {folder} does not exist.");
        if (folder.StartsWith(@"\\", StringComparison.Ordinal))
            return; // a network share: Windows tells free space by drive letter only
        long free = new DriveInfo(folder).AvailableFreeSpace;
        if (length > free)
        {
            throw new PerenosException(
                $"{path} cannot be written: it takes {length:N0} bytes, and the disk has {free:N0} left.",
                "Free some space, or choose another folder.");
        }
    }

    private static string TemporaryName(string path) => Path.Combine(
        Path.GetDirectoryName(path) ?? ".",
        $".{Path.GetFileName(path)}.{Environment.ProcessId}-{Interlocked.Increment(ref _counter)}{TemporarySuffix}");

    internal static void TryDelete(string path)
    {
        try
        {
            if (File.Exists(path))
                File.Delete(path);
            else if (Directory.Exists(path))
                Directory.Delete(path, recursive: true);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // The reason why it could not be written is already on its way to the user.
        }
    }

    private static void SyncTree(string folder)
    {
        foreach (string file in Directory.EnumerateFiles(folder))
        {
            using var handle = File.OpenHandle(file, FileMode.Open, FileAccess.ReadWrite);
            RandomAccess.FlushToDisk(handle);
        }

        foreach (string inner in Directory.EnumerateDirectories(folder))
            SyncTree(inner);
        SyncFolder(folder);
    }

    // Windows writes directory entries through its journal and refuses to open folders this way.
    private static void SyncFolder(string folder)
    {
        if (OperatingSystem.IsWindows())
            return;
        int descriptor = Open(folder, 0);   // O_RDONLY
        if (descriptor < 0)
            return;
        _ = Sync(descriptor);               // Some file systems refuse it for folders; the rename itself has succeeded.
        _ = Close(descriptor);
    }

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync")]
    private static partial int Sync(int descriptor);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}
