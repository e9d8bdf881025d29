using Perenos.Checkpoints;
using Perenos.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Checkpoints;

/// <summary>The files that the reference implementation wrote.</summary>
public sealed class SafetensorsFixtureTests
{
    private static List<string> FixtureFolders()
    {
        string root = Shared.ParityOrSkip("models");
        var folders = Directory.EnumerateDirectories(root).Order(StringComparer.Ordinal).ToList();
        Assert.NotEmpty(folders);
        return folders;
    }

    [Fact]
    public void A_file_that_is_read_and_written_again_has_the_same_bytes()
    {
        using var work = new WorkFolder();
        int compared = 0;
        foreach (string folder in FixtureFolders())
        {
            foreach (string path in Directory.EnumerateFiles(folder, "*.safetensors"))
            {
                using var scope = NewDisposeScope();
                using var file = SafetensorsFile.Open(path);
                string copy = work.PathOf("copy.safetensors");
                SafetensorsWriter.Write(copy, file.Tensors.Keys.Select(k => (k, file.Read(k))).Reverse(), file.Metadata);
                byte[] expected = File.ReadAllBytes(path), actual = File.ReadAllBytes(copy);
                // expected.safetensors has no metadata; all that transformers saves has.
                if (file.Metadata.Count == 0)
                    continue;
                Assert.True(expected.AsSpan().SequenceEqual(actual), path);
                compared++;
            }
        }

        Assert.True(compared > 0, "no file with metadata");
    }

    [Fact]
    public void Shards_written_with_the_same_limit_hold_the_same_tensors_and_the_same_index_keys()
    {
        using var work = new WorkFolder();
        int seen = 0;
        foreach (string folder in FixtureFolders().Where(f => File.Exists(Path.Combine(f, ShardedCheckpoint.SafetensorsIndexName))))
        {
            using var scope = NewDisposeScope();
            using var source = CheckpointFolder.OpenWeights(folder);
            string copy = work.Folder("copy");
            SafetensorsWriter.WriteShards(copy, source.Tensors.Keys.Select(k => (k, source.Read(k))), maximumShardBytes: 20_000);
            using var again = CheckpointFolder.OpenWeights(copy);
            Assert.IsType<ShardedCheckpoint>(again);
            Assert.Equal(source.Tensors.Keys.Order(StringComparer.Ordinal), again.Tensors.Keys.Order(StringComparer.Ordinal));
            foreach (string name in source.Tensors.Keys)
                Assert.True(source.Read(name).bytes.SequenceEqual(again.Read(name).bytes), name);
            Assert.Equal(IndexHead(folder), IndexHead(copy));
            seen++;
        }

        Assert.True(seen > 0, "no sharded fixture");
    }

    [Fact]
    public void Every_tensor_of_every_fixture_is_read_with_the_type_shape_and_finite_values_it_has_on_disk()
    {
        foreach (string folder in FixtureFolders())
        {
            using var source = CheckpointFolder.OpenWeights(folder);
            Assert.NotEmpty(source.Tensors);
            foreach (var (name, info) in source.Tensors)
            {
                using var tensor = source.Read(name);
                Assert.Equal(info.Shape, tensor.shape);
                Assert.Equal(info.Type, tensor.dtype);
                WeightCheck.RefuseNotFinite(name, tensor);
                using var wide = source.Read(name, torch.ScalarType.Float64);
                using var expected = tensor.to(torch.ScalarType.Float64);
                Assert.True(expected.bytes.SequenceEqual(wide.bytes), name);
            }
        }
    }

    private static string[] IndexHead(string folder) =>
        [.. File.ReadLines(Path.Combine(folder, ShardedCheckpoint.SafetensorsIndexName)).Take(6)];
}
