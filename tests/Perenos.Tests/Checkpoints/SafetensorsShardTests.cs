using Perenos.Checkpoints;
using Perenos.Runs;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Checkpoints;

public sealed class SafetensorsShardTests
{
    private const string A = """{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}""";
    private const string B = """{"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}""";

    [Theory]
    [InlineData("""{"weight_map":{"a":"1.safetensors","b":"3.safetensors"}}""", "not there")]
    [InlineData("""{"weight_map":{"a":"1.safetensors","b":"2.safetensors","c":"2.safetensors"}}""", "in no shard")]
    [InlineData("""{"weight_map":{"a":"1.safetensors","c":"2.safetensors"}}""", "does not list")]
    [InlineData("""{"weight_map":{"a":"2.safetensors","b":"1.safetensors"}}""", "but it lies in")]
    [InlineData("""{"weight_map":{"a":"1.safetensors","a":"2.safetensors"}}""", "not the JSON")]
    [InlineData("""{"weight_map":{"a":"1.safetensors","b":"../2.safetensors"}}""", "leads out")]
    [InlineData("""{"weight_map":{"a":"1.safetensors","b":"/etc/passwd"}}""", "leads out")]
    [InlineData("""{"weight_map":{"a":"1.safetensors","b":".."}}""", "leads out")]
    [InlineData("""{"weight_map":{"a":"1.safetensors","b":2}}""", "names no file")]
    [InlineData("""{"weight_map":{}}""", "empty")]
    [InlineData("""{"weight_map":[]}""", "no weight_map")]
    [InlineData("[]", "no weight_map")]
    [InlineData("{", "not the JSON")]
    [InlineData("""{"weight_map":{"a":"\ud800"}}""", "not the JSON")]
    public void An_index_that_disagrees_with_its_shards_is_refused(string index, string reason)
    {
        using var work = new WorkFolder();
        work.Safetensors("1.safetensors", A, 1);
        work.Safetensors("2.safetensors", B, 1);
        File.WriteAllText(work.PathOf(ShardedCheckpoint.SafetensorsIndexName), index);
        Assert.Contains(reason, Assert.Throws<PerenosException>(() => CheckpointFolder.OpenWeights(work.Root)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_tensor_in_two_shards_is_refused()
    {
        using var work = new WorkFolder();
        work.Safetensors("1.safetensors", A, 1);
        work.Safetensors("2.safetensors",
            """{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}""", 2);
        File.WriteAllText(work.PathOf(ShardedCheckpoint.SafetensorsIndexName), """{"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}""");
        Assert.Contains("two shards", Assert.Throws<PerenosException>(() => CheckpointFolder.OpenWeights(work.Root)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Saving_again_leaves_no_file_of_the_earlier_save()
    {
        using var work = new WorkFolder();
        using var scope = NewDisposeScope();
        List<(string, Tensor)> tensors = [("a", ones(10)), ("b", ones(20)), ("c", ones(30))];
        string kept = work.PathOf("model-card.md");
        File.WriteAllText(kept, "mine");

        SafetensorsWriter.WriteShards(work.Root, tensors, maximumShardBytes: 100);
        Assert.Equal(
            ["model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors", "model-card.md", "model.safetensors.index.json"],
            Names());
        SafetensorsWriter.WriteShards(work.Root, tensors, maximumShardBytes: 120);
        Assert.Equal(
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model-card.md", "model.safetensors.index.json"],
            Names());
        SafetensorsWriter.WriteShards(work.Root, tensors);
        Assert.Equal(["model-card.md", "model.safetensors"], Names());
        using var source = CheckpointFolder.OpenWeights(work.Root);
        Assert.Equal(3, source.Tensors.Count);

        IEnumerable<string?> Names() => Directory.EnumerateFiles(work.Root).Select(Path.GetFileName).Order(StringComparer.Ordinal);
    }
}
