using Perenos.Runs;

namespace Perenos.Hub;

/// <summary>
/// Tells paths from names where either may be given: what exists here is a path; <c>owner/name</c> is a name, unless a folder
/// <c>owner</c> is here too. Then a misspelt path is likelier, and only the cache is looked into.
/// </summary>
public static class HubLocation
{
    /// <summary>The name that is meant, or null for a path (that may not exist).</summary>
    /// <exception cref="PerenosException">Path and name are both possible, and neither is here.</exception>
    public static HubName? NameIn(string location, HubKind kind, HubSettings settings)
    {
        ArgumentNullException.ThrowIfNull(location);
        if (IsHere(location) || HubName.TryParse(location, kind) is not { } name)
            return null;
        string owner = name.Repository.Split('/')[0];
        if (!Directory.Exists(owner) || new HubRepository(settings, TimeProvider.System).FindCached(name) is not null)
            return name;
        string? nearest = NearestName.Of(name.Repository, Directory.EnumerateFileSystemEntries(owner).Select(entry => $"{owner}/{Path.GetFileName(entry)}"));
        throw new PerenosException(
            $"There is no {location} in the folder {owner}, and the hub's cache has no {name.Repository} either.",
            $"{(nearest is null ? "" : $"Did you mean {nearest}? ")}If the hub's is meant: perenos pull {(kind == HubKind.Dataset ? "datasets/" : "")}{location}, then the same again.");
    }

    // A file or folder, or FOLDER:CONFIGURATION of data.
    private static bool IsHere(string location) =>
        Path.Exists(location) || location.LastIndexOf(':') is var colon and > 0 && Directory.Exists(location[..colon]);

    /// <summary>The path to open: the location itself, or where the cache has it. Never asks the network.</summary>
    /// <exception cref="PerenosException">It is a name of which the cache has not everything.</exception>
    public static string InCache(string location, HubKind kind)
    {
        if (IsHere(location))
            return location;
        var settings = HubSettings.FromEnvironment();
        return NameIn(location, kind, settings) is { } name
            ? new HubRepository(settings, TimeProvider.System).FindCached(name)?.Path ?? throw new HubProblem(settings, name).NotCached()
            : location;
    }
}
