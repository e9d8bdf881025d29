namespace Perenos.Runs;

/// <summary>
/// What the program keeps between runs to save time: <c>$XDG_CACHE_HOME/perenos</c>, otherwise <c>~/.cache/perenos</c>. All of it may be
/// deleted at any time.
/// </summary>
public static class CacheFolder
{
    private const string Content = "content";

    /// <summary>The folder.</summary>
    public static string Root
    {
        get
        {
            string? folder = Environment.GetEnvironmentVariable("XDG_CACHE_HOME");
            if (string.IsNullOrEmpty(folder) || !Path.IsPathRooted(folder))
                folder = Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
            return Path.Combine(folder, "perenos");
        }
    }

    /// <summary>A folder by its name, made where it is not there: whole or not at all, by one process at a time.</summary>
    /// <param name="name">Path below <see cref="Root"/>; everything that the content depends on stands in it.</param>
    /// <param name="fill">Puts the content into the folder that it is given.</param>
    /// <exception cref="PerenosException">Another process is making it, or the disk refuses.</exception>
    public static string Make(string name, Action<string> fill)
    {
        ArgumentNullException.ThrowIfNull(fill);
        string folder = Path.Combine(Root, name), content = Path.Combine(folder, Content);
        if (Directory.Exists(content))
            return content;
        try
        {
            Directory.CreateDirectory(folder);
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            throw StorageProblem.Writing(folder, problem);
        }

        using var held = RunLock.TryTake(folder)
            ?? throw new PerenosException($"The same data are being made ready by {RunLock.Owner(folder)}.", "Wait until it has finished; what it makes is used by all.");
        AtomicFile.RemoveLeftovers(folder);
        if (!Directory.Exists(content))
            AtomicFile.WriteFolder(content, fill);
        return content;
    }

    /// <summary>What <see cref="Make"/> has made below a path of <see cref="Root"/>.</summary>
    public static IReadOnlyList<string> Made(string path) => Path.Combine(Root, path) is var folder && Directory.Exists(folder)
        ? [.. Directory.EnumerateDirectories(folder).Select(made => Path.Combine(made, Content)).Where(Directory.Exists)]
        : [];

    /// <summary>Removes one of <see cref="Made"/>, unless another process is at it.</summary>
    public static void Remove(string content)
    {
        string folder = Path.GetDirectoryName(content)!;
        using (var held = RunLock.TryTake(folder))
        {
            if (held is null)
                return;
            AtomicFile.TryDelete(content);
        }

        AtomicFile.TryDelete(folder);
    }
}
