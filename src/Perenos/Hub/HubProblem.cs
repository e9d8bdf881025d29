using Perenos.Runs;

namespace Perenos.Hub;

/// <summary>What the hub's refusals mean, as sentences with something to do. Texts of a server are untrusted: shown cut and without control characters.</summary>
internal sealed class HubProblem(HubSettings settings, HubName name)
{
    private string Page => $"{settings.Endpoint.ToString().TrimEnd('/')}/{(name.Kind == HubKind.Dataset ? "datasets/" : "")}{name.Repository}";

    private string Kind => name.Kind == HubKind.Dataset ? "data set" : "model";

    /// <summary>A refusal by status and by the code that the hub writes into X-Error-Code.</summary>
    public PerenosException Refused(HttpResponseMessage response, string? file)
    {
        string code = Header(response, "X-Error-Code"), said = Clean(Header(response, "X-Error-Message"));
        int status = (int)response.StatusCode;
        if (status == 401 && said.StartsWith("Invalid", StringComparison.OrdinalIgnoreCase))
            return new($"The hub does not accept the token: {said}", "Renew HF_TOKEN (or the file of the login), or unset it for public repositories.");
        if (code == "GatedRepo" || status == 403 && settings.Token is not null && code.Length == 0)
        {
            return new($"{name.Repository} is gated{(said.Length > 0 ? $": {said}" : ".")}",
                $"Accept its licence at {Page}{(settings.Token is null ? ", and set HF_TOKEN to a token of that account." : " with the account of your token.")}");
        }

        if (code == "RevisionNotFound")
            return new($"{name.Repository} has no revision {name.Revision}.", $"The usual branch is {HubName.DefaultRevision}; {Page}/tree/{HubName.DefaultRevision} lists branches and commits.");
        if (code == "EntryNotFound")
            return new($"{name.Repository} has no file {file ?? name.Path}.", $"Its files are listed at {Page}/tree/{name.Revision}.");
        if (code == "RepoNotFound" || status is 401 or 404)
            return NotFound();
        return status switch
        {
            403 => new($"The hub refuses {name.Repository}{(said.Length > 0 ? $": {said}" : ".")}", $"Look at {Page}."),
            429 => new("The hub has had too many requests from here.", "Wait some minutes, or set HF_TOKEN: accounts may ask more often."),
            >= 500 => new($"The hub answers {status} ({response.ReasonPhrase}).", $"Try again later; {settings.Endpoint.Host} has a status page. What was loaded is kept."),
            _ => new($"The hub answers {status} ({response.ReasonPhrase}) for {name}.", $"Look at {Page}; HF_ENDPOINT is {settings.Endpoint}."),
        };
    }

    /// <summary>No connection at all.</summary>
    public PerenosException Unreachable(Exception problem, string? cachedCommit) => new(
        $"The hub at {settings.Endpoint} cannot be reached: {Clean(problem.InnerException?.Message ?? problem.Message)}",
        cachedCommit is null ? "Check the network (HTTPS_PROXY, HF_ENDPOINT); nothing of it is in the cache."
            : $"A copy of commit {cachedCommit[..7]} is in the cache: --offline uses it.", problem);

    /// <summary>The connection broke again and again.</summary>
    public PerenosException Cut(string file, long done, long size, Exception problem) => new(
        $"The connection was cut again and again at {done:N0} of {size:N0} bytes of {file}: {Clean(problem.Message)}",
        $"The same command goes on from there; perenos pull {Written} does it ahead.", problem);

    /// <summary>What came is not what the hub announced.</summary>
    public PerenosException WrongChecksum(string file, string expected, string actual) => new(
        $"{file} of {name.Repository} has the checksum {actual[..12]}…, but the hub announced {expected[..12]}…; it was removed.",
        "Try again. If it happens again, something between here and the hub changes files (a proxy, a mirror).");

    /// <summary>What came does not keep to the protocol.</summary>
    public PerenosException Odd(string what) => new($"The hub's answer for {name} cannot be used: {what}.", $"HF_ENDPOINT is {settings.Endpoint}; is this a Hugging Face hub?");

    /// <summary>Too little room for what is missing.</summary>
    public static PerenosException NoSpace(string folder, long needed, long free) => new(
        $"{needed / 1e9:F1} GB are to be loaded, but the disk of {folder} has {free / 1e9:F1} GB left.",
        "Free some space, or set HF_HUB_CACHE to a folder on another disk.");

    /// <summary>The disk refused a write.</summary>
    public static PerenosException Disk(string path, Exception problem) => new(
        $"{path} cannot be written: {problem.Message}", "Check the folder's permissions and the space on the disk (HF_HUB_CACHE names another); the same command goes on where it stopped.", problem);

    /// <summary>Nothing to use, and nothing may be asked.</summary>
    public PerenosException NotCached() => new(
        $"{name} is not complete in the cache ({settings.Cache}), and nothing is asked of the network.",
        $"perenos pull {Written} loads it, without --offline and HF_HUB_OFFLINE.");

    private string Written => (name.Kind == HubKind.Dataset ? "datasets/" : "") + name;

    private PerenosException NotFound()
    {
        string? nearest = NearestName.Of(name.Repository, new HubCache(settings.Cache).Repositories(name.Kind).Concat(Neighbours()));
        return new($"{name.Repository} is neither a path here nor a {Kind} that the hub shows {(settings.Token is null ? "without a token" : "to this token")}.",
            $"{(nearest is null ? "" : $"Did you mean {nearest}? ")}Check the spelling{(settings.Token is null ? "; for a private one set HF_TOKEN" : "")}.");
    }

    // Paths beside the one that a misspelt path would have meant.
    private IEnumerable<string> Neighbours()
    {
        string[] parts = name.Repository.Split('/');
        string here = Directory.GetCurrentDirectory();
        return Directory.EnumerateDirectories(here).Where(path => NearestName.Of(parts[0], [Path.GetFileName(path)]) is not null).Take(20)
            .SelectMany(path => Directory.EnumerateFileSystemEntries(path).Take(200)).Select(path => Path.GetRelativePath(here, path).Replace('\\', '/'));
    }

    private static string Header(HttpResponseMessage response, string key) =>
        response.Headers.TryGetValues(key, out var values) ? values.First() : "";

    private static string Clean(string text)
    {
        string plain = new([.. text.Where(c => !char.IsControl(c)).Take(200)]);
        return plain.TrimEnd('.') + (plain.Length > 0 ? "." : "");
    }
}
