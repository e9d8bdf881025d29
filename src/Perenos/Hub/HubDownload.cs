using System.Net;

namespace Perenos.Hub;

/// <summary>
/// Brings one file into the cache: into <c>ETAG.incomplete</c> first, going on where it (or another tool) stopped, under the lock that
/// other tools take too; renamed only after its checksum was right.
/// </summary>
internal sealed class HubDownload(HubClient client, HubCache cache, HubSettings settings, TimeProvider clock, Action<string, long> advance)
{
    // Cuts in a row that bring nothing; a connection that brings something starts the count anew.
    private const int MostCuts = 5;

    /// <summary>Loads the file's blob unless it is there; false if it was.</summary>
    public async Task<bool> BringAsync(HubName name, string commit, HubFile file, CancellationToken stop)
    {
        string blob = cache.Blob(name, file.Etag), partial = blob + ".incomplete";
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(blob)!);
            using var held = await TakeLockAsync(cache.LockOf(name, file.Etag), stop).ConfigureAwait(false);
            if (File.Exists(blob))
            {
                advance(file.Path, file.Size);
                return false;
            }

            // What another process left may be damaged: then it is loaded once more from the start.
            bool isResumed = File.Exists(partial) && new FileInfo(partial).Length > 0;
            string checksum = await FillAsync(name, commit, file, partial, stop).ConfigureAwait(false);
            if (checksum != file.Etag && isResumed)
            {
                File.Delete(partial);
                advance(file.Path, -file.Size);
                checksum = await FillAsync(name, commit, file, partial, stop).ConfigureAwait(false);
            }

            if (checksum != file.Etag)
            {
                File.Delete(partial);
                throw new HubProblem(settings, name).WrongChecksum(file.Path, file.Etag, checksum);
            }

            File.Move(partial, blob);
            return true;
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            throw HubProblem.Disk(partial, problem);
        }
    }

    /// <summary>Bytes of a file that are here already.</summary>
    public long Present(HubName name, HubFile file)
    {
        string blob = cache.Blob(name, file.Etag);
        if (File.Exists(blob))
            return file.Size;
        var partial = new FileInfo(blob + ".incomplete");
        return partial.Exists && partial.Length <= file.Size ? partial.Length : 0;
    }

    private async Task<string> FillAsync(HubName name, string commit, HubFile file, string partial, CancellationToken stop)
    {
        using var stream = new FileStream(partial, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read, 1 << 16);
        using var checksum = new HubChecksum(file);
        if (stream.Length > file.Size)
            stream.SetLength(0);
        checksum.Add(stream);
        advance(file.Path, stream.Length);
        int cuts = 0;
        while (stream.Length < file.Size)
        {
            long before = stream.Length;
            try
            {
                await AppendAsync(name, commit, file, stream, checksum, stop).ConfigureAwait(false);
                if (stream.Length < file.Size)
                    throw new HttpIOException(HttpRequestError.ResponseEnded, "the answer ended early");
            }
            catch (Exception problem) when (HubClient.IsPassing(problem))
            {
                cuts = stream.Length > before ? 1 : cuts + 1;
                if (cuts > MostCuts)
                    throw new HubProblem(settings, name).Cut(file.Path, stream.Length, file.Size, problem);
                await Task.Delay(settings.FirstPause * Math.Pow(2, cuts - 1), clock, stop).ConfigureAwait(false);
            }
        }

        stream.Flush(flushToDisk: true);
        return checksum.Value();
    }

    private async Task AppendAsync(HubName name, string commit, HubFile file, FileStream stream, HubChecksum checksum, CancellationToken stop)
    {
        long from = stream.Length;
        using var response = await client.OpenAsync(name, commit, file.Path, from, stop).ConfigureAwait(false);
        // A server without ranges sends everything: what is here already is passed over, for it is summed already.
        long skip = response.StatusCode == HttpStatusCode.PartialContent && response.Content.Headers.ContentRange?.From == from ? 0
            : response.StatusCode == HttpStatusCode.OK ? from
            : throw new HubProblem(settings, name).Odd($"{file.Path} comes from another place than was asked for");
        await new HubBody(response, settings, clock).CopyAsync(file.Size - from + skip, (bytes, count) =>
        {
            int passed = (int)Math.Min(skip, count);
            skip -= passed;
            if (passed == count)
                return;
            try
            {
                stream.Write(bytes, passed, count - passed);
            }
            catch (IOException problem)
            {
                throw HubProblem.Disk(stream.Name, problem);
            }

            checksum.Add(bytes.AsSpan(passed, count - passed));
            advance(file.Path, count - passed);
        }, stop).ConfigureAwait(false);
    }

    // The lock belongs to the open file (flock), as that of the hub's own tools: a killed process leaves none behind.
    private async Task<FileStream> TakeLockAsync(string path, CancellationToken stop)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        while (true)
        {
            try
            {
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException) when (File.Exists(path))
            {
                await Task.Delay(TimeSpan.FromMilliseconds(200), clock, stop).ConfigureAwait(false);
            }
        }
    }
}
