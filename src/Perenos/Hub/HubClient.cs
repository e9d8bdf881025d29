using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using Perenos.Runs;

namespace Perenos.Hub;

/// <summary>What the hub says of one file: enough to check what comes.</summary>
/// <param name="Path">Path in the repository.</param>
/// <param name="Etag">SHA-256 of the content (64 hex digits, large files) or its git blob id (40 hex digits); also its name in the cache.</param>
/// <param name="Size">Bytes.</param>
internal sealed record HubFile(string Path, string Etag, long Size);

/// <summary>
/// The hub's HTTP protocol: the list of a revision's files, what is known of a file, and its bytes from any place on. The token goes to
/// the hub's own origin only, never to the servers that it redirects to.
/// </summary>
internal sealed class HubClient : IDisposable
{
    private const int MostTries = 3;
    private const int MostRedirects = 5;
    private const int LargestList = 64 << 20;
    private static readonly TimeSpan LongestPause = TimeSpan.FromMinutes(1);
    private static readonly HttpStatusCode[] Busy =
        [HttpStatusCode.RequestTimeout, HttpStatusCode.TooManyRequests, HttpStatusCode.InternalServerError, HttpStatusCode.BadGateway, HttpStatusCode.ServiceUnavailable, HttpStatusCode.GatewayTimeout];

    private readonly HttpClient _client;
    private readonly HubSettings _settings;
    private readonly TimeProvider _clock;

    public HubClient(HubSettings settings, TimeProvider clock)
    {
        (_settings, _clock) = (settings, clock);
        // Redirects are followed by hand, and content must come as it is: checksums and ranges count bytes.
        _client = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false, AutomaticDecompression = DecompressionMethods.None, ConnectTimeout = settings.Patience })
        {
            Timeout = Timeout.InfiniteTimeSpan,
        };
        _client.DefaultRequestHeaders.UserAgent.Add(new ProductInfoHeaderValue("perenos", RunEnvironment.VersionOf(typeof(HubClient).Assembly)));
        _client.DefaultRequestHeaders.AcceptEncoding.Add(new StringWithQualityHeaderValue("identity"));
    }

    /// <summary>The commit that the name's revision is, and the paths of its files.</summary>
    public async Task<(string Commit, IReadOnlyList<string> Files)> ListAsync(HubName name, CancellationToken stop)
    {
        var address = Address($"api/{(name.Kind == HubKind.Dataset ? "datasets" : "models")}/{name.Repository}/revision/{Uri.EscapeDataString(name.Revision)}");
        using var response = await SendAsync(name, null, HttpMethod.Get, address, from: 0, stop).ConfigureAwait(false);
        using var content = new MemoryStream();
        await new HubBody(response, _settings, _clock).CopyAsync(LargestList, (bytes, count) => content.Write(bytes, 0, count), stop).ConfigureAwait(false);
        var problem = new HubProblem(_settings, name);
        try
        {
            content.Position = 0;
            using var json = JsonDocument.Parse(content);
            string? commit = json.RootElement.GetProperty("sha").GetString();
            if (commit is null || !HubName.IsCommit(commit))
                throw problem.Odd("it names no commit");
            return (commit, [.. json.RootElement.GetProperty("siblings").EnumerateArray().Select(file => file.GetProperty("rfilename").GetString()!).Where(HubName.IsInside)]);
        }
        catch (Exception mistake) when (mistake is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            throw problem.Odd("it is no list of files");
        }
    }

    /// <summary>Checksum and size of a file, from the headers of the hub itself.</summary>
    public async Task<HubFile> DescribeAsync(HubName name, string commit, string path, CancellationToken stop)
    {
        using var response = await SendAsync(name, path, HttpMethod.Head, FileAddress(name, commit, path), from: 0, stop).ConfigureAwait(false);
        var problem = new HubProblem(_settings, name);
        string? Header(string key) => response.Headers.TryGetValues(key, out var values) ? values.First() : null;
        if (Header("X-Repo-Commit") is { } served && served != commit)
            throw problem.Odd($"{path} comes from another commit");
        string etag = (Header("X-Linked-Etag") ?? Header("ETag") ?? "").Replace("W/", "", StringComparison.Ordinal).Trim('"');
        // Anything else could neither be checked nor be a name in the cache.
        if (etag.Length is not (40 or 64) || !etag.All(char.IsAsciiHexDigitLower))
            throw problem.Odd($"{path} comes without a checksum");
        long size = long.TryParse(Header("X-Linked-Size"), out long linked) ? linked
            : IsRedirect(response) ? -1 : response.Content.Headers.ContentLength ?? -1;
        return size >= 0 ? new HubFile(path, etag, size) : throw problem.Odd($"{path} comes without a size");
    }

    /// <summary>The bytes of a file from a place on; the server may start at 0 instead (status 200).</summary>
    public Task<HttpResponseMessage> OpenAsync(HubName name, string commit, string path, long from, CancellationToken stop) =>
        SendAsync(name, path, HttpMethod.Get, FileAddress(name, commit, path), from, stop);

    public void Dispose() => _client.Dispose();

    /// <summary>Whether a failure may pass: a cut or missing connection, not a refusal.</summary>
    public static bool IsPassing(Exception problem) => problem is HttpRequestException or IOException or TimeoutException;

    private async Task<HttpResponseMessage> SendAsync(HubName name, string? path, HttpMethod method, Uri address, long from, CancellationToken stop)
    {
        var pause = _settings.FirstPause;
        for (int attempt = 1; ; attempt++, pause *= 2)
        {
            try
            {
                var response = await FollowAsync(name, method, address, from, stop).ConfigureAwait(false);
                if (response.IsSuccessStatusCode || IsRedirect(response))
                    return response;
                using (response)
                {
                    if (!Busy.Contains(response.StatusCode) || attempt == MostTries)
                        throw new HubProblem(_settings, name).Refused(response, path);
                    pause = response.Headers.RetryAfter?.Delta is { } asked && asked > pause ? asked < LongestPause ? asked : LongestPause : pause;
                }
            }
            catch (Exception problem) when (IsPassing(problem))
            {
                if (attempt == MostTries)
                    throw new HubProblem(_settings, name).Unreachable(problem, new HubCache(_settings.Cache).CommitOf(name));
            }

            await Task.Delay(pause, _clock, stop).ConfigureAwait(false);
        }
    }

    private async Task<HttpResponseMessage> FollowAsync(HubName name, HttpMethod method, Uri address, long from, CancellationToken stop)
    {
        for (int hop = 0; hop <= MostRedirects; hop++)
        {
            using var request = new HttpRequestMessage(method, address);
            if (_settings.Token is not null && IsHub(address))
                request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", _settings.Token);
            if (from > 0)
                request.Headers.Range = new RangeHeaderValue(from, null);
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(stop);
            using var timer = new CancellationTokenSource(_settings.Patience, _clock);
            using var linked = timer.Token.Register(limit.Cancel);
            HttpResponseMessage response;
            try
            {
                response = await _client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, limit.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (!stop.IsCancellationRequested)
            {
                throw new TimeoutException($"no answer within {_settings.Patience.TotalSeconds:F0} s");
            }

            if (!IsRedirect(response) || response.Headers.Location is not { } location)
                return response;
            var target = new Uri(address, location);
            // What is known of a file stands in the hub's own answer, not in that of the server it sends to.
            if (method == HttpMethod.Head && (response.Headers.Contains("X-Linked-Etag") || !IsHub(target)))
                return response;
            response.Dispose();
            if (target.Scheme != Uri.UriSchemeHttps && (target.Scheme != Uri.UriSchemeHttp || address.Scheme == Uri.UriSchemeHttps))
                throw new HubProblem(_settings, name).Odd($"it redirects to {target.Scheme}:");
            address = target;
        }

        throw new HubProblem(_settings, name).Odd($"it redirects more than {MostRedirects} times");
    }

    private bool IsHub(Uri address) => Uri.Compare(address, _settings.Endpoint, UriComponents.SchemeAndServer, UriFormat.Unescaped, StringComparison.OrdinalIgnoreCase) == 0;

    private static bool IsRedirect(HttpResponseMessage response) => (int)response.StatusCode is 301 or 302 or 303 or 307 or 308;

    private Uri FileAddress(HubName name, string commit, string path) =>
        Address($"{(name.Kind == HubKind.Dataset ? "datasets/" : "")}{name.Repository}/resolve/{commit}/{string.Join('/', path.Split('/').Select(Uri.EscapeDataString))}");

    private Uri Address(string path) => new($"{_settings.Endpoint.ToString().TrimEnd('/')}/{path}");
}
