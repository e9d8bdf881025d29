using Perenos.Models;
using Perenos.Runs;
using Perenos.Testing;
using Xunit;

namespace Perenos.Cli.Tests;

/// <summary>Names on the hub as a user types them, against a server on this machine.</summary>
public sealed class HubCommandTests : IDisposable
{
    private readonly LocalHub _hub = new();
    private readonly string _folder = Directory.CreateTempSubdirectory("perenos-hub-").FullName;

    public void Dispose()
    {
        _hub.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public void Pull_prints_where_the_model_lies_and_generate_takes_its_name()
    {
        string commit = _hub.Add("owner/base", FilesOfBase());
        var (code, output, error) = Run("pull", "owner/base");
        Assert.True(code == 0, error);
        Assert.Equal(Path.Combine(_folder, "cache", "models--owner--base", "snapshots", commit), output.TrimEnd());
        Assert.Contains("MB loaded", error, StringComparison.Ordinal);

        _hub.Requests.Clear();
        (code, string named, error) = Run("generate", "--model", "owner/base", "--offline", "--max-new-tokens", "4", "English: Sunny.\\nFrench:");
        Assert.True(code == 0, error);
        Assert.Equal(Run("generate", "--model", "base", "--max-new-tokens", "4", "English: Sunny.\\nFrench:").Output, named);
        Assert.Empty(_hub.Requests);
    }

    [Fact]
    public void A_run_with_names_keeps_the_commits_and_is_repeated_without_the_network()
    {
        string model = _hub.Add("owner/base", FilesOfBase());
        string data = _hub.Add("datasets/owner/pairs", new Dictionary<string, byte[]> { ["train.jsonl"] = Pairs(30), ["test.jsonl"] = Pairs(3) });
        string[] arguments = ["tune", "--model", "owner/base", "--data", "owner/pairs", "--prompt", "{en}", "--completion", " {fr}", "--steps", "1", "--batch-size", "2", "--max-new-tokens", "2", "--dtype", "float32",
            "--test-records", "1", "--reference", Write("general.txt", "A short walk."), "--runs", Path.Combine(_folder, "runs")];
        var (code, output, error) = Run([.. arguments, "--name", "first"]);
        Assert.True(code == 0, output + error);
        string config = Path.Combine(_folder, "runs", "first", "config.json");
        Assert.Contains($"\"owner/base@{model}\"", File.ReadAllText(config), StringComparison.Ordinal);
        Assert.Contains($"\"owner/pairs@{data}\"", File.ReadAllText(config), StringComparison.Ordinal);
        Assert.Contains("\"owner/base\"", File.ReadAllText(Path.Combine(_folder, "runs", "first", "adapter", "adapter_config.json")), StringComparison.Ordinal);

        // Branches move on; the run does not.
        _hub.Add("owner/base", new Dictionary<string, byte[]> { ["config.json"] = "{}"u8.ToArray() });
        _hub.Requests.Clear();
        (code, output, error) = Run("tune", config, "--name", "again", "--runs", Path.Combine(_folder, "runs"));
        Assert.True(code == 0, output + error);
        Assert.Empty(_hub.Requests);
    }

    [Theory]
    [InlineData("pull gpt2", "gpt2", "owner/name")]
    [InlineData("pull owner/nothing", "neither a path here nor a model", "HF_TOKEN")]
    [InlineData("pull owner/nothing --offline", "not complete in the cache", "perenos pull owner/nothing")]
    [InlineData("generate --model owner/nothing hello", "neither a path here nor a model", "spelling")]
    [InlineData("tune --model base --data owner/nothing --prompt {en} --completion {fr}", "neither a path here nor a data set", "spelling")]
    [InlineData("generate --model ./owner/nothing hello", "./owner/nothing", "")]
    public void Mistakes_are_two_lines(string arguments, string inMessage, string inHint)
    {
        var (code, _, error) = Run(arguments.Split(' '));
        string[] lines = error.ReplaceLineEndings("\n").TrimEnd('\n').Split('\n');
        Assert.Equal((2, 2), (code, lines.Length));
        Assert.Contains(inMessage, lines[0], StringComparison.Ordinal);
        Assert.Contains(inHint, lines[1], StringComparison.Ordinal);
    }

    [Fact]
    public void A_misspelt_path_never_goes_to_the_network()
    {
        Directory.CreateDirectory(Path.Combine(_folder, "models", "llama"));
        var (code, _, error) = Run("generate", "--model", "models/lama", "hello");
        Assert.Equal(2, code);
        Assert.Contains("Did you mean models/llama?", error, StringComparison.Ordinal);
        Assert.Contains("perenos pull models/lama", error, StringComparison.Ordinal);
        Assert.Empty(_hub.Requests);
    }

    [Fact]
    public void Import_recipe_writes_a_recipe_and_never_over_another_file()
    {
        string theirs = Write("theirs.yaml", "base_model: owner/base\nadapter: lora\nlora_r: 4\nload_in_8bit: true\nlearning_rate: 1e-4\ndatasets: [{path: pairs.jsonl, type: completion}]\n");
        string ours = Path.Combine(_folder, "ours.yaml");
        var (code, output, error) = Run("import-recipe", theirs, "--output", ours);
        Assert.True(code == 0, error);
        Assert.Contains("load_in_8bit", output, StringComparison.Ordinal);
        Assert.Equal("owner/base", ((Perenos.Runs.Config.PretrainedStart)ConfigFile.Read<Perenos.Runs.Config.RunConfig>(ours).Start).Model);
        Assert.Equal(2, Run("import-recipe", theirs, "--output", ours).Code);
    }

    [Fact]
    public void Selftest_gives_its_checks_as_json()
    {
        var (code, output, error) = Run("selftest", "--model", "base", "--dtype", "float32", "--json");
        Assert.True(code == 0, output + error);
        Assert.Contains(System.Text.Json.Nodes.JsonNode.Parse(output)!.AsArray(), check => check!["name"]!.GetValue<string>() == "cache" && check["verdict"]!.GetValue<string>() == "passed");
    }

    private (int Code, string Output, string Error) Run(params string[] arguments)
    {
        using var process = new CliProcess(arguments, new Dictionary<string, string>
        {
            ["HF_ENDPOINT"] = _hub.Endpoint.ToString(),
            ["HF_HUB_CACHE"] = Path.Combine(_folder, "cache"),
            ["HF_HOME"] = _folder,
            ["HF_TOKEN"] = "",
            ["HF_HUB_OFFLINE"] = "",
        }, _folder);
        return process.End();
    }

    private static Dictionary<string, byte[]> FilesOfBase() =>
        Directory.EnumerateFiles(Pretrained.Resolve(Pretrained.BaseName)).ToDictionary(file => Path.GetFileName(file), File.ReadAllBytes);

    private static byte[] Pairs(int count) => System.Text.Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, count).Select(row => $"{{\"en\": \"Sunny {count} {row}.\", \"fr\": \"Ensoleillé {row}.\"}}\n")));

    private string Write(string name, string text)
    {
        File.WriteAllText(Path.Combine(_folder, name), text);
        return Path.Combine(_folder, name);
    }
}
