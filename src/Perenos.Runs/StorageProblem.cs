namespace Perenos.Runs;

/// <summary>What the operating system says about files, as a sentence and what to do about it.</summary>
internal static class StorageProblem
{
    public static PerenosException Reading(string path, Exception cause) => cause switch
    {
        FileNotFoundException or DirectoryNotFoundException => new($"{path} does not exist.", "Check the spelling and the folder you are in.", cause),
        UnauthorizedAccessException when Directory.Exists(path) => new($"{path} is a folder, not a file.", "Name the file inside it.", cause),
        UnauthorizedAccessException => new($"{path} may not be read.", "Check its permissions.", cause),
        _ => new($"{path} cannot be read: {cause.Message}", "Check the disk and its permissions.", cause),
    };

    public static PerenosException Writing(string path, Exception cause) => cause switch
    {
        UnauthorizedAccessException => new($"{path} may not be written.", "Choose another folder, or change the permissions of this one.", cause),
        _ when IsDiskFull(cause) => new($"The disk is full: {path} could not be written.", "Free some space and go on with --resume; the last complete checkpoint is kept.", cause),
        _ => new($"{path} cannot be written: {cause.Message}", "Choose another folder, or check the disk.", cause),
    };

    // ENOSPC and EDQUOT on Linux and macOS; ERROR_DISK_FULL and ERROR_HANDLE_DISK_FULL on Windows.
    private static bool IsDiskFull(Exception cause) =>
        cause is IOException && (OperatingSystem.IsWindows() ? (cause.HResult & 0xFFFF) is 0x70 or 0x27 : cause.HResult is 28 or 122 or 69);
}
