using Perenos.Hub;
using Perenos.Runs;
using Xunit;

namespace Perenos.Tests.Hub;

public sealed class HubNameTests
{
    [Theory]
    [InlineData("EleutherAI/gpt-j-6b", "EleutherAI/gpt-j-6b", "main", null)]
    [InlineData("owner/name@v1.0", "owner/name", "v1.0", null)]
    [InlineData("owner/name@refs/pr/1", "owner/name", "refs/pr/1", null)]
    [InlineData("owner/name-GGUF:sub/name-Q4_K_M.gguf", "owner/name-GGUF", "main", "sub/name-Q4_K_M.gguf")]
    [InlineData("owner/name/name-Q4_K_M.gguf", "owner/name", "main", "name-Q4_K_M.gguf")]
    [InlineData("owner/name@dev:data/train.jsonl", "owner/name", "dev", "data/train.jsonl")]
    public void A_name_says_repository_revision_and_file(string text, string repository, string revision, string? file)
    {
        var name = HubName.TryParse(text, HubKind.Model)!;
        Assert.Equal((repository, revision, file), (name.Repository, name.Revision, name.Path));
        Assert.Equal(name, HubName.TryParse(name.ToString(), HubKind.Model));
    }

    [Theory]
    [InlineData("base")]
    [InlineData("./owner/name")]
    [InlineData("../name")]
    [InlineData("/owner/name")]
    [InlineData("~/name")]
    [InlineData("owner/name/")]
    [InlineData("owner/name/deeper")]
    [InlineData("runs/first/adapter")]
    [InlineData("data/pairs.jsonl")]
    [InlineData("models/model.gguf")]
    [InlineData(@"owner\name")]
    [InlineData("owner/na--me")]
    [InlineData("owner/na..me")]
    [InlineData("owner/name@../../x")]
    [InlineData("owner/name:../x.gguf")]
    [InlineData("owner/name:/etc/passwd")]
    [InlineData("https://huggingface.co/owner/name")]
    [InlineData("")]
    public void Anything_else_is_a_path(string text) => Assert.Null(HubName.TryParse(text, HubKind.Model));

    [Fact]
    public void Pull_takes_data_sets_under_their_own_prefix_and_refuses_what_is_no_name()
    {
        Assert.Equal(HubKind.Dataset, HubName.Parse("datasets/owner/name").Kind);
        Assert.Equal(HubKind.Model, HubName.Parse("owner/name").Kind);
        Assert.Contains("gpt2", Assert.Throws<PerenosException>(() => HubName.Parse("gpt2")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_variables_of_other_tools_say_where_and_who()
    {
        string folder = Directory.CreateTempSubdirectory("perenos-hub-").FullName;
        File.WriteAllText(Path.Combine(folder, "token"), "hf_login\n");
        HubSettings From(params (string Name, string Value)[] variables) => HubSettings.From(name => variables.FirstOrDefault(variable => variable.Name == name).Value);

        Assert.Equal((Path.Combine(folder, "hub"), "hf_login"), (From(("HF_HOME", folder)).Cache, From(("HF_HOME", folder)).Token));
        Assert.Equal(folder, From(("HF_HUB_CACHE", folder), ("HF_HOME", "/elsewhere")).Cache);
        Assert.Equal("hf_a", From(("HF_TOKEN", "hf_a"), ("HUGGING_FACE_HUB_TOKEN", "hf_b"), ("HF_HOME", folder)).Token);
        Assert.Equal("hf_b", From(("HUGGING_FACE_HUB_TOKEN", "hf_b")).Token);
        Assert.Equal("https://mirror.example/x", From(("HF_ENDPOINT", "https://mirror.example/x/")).Endpoint.ToString());
        Assert.True(From(("HF_HUB_OFFLINE", "1")).IsOffline);
        Assert.False(From(("HF_HUB_OFFLINE", "0")).IsOffline);
        Assert.Throws<PerenosException>(() => From(("HF_ENDPOINT", "mirror")));
        Directory.Delete(folder, recursive: true);
    }
}
