using Perenos.Runs;
using Perenos.Text.Data;

namespace Perenos.Hub;

/// <summary>How far loading is: bytes of all files together, and the file that is coming in.</summary>
/// <param name="File">Its path in the repository.</param>
/// <param name="Done">Bytes here, those of earlier tries included.</param>
/// <param name="Total">Bytes of all needed files.</param>
public readonly record struct HubProgress(string File, long Done, long Total);

/// <summary>What a name led to.</summary>
/// <param name="Path">File or folder in the cache, for whoever opens models or reads records.</param>
/// <param name="Pinned">The name with the commit in place of the branch.</param>
/// <param name="Loaded">Bytes that came over the network just now.</param>
public sealed record HubFetch(string Path, HubName Pinned, long Loaded);

/// <summary>Brings what a name needs into the cache: asks which commit the branch is, loads what is missing, checks it.</summary>
/// <param name="settings">Where the hub and the cache are.</param>
/// <param name="clock">Measures pauses and silences.</param>
public sealed class HubRepository(HubSettings settings, TimeProvider clock)
{
    private readonly HubCache _cache = new(settings.Cache);

    /// <summary>
    /// Loads what is missing. A branch is asked for each time; of a commit that is complete in the cache nothing is asked.
    /// </summary>
    /// <exception cref="PerenosException">The hub refuses, cannot be reached, or sends something else than it announced; what came so far is kept.</exception>
    public async Task<HubFetch> FetchAsync(HubName name, Action<HubProgress> progress, CancellationToken stop)
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(progress);
        if (settings.IsOffline || name.IsPinned)
        {
            if (FindCached(name) is { } cached)
                return cached;
            if (settings.IsOffline)
                throw new HubProblem(settings, name).NotCached();
        }

        using var client = new HubClient(settings, clock);
        var (commit, files) = await client.ListAsync(name, stop).ConfigureAwait(false);
        var tally = new Tally(progress);
        string read = "";
        if (name.Kind == HubKind.Dataset)
        {
            bool isFile = name.Path is { } wanted && files.Contains(wanted);
            if (!isFile && files.Contains(DataCard.FileName))
                await BringAsync(client, name, commit, [DataCard.FileName], tally, stop).ConfigureAwait(false);
            (read, var needed) = NeededFiles.OfDataset(name, files, DataCard.Of(_cache.Snapshot(name, commit)));
            await BringAsync(client, name, commit, needed, tally, stop).ConfigureAwait(false);
        }
        else
        {
            var needed = NeededFiles.OfModel(name, files);
            // The index says which shards there are, so it comes before their sizes can be asked for.
            string last = needed[^1];
            bool isIndex = last.EndsWith(".index.json", StringComparison.Ordinal);
            if (isIndex)
                await BringAsync(client, name, commit, [last], tally, stop).ConfigureAwait(false);
            var shards = isIndex ? NeededFiles.Shards(name, last, Path.Combine(_cache.Snapshot(name, commit), last), files) : [];
            await BringAsync(client, name, commit, [.. needed, .. shards], tally, stop).ConfigureAwait(false);
            read = name.Path ?? "";
        }

        _cache.Remember(name, commit);
        return Found(name, commit, read, tally.Loaded);
    }

    /// <summary>What is complete in the cache, without asking anyone; null otherwise.</summary>
    public HubFetch? FindCached(HubName name)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (_cache.CommitOf(name) is not { } commit || _cache.FilesOf(name, commit) is not { Count: > 0 } files)
            return null;
        try
        {
            if (name.Kind == HubKind.Dataset)
                return Found(name, commit, NeededFiles.OfDataset(name, files, DataCard.Of(_cache.Snapshot(name, commit))).Read, 0);
            var needed = NeededFiles.OfModel(name, files);
            NeededFiles.Shards(name, needed[^1], Path.Combine(_cache.Snapshot(name, commit), needed[^1]), files);
            // Another tool may have loaded weights alone; a model without any of these cannot be opened.
            bool isWhole = name.Path is not null || needed[0] != needed[^1];
            return isWhole ? Found(name, commit, name.Path ?? "", 0) : null;
        }
        catch (PerenosException)
        {
            return null; // Not all of it is here.
        }
    }

    private HubFetch Found(HubName name, string commit, string read, long loaded)
    {
        string snapshot = _cache.Snapshot(name, commit);
        // A configuration of the card stands behind the folder, as RecordFile takes it.
        string path = read.StartsWith(':') ? snapshot + read : Path.Combine([snapshot, .. read.Split('/', StringSplitOptions.RemoveEmptyEntries)]);
        return new HubFetch(path, name with { Revision = commit }, loaded);
    }

    private async Task BringAsync(HubClient client, HubName name, string commit, IReadOnlyList<string> paths, Tally tally, CancellationToken stop)
    {
        var missing = paths.Where(path => !HubCache.IsThere(Path.Combine(_cache.Snapshot(name, commit), path))).ToList();
        List<HubFile> files = [];
        foreach (string path in missing)
            files.Add(await client.DescribeAsync(name, commit, path, stop).ConfigureAwait(false));

        var download = new HubDownload(client, _cache, settings, clock, tally.Advance);
        tally.Total += files.Sum(file => file.Size);
        long needed = files.Sum(file => file.Size - download.Present(name, file));
        Directory.CreateDirectory(_cache.Folder);
        long free = new DriveInfo(_cache.Folder).AvailableFreeSpace;
        if (needed > free)
            throw HubProblem.NoSpace(_cache.Folder, needed, free);
        foreach (var file in files)
        {
            long here = download.Present(name, file);
            bool isNew = await download.BringAsync(name, commit, file, stop).ConfigureAwait(false);
            tally.Loaded += isNew ? file.Size - here : 0;
            _cache.Link(name, commit, file.Path, file.Etag, isNew);
        }
    }

    private sealed class Tally(Action<HubProgress> progress)
    {
        private long _done;

        public long Total { get; set; }

        public long Loaded { get; set; }

        public void Advance(string file, long bytes) => progress(new HubProgress(file, _done += bytes, Total));
    }
}
