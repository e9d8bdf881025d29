using Perenos.Runs;

namespace Perenos.Hub;

/// <summary>
/// The hub's cache as its own tools lay it out (https://huggingface.co/docs/hub/local-cache): what they loaded is found here, and
/// the other way round. For each repository: <c>blobs/ETAG</c> hold the contents, <c>snapshots/COMMIT/FILE</c> are links to them,
/// <c>refs/REVISION</c> say which commit a branch was when it was last asked for.
/// </summary>
public sealed class HubCache(string folder)
{
    private const string Blobs = "blobs", Snapshots = "snapshots", References = "refs";

    /// <summary>The cache's folder.</summary>
    public string Folder => folder;

    /// <summary>The commit that a name stands for: itself, or what the hub last said of the branch; null where it was never asked.</summary>
    public string? CommitOf(HubName name)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (name.IsPinned)
            return name.Revision;
        string path = Path.Combine(RepositoryFolder(name), References, name.Revision);
        if (!File.Exists(path) || new FileInfo(path).Length > 100)
            return null;
        string commit = File.ReadAllText(path).Trim();
        return HubName.IsCommit(commit) ? commit : null;
    }

    /// <summary>Folder of a commit's files; may not exist.</summary>
    public string Snapshot(HubName name, string commit) => Path.Combine(RepositoryFolder(name), Snapshots, commit);

    /// <summary>The files of a commit that are here, by their path in the repository, sorted.</summary>
    public IReadOnlyList<string> FilesOf(HubName name, string commit)
    {
        string snapshot = Snapshot(name, commit);
        // A link whose blob was deleted is no file.
        return Directory.Exists(snapshot)
            ? [.. Directory.EnumerateFiles(snapshot, "*", SearchOption.AllDirectories).Where(IsThere)
                .Select(path => Path.GetRelativePath(snapshot, path).Replace('\\', '/')).Order(StringComparer.Ordinal)]
            : [];
    }

    /// <summary>Repositories of a kind of which something is here.</summary>
    public IEnumerable<string> Repositories(HubKind kind) => !Directory.Exists(folder) ? [] : Directory.EnumerateDirectories(folder, Prefix(kind) + "*")
        .Select(path => Path.GetFileName(path)[Prefix(kind).Length..].Replace("--", "/", StringComparison.Ordinal));

    /// <summary>The name and commit that a path inside a cache belongs to, or null for any other path.</summary>
    public static HubName? Origin(string path)
    {
        string[] parts = Path.GetFullPath(path).Split(Path.DirectorySeparatorChar);
        int place = Array.LastIndexOf(parts, Snapshots);
        if (place < 1 || place + 1 >= parts.Length || !HubName.IsCommit(parts[place + 1]))
            return null;
        foreach (var kind in Enum.GetValues<HubKind>())
        {
            if (parts[place - 1].StartsWith(Prefix(kind), StringComparison.Ordinal)
                && HubName.TryParse(parts[place - 1][Prefix(kind).Length..].Replace("--", "/", StringComparison.Ordinal), kind) is { } name)
            {
                string inside = string.Join('/', parts[(place + 2)..]);
                return name with { Revision = parts[place + 1], Path = inside.Length == 0 ? null : inside };
            }
        }

        return null;
    }

    internal string Blob(HubName name, string etag) => Path.Combine(RepositoryFolder(name), Blobs, etag);

    internal string LockOf(HubName name, string etag) => Path.Combine(folder, ".locks", FolderName(name), etag + ".lock");

    internal static bool IsThere(string path) => File.Exists(path) && (File.ResolveLinkTarget(path, returnFinalTarget: true)?.Exists ?? true);

    /// <summary>Notes which commit a branch is.</summary>
    internal void Remember(HubName name, string commit)
    {
        if (name.Revision == commit)
            return;
        string path = Path.Combine(RepositoryFolder(name), References, name.Revision);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        if (CommitOf(name) != commit)
            AtomicFile.WriteText(path, commit);
    }

    /// <summary>Puts a blob into a snapshot: as a link; where the file system has none, a new blob is moved and another's is copied.</summary>
    internal void Link(HubName name, string commit, string file, string etag, bool isNew)
    {
        string place = Path.Combine(Snapshot(name, commit), file), blob = Blob(name, etag);
        if (IsThere(place))
            return;
        string parent = Path.GetDirectoryName(place)!;
        Directory.CreateDirectory(parent);
        File.Delete(place);
        try
        {
            File.CreateSymbolicLink(place, Path.GetRelativePath(parent, blob));
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException && File.Exists(blob) && !File.Exists(place))
        {
            if (isNew)
                File.Move(blob, place);
            else
                File.Copy(blob, place);
        }
    }

    private string RepositoryFolder(HubName name) => Path.Combine(folder, FolderName(name));

    private static string FolderName(HubName name) => Prefix(name.Kind) + name.Repository.Replace("/", "--", StringComparison.Ordinal);

    private static string Prefix(HubKind kind) => kind == HubKind.Model ? "models--" : "datasets--";
}
