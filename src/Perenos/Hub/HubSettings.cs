using Perenos.Runs;

namespace Perenos.Hub;

/// <summary>Where the hub is, who asks, and where its files are kept: the variables that Hugging Face's own tools read.</summary>
public sealed record HubSettings
{
    /// <summary>Address of the hub (<c>HF_ENDPOINT</c>).</summary>
    public Uri Endpoint { get; init; } = new("https://huggingface.co");

    /// <summary>Token for private and gated repositories (<c>HF_TOKEN</c>, or the file that a login wrote); null asks as nobody.</summary>
    public string? Token { get; init; }

    /// <summary>Folder of the cache (<c>HF_HUB_CACHE</c>, or <c>HF_HOME</c> with <c>hub</c>).</summary>
    public required string Cache { get; init; }

    /// <summary>Whether nothing may be asked of the network (<c>HF_HUB_OFFLINE</c>).</summary>
    public bool IsOffline { get; init; }

    /// <summary>Wait before the first new try after a cut connection; doubles with each that brings nothing.</summary>
    internal TimeSpan FirstPause { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>A connection that brings nothing for this long counts as cut.</summary>
    internal TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Reads the environment of this process.</summary>
    /// <exception cref="PerenosException">A variable has a value that cannot be meant.</exception>
    public static HubSettings FromEnvironment() => From(Environment.GetEnvironmentVariable);

    internal static HubSettings From(Func<string, string?> variable)
    {
        string? Value(params string[] names) => names.Select(variable).FirstOrDefault(value => !string.IsNullOrWhiteSpace(value))?.Trim();
        string user = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
        string home = Value("HF_HOME") is { } named ? Expand(named, user) : Path.Combine(Value("XDG_CACHE_HOME") ?? Path.Combine(user, ".cache"), "huggingface");
        var settings = new HubSettings
        {
            Cache = Path.GetFullPath(Value("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE") is { } cache ? Expand(cache, user) : Path.Combine(home, "hub")),
            Token = Value("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") ?? TokenOfLogin(Value("HF_TOKEN_PATH") is { } path ? Expand(path, user) : Path.Combine(home, "token")),
            IsOffline = IsTrue(Value("HF_HUB_OFFLINE")),
        };
        if (Value("HF_ENDPOINT") is not { } endpoint)
            return settings;
        return Uri.TryCreate(endpoint.TrimEnd('/'), UriKind.Absolute, out var address) && address.Scheme is "https" or "http"
            ? settings with { Endpoint = address }
            : throw new PerenosException($"HF_ENDPOINT = \"{endpoint}\" is not an address.", "Unset it, or write it as https://huggingface.co.");
    }

    private static bool IsTrue(string? value) => value?.ToUpperInvariant() is "1" or "ON" or "YES" or "TRUE";

    private static string Expand(string path, string user) => path == "~" || path.StartsWith("~/", StringComparison.Ordinal) ? user + path[1..] : path;

    private static string? TokenOfLogin(string path)
    {
        try
        {
            string text = File.ReadAllText(path).Trim();
            return text.Length is > 0 and < 4096 ? text : null;
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            return null; // Nobody has logged in.
        }
    }
}
