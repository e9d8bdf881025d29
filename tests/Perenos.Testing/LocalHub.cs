using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

// SHA-1 is what git, and so the hub, names small files by.
#pragma warning disable CA5350

namespace Perenos.Testing;

/// <summary>
/// A server on this machine that speaks the hub's protocol, with a second one that stands for the servers it redirects large files to;
/// it can refuse, cut, hold back and spoil as real ones do.
/// </summary>
public sealed class LocalHub : IDisposable
{
    // Files from here on are "large": their checksum is a SHA-256 and they come from the other server.
    public const int LargeFrom = 2000;

    private readonly HttpListener _hub = new();
    private readonly HttpListener _storage = new();
    private readonly Dictionary<string, Repository> _repositories = [];
    private readonly ConcurrentDictionary<string, ConcurrentQueue<int>> _cuts = [];

    public LocalHub()
    {
        Endpoint = Listen(_hub, "127.0.0.1");
        Storage = Listen(_storage, "localhost");
        _ = Serve(_hub, AnswerAsHub);
        _ = Serve(_storage, AnswerAsStorage);
    }

    public Uri Endpoint { get; }

    public Uri Storage { get; }

    /// <summary>Every request: method, address, token, range.</summary>
    public ConcurrentQueue<(string Method, Uri Address, string? Token, string? Range)> Requests { get; } = [];

    /// <summary>Whether ranges are ignored, as by simple servers.</summary>
    public bool IgnoresRanges { get; set; }

    /// <summary>Requests that are answered with 503 first.</summary>
    public int BusyFor { get; set; }

    /// <summary>Changes what the hub's own answers say.</summary>
    public Action<HttpListenerResponse>? Twist { get; set; }

    /// <summary>Files whose bytes come changed, by name.</summary>
    public HashSet<string> Spoilt { get; } = [];

    /// <summary>The token that private and gated repositories ask for.</summary>
    public string Token => "hf_right";

    /// <summary>Puts a repository there and gives its commit; <paramref name="name"/> begins with "datasets/" for data.</summary>
    public string Add(string name, IReadOnlyDictionary<string, byte[]> files, bool isPrivate = false, bool isGated = false, string branch = "main")
    {
        byte[] content = [.. Encoding.UTF8.GetBytes(name + branch), .. files.SelectMany(file => Encoding.UTF8.GetBytes(file.Key).Concat(SHA1.HashData(file.Value)))];
        string commit = Convert.ToHexStringLower(SHA1.HashData(content));
        var repository = _repositories.TryGetValue(name, out var known) ? known : _repositories[name] = new Repository(isPrivate, isGated, [], []);
        repository.Commits[commit] = files;
        repository.Branches[branch] = commit;
        return commit;
    }

    /// <summary>The next answers with this file end after so many bytes.</summary>
    public void Cut(string file, params int[] after)
    {
        foreach (int bytes in after)
            _cuts.GetOrAdd(file, _ => []).Enqueue(bytes);
    }

    public static string Etag(byte[] content) => content.Length >= LargeFrom
        ? Convert.ToHexStringLower(SHA256.HashData(content))
        : Convert.ToHexStringLower(SHA1.HashData([.. Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"blob {content.Length}\0")), .. content]));

    public void Dispose()
    {
        _hub.Close();
        _storage.Close();
    }

    private static Uri Listen(HttpListener listener, string host)
    {
        while (true)
        {
            using var probe = new TcpListener(IPAddress.Loopback, 0);
            probe.Start();
            int port = ((IPEndPoint)probe.LocalEndpoint).Port;
            probe.Stop();
            string address = $"http://{host}:{port}/";
            listener.Prefixes.Add(address);
            try
            {
                listener.Start();
                return new Uri(address);
            }
            catch (HttpListenerException)
            {
                listener.Prefixes.Clear(); // Someone else took the port in between.
            }
        }
    }

    private async Task Serve(HttpListener listener, Action<HttpListenerContext> answer)
    {
        while (listener.IsListening)
        {
            HttpListenerContext context;
            try
            {
                context = await listener.GetContextAsync();
            }
            catch (Exception problem) when (problem is HttpListenerException or ObjectDisposedException)
            {
                return;
            }

            var request = context.Request;
            string? token = request.Headers["Authorization"];
            Requests.Enqueue((request.HttpMethod, request.Url!, token, request.Headers["Range"]));
            try
            {
                answer(context);
                context.Response.Close();
            }
            catch (Exception problem) when (problem is HttpListenerException or InvalidOperationException or IOException)
            {
                // The other side has gone, or the connection was cut on purpose.
            }
        }
    }

    private void AnswerAsHub(HttpListenerContext context)
    {
        var (request, response) = (context.Request, context.Response);
        if (BusyFor > 0)
        {
            BusyFor--;
            response.StatusCode = 503;
            return;
        }

        string path = Uri.UnescapeDataString(request.Url!.AbsolutePath).TrimStart('/');
        bool isList = path.StartsWith("api/", StringComparison.Ordinal);
        string[] halves = path.Split(isList ? "/revision/" : "/resolve/", 2);
        string name = isList ? halves[0][4..].Replace("models/", "", StringComparison.Ordinal) : halves[0];
        bool hasToken = request.Headers["Authorization"] == $"Bearer {Token}";
        if (request.Headers["Authorization"] is not null && !hasToken)
            Refuse(response, 401, "", "Invalid credentials in Authorization header");
        else if (halves.Length != 2 || !_repositories.TryGetValue(name, out var repository) || repository.IsPrivate && !hasToken)
            Refuse(response, hasToken ? 404 : 401, "RepoNotFound", "Repository not found");
        else if (isList)
            List(response, repository, halves[1]);
        else if (repository.IsGated && !hasToken)
            Refuse(response, 401, "GatedRepo", "Access to model is restricted. You must have access to it and be authenticated.");
        else
            File(request, response, name, repository, halves[1]);
    }

    private void List(HttpListenerResponse response, Repository repository, string revision)
    {
        string? commit = repository.Branches.GetValueOrDefault(revision) ?? (repository.Commits.ContainsKey(revision) ? revision : null);
        if (commit is null)
        {
            Refuse(response, 404, "RevisionNotFound", "Invalid rev id");
            return;
        }

        Write(response, JsonSerializer.SerializeToUtf8Bytes(new { sha = commit, siblings = repository.Commits[commit].Keys.Select(file => new { rfilename = file }) }));
    }

    private void File(HttpListenerRequest request, HttpListenerResponse response, string name, Repository repository, string rest)
    {
        string[] parts = rest.Split('/', 2);
        if (!repository.Commits.TryGetValue(parts[0], out var files) || !files.TryGetValue(parts[1], out byte[]? content))
        {
            Refuse(response, 404, "EntryNotFound", "Entry not found");
            return;
        }

        response.Headers["X-Repo-Commit"] = parts[0];
        if (content.Length >= LargeFrom)
        {
            response.Headers["X-Linked-Etag"] = $"\"{Etag(content)}\"";
            response.Headers["X-Linked-Size"] = content.Length.ToString(CultureInfo.InvariantCulture);
            response.StatusCode = 302;
            response.Headers["Location"] = new Uri(Storage, $"{name}/{parts[0]}/{parts[1]}?signature=1").ToString();
            Twist?.Invoke(response);
            return;
        }

        response.Headers["ETag"] = $"\"{Etag(content)}\"";
        Twist?.Invoke(response);
        if (request.HttpMethod == "HEAD")
            response.ContentLength64 = content.Length;
        else
            Send(request, response, parts[1], content);
    }

    private void AnswerAsStorage(HttpListenerContext context)
    {
        string[] parts = Uri.UnescapeDataString(context.Request.Url!.AbsolutePath).TrimStart('/').Split('/');
        int place = Array.FindIndex(parts, part => part.Length == 40);
        string file = string.Join('/', parts[(place + 1)..]);
        Send(context.Request, context.Response, file, _repositories[string.Join('/', parts[..place])].Commits[parts[place]][file]);
    }

    private void Send(HttpListenerRequest request, HttpListenerResponse response, string file, byte[] content)
    {
        if (Spoilt.Contains(file))
            content = [.. content.Select(value => (byte)(value ^ 1))];
        int from = 0;
        if (!IgnoresRanges && request.Headers["Range"] is { } range)
        {
            from = int.Parse(range["bytes=".Length..^1], CultureInfo.InvariantCulture);
            response.StatusCode = 206;
            response.Headers["Content-Range"] = string.Create(CultureInfo.InvariantCulture, $"bytes {from}-{content.Length - 1}/{content.Length}");
        }

        response.ContentLength64 = content.Length - from;
        if (_cuts.TryGetValue(file, out var cuts) && cuts.TryDequeue(out int after))
        {
            response.OutputStream.Write(content, from, Math.Min(after, content.Length - from));
            response.OutputStream.Flush();
            // What was written shall arrive before the end does.
            Thread.Sleep(50);
            response.Abort();
            return;
        }

        response.OutputStream.Write(content, from, content.Length - from);
    }

    private static void Refuse(HttpListenerResponse response, int status, string code, string message)
    {
        response.StatusCode = status;
        if (code.Length > 0)
            response.Headers["X-Error-Code"] = code;
        response.Headers["X-Error-Message"] = message;
    }

    private static void Write(HttpListenerResponse response, byte[] body)
    {
        response.ContentLength64 = body.Length;
        response.OutputStream.Write(body);
    }

    private sealed record Repository(bool IsPrivate, bool IsGated, Dictionary<string, IReadOnlyDictionary<string, byte[]>> Commits, Dictionary<string, string> Branches);
}
