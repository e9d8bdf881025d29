using System.Text;

namespace Perenos.Runs;

/// <summary>
/// Keeps two processes from training in one folder. The lock belongs to the open file, so the operating system releases it
/// when its process dies: a file left behind by a killed run stops nobody.
/// </summary>
internal sealed class RunLock : IDisposable
{
    private const string LockName = ".lock";
    private const string OwnerName = ".owner";
    private readonly FileStream _held;
    private readonly string _owner;

    private RunLock(FileStream held, string owner) => (_held, _owner) = (held, owner);

    /// <summary>The lock, or null if another process (or another run in this one) holds it.</summary>
    public static RunLock? TryTake(string folder)
    {
        FileStream? held = null;
        try
        {
            held = new FileStream(Path.Combine(folder, LockName), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            // A file of its own: nobody can open the locked one to read who holds it.
            string owner = Path.Combine(folder, OwnerName);
            File.WriteAllText(owner, $"process {Environment.ProcessId}", Encoding.ASCII);
            return new RunLock(held, owner);
        }
        catch (IOException exception) when (held is null && IsHeldElsewhere(exception))
        {
            return null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            held?.Dispose();
            throw StorageProblem.Writing(folder, exception);
        }
    }

    /// <summary>Who holds the lock, for messages.</summary>
    public static string Owner(string folder)
    {
        try
        {
            using var reader = new StreamReader(Path.Combine(folder, OwnerName));
            var text = new char[64];
            int length = reader.ReadBlock(text);
            return length > 0 ? new string(text, 0, length) : "another process";
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return "another process";
        }
    }

    /// <summary>Names of the lock's own files, which do not count as content of a run.</summary>
    public static bool IsOwnFile(string path) => Path.GetFileName(path) is LockName or OwnerName;

    public void Dispose()
    {
        // The lock file stays: deleting it would let two others lock two different files of the same name.
        File.Delete(_owner);
        _held.Dispose();
    }

    // EWOULDBLOCK is 11 on Linux and 35 on macOS; Windows says sharing or lock violation.
    private static bool IsHeldElsewhere(IOException exception) =>
        (exception.HResult & 0xFFFF) is int code && (OperatingSystem.IsWindows() ? code is 0x20 or 0x21 : code is 11 or 35);
}
