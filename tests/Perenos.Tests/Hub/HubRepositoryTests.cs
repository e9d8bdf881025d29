using System.Net.Sockets;
using System.Text;
using Perenos.Hub;
using Perenos.Runs;
using Perenos.Testing;
using Perenos.Text.Data;
using Xunit;

namespace Perenos.Tests.Hub;

/// <summary>Loading from a server on this machine that speaks the hub's protocol.</summary>
public sealed class HubRepositoryTests : IDisposable
{
    private const string Model = "owner/tiny";
    private readonly LocalHub _hub = new();
    private readonly string _folder = Directory.CreateTempSubdirectory("perenos-hub-").FullName;
    private readonly Dictionary<string, byte[]> _files;

    public HubRepositoryTests()
    {
        _files = new()
        {
            ["config.json"] = "{}"u8.ToArray(),
            ["tokenizer.json"] = Bytes(5000, 1),
            ["model.safetensors"] = Bytes(600_000, 2),
            ["pytorch_model.bin"] = Bytes(9000, 3),
            ["onnx/model.onnx"] = Bytes(9000, 4),
            ["README.md"] = "A card."u8.ToArray(),
            ["flax_model.msgpack"] = Bytes(9000, 5),
        };
    }

    public void Dispose()
    {
        _hub.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task Only_the_needed_files_come_and_lie_as_the_hubs_own_tools_lay_them()
    {
        string commit = _hub.Add(Model, _files);
        var fetched = await Fetch(Model);

        string repository = Path.Combine(_folder, "models--owner--tiny");
        Assert.Equal(Path.Combine(repository, "snapshots", commit), fetched.Path);
        Assert.Equal(["README.md", "config.json", "model.safetensors", "tokenizer.json"], Directory.EnumerateFiles(fetched.Path).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Assert.Equal(commit, File.ReadAllText(Path.Combine(repository, "refs", "main")));
        foreach (string file in Directory.EnumerateFiles(fetched.Path))
        {
            byte[] content = _files[Path.GetFileName(file)];
            Assert.Equal(content, File.ReadAllBytes(file));
            Assert.Equal(Path.Combine("..", "..", "blobs", LocalHub.Etag(content)), new FileInfo(file).LinkTarget);
        }

        Assert.Equal($"{Model}@{commit}", fetched.Pinned.ToString());
        Assert.Equal(fetched.Pinned, HubCache.Origin(fetched.Path));
        Assert.Empty(Directory.EnumerateFiles(_folder, "*.incomplete", SearchOption.AllDirectories));
    }

    [Fact]
    public async Task What_is_there_is_not_loaded_again_and_a_commit_asks_nothing()
    {
        string commit = _hub.Add(Model, _files);
        var first = await Fetch(Model);
        Assert.True(first.Loaded > 600_000);
        _hub.Requests.Clear();
        Assert.Equal(0, (await Fetch(Model)).Loaded);
        Assert.Single(_hub.Requests);

        _hub.Requests.Clear();
        Assert.Equal(first.Path, (await Fetch($"{Model}@{commit}")).Path);
        Assert.Empty(_hub.Requests);
    }

    [Fact]
    public async Task A_newer_commit_loads_only_what_changed()
    {
        string old = _hub.Add(Model, _files);
        await Fetch(Model);
        _files["config.json"] = "{\"a\": 1}"u8.ToArray();
        string now = _hub.Add(Model, _files);
        var fetched = await Fetch(Model);
        Assert.Equal((now, 8), (fetched.Pinned.Revision, (int)fetched.Loaded));
        Assert.Equal(_files["model.safetensors"], File.ReadAllBytes(Path.Combine(fetched.Path, "model.safetensors")));
        Assert.Equal(old, (await Fetch($"{Model}@{old}")).Pinned.Revision);
    }

    [Fact]
    public async Task What_other_tools_loaded_is_found_offline()
    {
        // As huggingface_hub leaves it after from_pretrained: links, a ref, and files that are of no use here.
        string commit = new('a', 40), snapshot = Path.Combine(_folder, "models--owner--tiny", "snapshots", commit), blobs = Path.Combine(_folder, "models--owner--tiny", "blobs");
        Directory.CreateDirectory(snapshot);
        Directory.CreateDirectory(blobs);
        foreach (var (name, content) in _files.Where(file => file.Key is "config.json" or "model.safetensors" or "tokenizer.json"))
        {
            File.WriteAllBytes(Path.Combine(blobs, LocalHub.Etag(content)), content);
            File.CreateSymbolicLink(Path.Combine(snapshot, name), Path.Combine("..", "..", "blobs", LocalHub.Etag(content)));
        }

        Directory.CreateDirectory(Path.Combine(_folder, "models--owner--tiny", "refs"));
        File.WriteAllText(Path.Combine(_folder, "models--owner--tiny", "refs", "main"), commit);
        Assert.Equal(snapshot, (await Fetch(Model, settings => settings with { IsOffline = true })).Path);

        File.Delete(Path.Combine(blobs, LocalHub.Etag(_files["model.safetensors"])));
        var problem = await Refused(Model, settings => settings with { IsOffline = true });
        Assert.Contains("not complete in the cache", problem.Message, StringComparison.Ordinal);
        Assert.Contains("perenos pull owner/tiny", problem.Hint, StringComparison.Ordinal);
        Assert.Empty(_hub.Requests);
    }

    [Fact]
    public async Task Shards_come_as_the_index_names_them()
    {
        _files.Remove("model.safetensors");
        _files["model.safetensors.index.json"] = Encoding.UTF8.GetBytes("""{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}""");
        _files["model-00001-of-00002.safetensors"] = Bytes(3000, 6);
        _files["model-00002-of-00002.safetensors"] = Bytes(3000, 7);
        _files["model-00003-of-00003.safetensors"] = Bytes(3000, 8);
        _hub.Add(Model, _files);
        var fetched = await Fetch(Model);
        Assert.Equal(2, Directory.EnumerateFiles(fetched.Path, "model-*.safetensors").Count());
        Assert.False(File.Exists(Path.Combine(fetched.Path, "pytorch_model.bin")));

        _files.Remove("model-00002-of-00002.safetensors");
        _hub.Add(Model, _files);
        Assert.Contains("model-00002-of-00002.safetensors", (await Refused(Model)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Python_weights_come_where_there_are_no_others()
    {
        _files.Remove("model.safetensors");
        _hub.Add(Model, _files);
        Assert.True(File.Exists(Path.Combine((await Fetch(Model)).Path, "pytorch_model.bin")));
    }

    [Fact]
    public async Task A_gguf_file_comes_alone_and_has_to_be_named()
    {
        _hub.Add("owner/tiny-gguf", new Dictionary<string, byte[]> { ["a.gguf"] = Bytes(3000, 1), ["deep/b.gguf"] = Bytes(3000, 2), ["README.md"] = Bytes(10, 3) });
        Assert.Equal(Bytes(3000, 2), File.ReadAllBytes((await Fetch("owner/tiny-gguf:deep/b.gguf")).Path));
        var problem = await Refused("owner/tiny-gguf");
        Assert.Contains("2 GGUF files: a.gguf, deep/b.gguf", problem.Message, StringComparison.Ordinal);
        Assert.Contains("owner/tiny-gguf:a.gguf", problem.Hint, StringComparison.Ordinal);
        Assert.Contains("nearest: a.gguf", (await Refused("owner/tiny-gguf:aa.gguf")).Hint, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_adapter_comes_with_its_two_files()
    {
        _hub.Add("owner/adapter", new Dictionary<string, byte[]> { ["adapter_config.json"] = "{}"u8.ToArray(), ["adapter_model.safetensors"] = Bytes(3000, 2), ["optimizer.pt"] = Bytes(3000, 3) });
        Assert.Equal(["adapter_config.json", "adapter_model.safetensors"], Directory.EnumerateFiles((await Fetch("owner/adapter")).Path).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task The_token_goes_to_the_hub_and_never_to_where_it_redirects()
    {
        _hub.Add(Model, _files, isPrivate: true);
        await Fetch(Model, settings => settings with { Token = _hub.Token });
        Assert.All(_hub.Requests, request => Assert.Equal(request.Address.Port == _hub.Endpoint.Port, request.Token is not null));
        Assert.Contains(_hub.Requests, request => request.Address.Port == _hub.Storage.Port);
    }

    [Fact]
    public async Task A_cut_connection_goes_on_where_it_was_cut()
    {
        _hub.Add(Model, _files);
        _hub.Cut("model.safetensors", 200_000, 0, 300_000);
        var fetched = await Fetch(Model);
        Assert.Equal(_files["model.safetensors"], File.ReadAllBytes(Path.Combine(fetched.Path, "model.safetensors")));
        var ranges = StorageRequests("model.safetensors");
        Assert.Null(ranges[0]);
        Assert.True(ranges.Count >= 3 && ranges[1..].All(range => range is not null), string.Join(", ", ranges));
    }

    [Fact]
    public async Task A_connection_that_is_cut_for_ever_is_an_error_and_the_next_call_goes_on()
    {
        _hub.Add(Model, _files);
        _hub.Cut("model.safetensors", [200_000, .. Enumerable.Repeat(0, 20)]);
        var problem = await Refused(Model);
        Assert.Contains("model.safetensors", problem.Message, StringComparison.Ordinal);
        string partial = Assert.Single(Directory.EnumerateFiles(_folder, "*.incomplete", SearchOption.AllDirectories));
        long kept = new FileInfo(partial).Length;
        Assert.InRange(kept, 1, 200_000);

        using var again = new LocalHub();
        again.Add(Model, _files);
        var fetched = await Fetch(Model, settings => settings with { Endpoint = again.Endpoint });
        Assert.Equal(_files["model.safetensors"], File.ReadAllBytes(Path.Combine(fetched.Path, "model.safetensors")));
        Assert.Contains(again.Requests, request => request.Range == $"bytes={kept}-");
    }

    [Fact]
    public async Task A_server_without_ranges_is_taken_as_it_is()
    {
        _hub.IgnoresRanges = true;
        _hub.Add(Model, _files);
        _hub.Cut("model.safetensors", 200_000);
        var fetched = await Fetch(Model);
        Assert.Equal(_files["model.safetensors"], File.ReadAllBytes(Path.Combine(fetched.Path, "model.safetensors")));
    }

    [Theory]
    [InlineData("model.safetensors")]
    [InlineData("config.json")]
    public async Task A_wrong_checksum_removes_the_file_and_names_it(string file)
    {
        _hub.Add(Model, _files);
        _hub.Spoilt.Add(file);
        var problem = await Refused(Model);
        Assert.Contains(file, problem.Message, StringComparison.Ordinal);
        Assert.Contains("checksum", problem.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(Directory.EnumerateFiles(_folder, $"{LocalHub.Etag(_files[file])}*", SearchOption.AllDirectories), path => !path.EndsWith(".lock", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_damaged_beginning_of_another_process_is_loaded_anew()
    {
        _hub.Add(Model, _files);
        string partial = Path.Combine(_folder, "models--owner--tiny", "blobs", LocalHub.Etag(_files["model.safetensors"]) + ".incomplete");
        Directory.CreateDirectory(Path.GetDirectoryName(partial)!);
        File.WriteAllBytes(partial, Bytes(1000, 99));
        var fetched = await Fetch(Model);
        Assert.Equal(_files["model.safetensors"], File.ReadAllBytes(Path.Combine(fetched.Path, "model.safetensors")));
    }

    [Fact]
    public async Task A_busy_hub_is_asked_again()
    {
        _hub.Add(Model, _files);
        _hub.BusyFor = 2;
        await Fetch(Model);
        _hub.BusyFor = 100;
        Assert.Contains("503", (await Refused(Model)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Refusals_say_what_to_do()
    {
        _hub.Add(Model, _files);
        _hub.Add("owner/private", _files, isPrivate: true);
        _hub.Add("owner/gated", _files, isGated: true);
        async Task Expect(string name, string inMessage, string inHint, string? token = null)
        {
            var problem = await Refused(name, settings => settings with { Token = token });
            Assert.Contains(inMessage, problem.Message, StringComparison.Ordinal);
            Assert.Contains(inHint, problem.Hint, StringComparison.Ordinal);
        }

        await Fetch(Model);
        await Expect("owner/private", "neither a path here nor a model", "HF_TOKEN");
        await Expect("owner/tiyn", "owner/tiyn", "Did you mean owner/tiny?");
        await Expect("owner/gated", "gated", $"{_hub.Endpoint}owner/gated");
        await Expect("owner/nothing", "neither", "Check the spelling", _hub.Token);
        await Expect(Model, "does not accept the token", "HF_TOKEN", "hf_wrong");
        await Expect(Model + "@nowhere", "no revision nowhere", "main");
    }

    [Fact]
    public async Task No_network_is_an_error_with_what_the_cache_has()
    {
        _hub.Add(Model, _files);
        await Fetch(Model);
        HubSettings Dead(HubSettings settings) => settings with { Endpoint = new Uri($"http://127.0.0.1:{FreePort()}") };
        Assert.Contains("--offline", (await Refused(Model, Dead)).Hint, StringComparison.Ordinal);
        Assert.Contains("HTTPS_PROXY", (await Refused("owner/other", Dead)).Hint, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Two_at_once_load_each_file_once()
    {
        _hub.Add(Model, _files);
        var both = await Task.WhenAll(Task.Run(() => Fetch(Model)), Task.Run(() => Fetch(Model)));
        Assert.Equal(both[0].Path, both[1].Path);
        Assert.Single(StorageRequests("model.safetensors"));
    }

    [Fact]
    public async Task Names_that_lead_out_of_the_folder_are_never_followed()
    {
        _hub.Add("datasets/owner/data", new Dictionary<string, byte[]> { ["../../train.jsonl"] = Bytes(10, 1), ["/train.jsonl"] = Bytes(10, 2) });
        var problem = await Refused("datasets/owner/data");
        Assert.Contains("no training file", problem.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("X-Linked-Etag", "../../escape")]
    [InlineData("X-Linked-Etag", "")]
    [InlineData("X-Linked-Size", "-5")]
    [InlineData("X-Repo-Commit", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")]
    [InlineData("Location", "file:///etc/passwd")]
    public async Task Headers_that_cannot_be_used_are_refused(string header, string value)
    {
        _hub.Add(Model, _files);
        _hub.Twist = response => response.Headers[header] = value;
        Assert.Contains("cannot be used", (await Refused(Model)).Message, StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFiles(Path.GetDirectoryName(_folder)!, "escape*"));
    }

    [Fact]
    public async Task More_bytes_than_announced_are_not_written()
    {
        _hub.Add(Model, _files);
        _hub.Twist = response =>
        {
            if (response.Headers["X-Linked-Size"] is not null)
                response.Headers["X-Linked-Size"] = "4000";
        };
        Assert.Contains("announced", (await Refused(Model)).Message, StringComparison.Ordinal);
        Assert.All(Directory.EnumerateFiles(_folder, "*.incomplete", SearchOption.AllDirectories), path => Assert.InRange(new FileInfo(path).Length, 0, 4000));
    }

    [Fact]
    public async Task A_data_set_comes_with_the_files_of_its_parts()
    {
        var files = new Dictionary<string, byte[]>
        {
            ["data/train-00000-of-00002.parquet"] = Bytes(3000, 1),
            ["data/train-00001-of-00002.parquet"] = Bytes(3000, 2),
            ["data/test-00000-of-00001.parquet"] = Bytes(3000, 3),
            ["data/notes-00000-of-00001.parquet"] = Bytes(3000, 4),
            ["README.md"] = Bytes(10, 5),
        };
        _hub.Add("datasets/owner/data", files);
        var fetched = await Fetch("datasets/owner/data");
        Assert.EndsWith("/data", fetched.Path, StringComparison.Ordinal);
        Assert.Contains("datasets--owner--data", fetched.Path, StringComparison.Ordinal);
        Assert.Equal(["test-00000-of-00001.parquet", "train-00000-of-00002.parquet", "train-00001-of-00002.parquet"],
            Directory.EnumerateFiles(fetched.Path).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Assert.Equal(3000, new FileInfo(File.ResolveLinkTarget((await Fetch("datasets/owner/data:data/notes-00000-of-00001.parquet")).Path, true)!.FullName).Length);

        files.Remove("data/train-00001-of-00002.parquet");
        _hub.Add("datasets/owner/data", files);
        Assert.Contains("1 of the 00002", (await Refused("datasets/owner/data")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_data_set_with_several_folders_has_to_be_named()
    {
        _hub.Add("datasets/owner/pairs", new Dictionary<string, byte[]> { ["en-fr/train.jsonl"] = Bytes(30, 1), ["en-de/train.jsonl"] = Bytes(30, 2), ["en-de/test.jsonl"] = Bytes(30, 3) });
        Assert.Contains("owner/pairs:en-", (await Refused("datasets/owner/pairs")).Hint, StringComparison.Ordinal);
        Assert.Equal(2, Directory.EnumerateFiles((await Fetch("datasets/owner/pairs:en-de")).Path).Count());
    }

    [Fact]
    public async Task The_card_of_a_data_set_says_which_files_are_which()
    {
        static byte[] Line(string text) => Encoding.UTF8.GetBytes($$"""{"text":"{{text}}"}""" + "\n");
        const string card = """
            ---
            license: mit
            configs:
            - config_name: en-fr
              default: true
              data_files:
              - split: train
                path: "pairs/*.jsonl"
              - split: test
                path: ["held/out.jsonl"]
              - split: notes
                path: notes.jsonl
            - config_name: en-de
              data_dir: german
              data_files: "**/de-*.jsonl"
            ---
            # Pairs
            """;
        _hub.Add("datasets/owner/cards", new Dictionary<string, byte[]>
        {
            ["README.md"] = Encoding.UTF8.GetBytes(card),
            ["pairs/b.jsonl"] = Line("b"),
            ["pairs/a.jsonl"] = Line("a"),
            ["pairs/deep/c.jsonl"] = Line("c"),
            ["held/out.jsonl"] = Line("t"),
            ["notes.jsonl"] = Line("n"),
            ["german/x/de-1.jsonl"] = Line("d"),
            ["german/other.jsonl"] = Line("o"),
        });

        static string[] Read(string path) => [.. RecordFile.Read(path).Select(record => $"{record.Part?.ToString() ?? "any"} {record.Text("text")}")];
        var fetched = await Fetch("datasets/owner/cards");
        Assert.Equal(["Train a", "Train b", "Test t"], Read(fetched.Path));
        Assert.Equal(["any d"], Read((await Fetch("datasets/owner/cards:en-de")).Path));
        Assert.Empty(Directory.EnumerateFiles(_folder, "other.jsonl", SearchOption.AllDirectories));
        var problem = await Refused("datasets/owner/cards:en-fs");
        Assert.Contains("it has en-fr, en-de", problem.Message, StringComparison.Ordinal);
        Assert.Contains("owner/cards:en-fr", problem.Hint, StringComparison.Ordinal);

        _hub.Add("datasets/owner/cards", new Dictionary<string, byte[]>
        {
            ["README.md"] = Encoding.UTF8.GetBytes(card.Replace("  default: true\n", "", StringComparison.Ordinal)),
            ["pairs/a.jsonl"] = Line("a"),
            ["held/out.jsonl"] = Line("t"),
        });
        Assert.Contains("2 configurations and no default: en-fr, en-de", (await Refused("datasets/owner/cards")).Message, StringComparison.Ordinal);
        Assert.Contains("no file is notes.jsonl", (await Refused("datasets/owner/cards:en-fr")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Progress_counts_every_byte_once_and_ends_at_the_total()
    {
        _hub.Add(Model, _files);
        _hub.Cut("model.safetensors", 100_000);
        List<HubProgress> seen = [];
        await Repository(settings => settings).FetchAsync(HubName.Parse(Model), seen.Add, TestContext.Current.CancellationToken);
        Assert.Equal(seen.Select(progress => progress.Done).Order(), seen.Select(progress => progress.Done));
        Assert.Equal(seen[^1].Total, seen[^1].Done);
    }

    [Fact]
    public async Task Stopping_keeps_what_came()
    {
        _hub.Add(Model, _files);
        using var source = new CancellationTokenSource();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Repository(settings => settings).FetchAsync(HubName.Parse(Model), progress =>
        {
            if (progress.Done > 100_000)
                source.Cancel();
        }, source.Token));
        Assert.NotEmpty(Directory.EnumerateFiles(_folder, "*.incomplete", SearchOption.AllDirectories));
        await Fetch(Model);
    }

    private List<string?> StorageRequests(string file) =>
        [.. _hub.Requests.Where(request => request.Address.Port == _hub.Storage.Port && request.Address.AbsolutePath.EndsWith(file, StringComparison.Ordinal)).Select(request => request.Range)];

    private HubRepository Repository(Func<HubSettings, HubSettings> change) =>
        new(change(new HubSettings { Endpoint = _hub.Endpoint, Cache = _folder, FirstPause = TimeSpan.FromMilliseconds(1) }), TimeProvider.System);

    private Task<HubFetch> Fetch(string name, Func<HubSettings, HubSettings>? change = null) =>
        Repository(change ?? (settings => settings)).FetchAsync(HubName.Parse(name), _ => { }, TestContext.Current.CancellationToken);

    private Task<PerenosException> Refused(string name, Func<HubSettings, HubSettings>? change = null) => Assert.ThrowsAsync<PerenosException>(() => Fetch(name, change));

    private static int FreePort()
    {
        using var probe = new TcpListener(System.Net.IPAddress.Loopback, 0);
        probe.Start();
        return ((System.Net.IPEndPoint)probe.LocalEndpoint).Port;
    }

    private static byte[] Bytes(int count, int seed)
    {
        byte[] bytes = new byte[count];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }
}
