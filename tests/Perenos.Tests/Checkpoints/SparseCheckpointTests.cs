using System.Buffers.Binary;
using System.Text;
using Perenos.Checkpoints;
using Xunit;
using static Perenos.Tests.Checkpoints.TorchBytes;
using static TorchSharp.torch;

namespace Perenos.Tests.Checkpoints;

/// <summary>Checkpoints of the size of a 20-billion-parameter model, as files whose zeros take no room on the disk: they are mapped, not copied.</summary>
[Collection(nameof(CheckpointLeakTests))] // memory of the whole process
public sealed class SparseCheckpointTests
{
    private const int Shards = 4;
    private const int LargePerShard = 5;
    private const long LargeRows = 1 << 20, LargeWidth = 1 << 10; // bfloat16: 2 GiB
    private const long LargeBytes = LargeRows * LargeWidth * 2;
    private const long MostResident = 64 << 20;
    private const long MostDisk = 1L << 30;

    [Fact]
    public void A_sharded_safetensors_checkpoint_of_40_GiB_is_opened_and_read_in_part_within_64_MiB()
    {
        using var work = new WorkFolder();
        var map = new List<string>();
        WriteSparse(work, () =>
        {
            for (int shard = 0; shard < Shards; shard++)
            {
                var tensors = Enumerable.Range(0, LargePerShard).Select(i => $"\"large.{shard}.{i}\":{{\"dtype\":\"BF16\",\"shape\":[{LargeRows},{LargeWidth}],\"data_offsets\":[{i * LargeBytes},{(i + 1) * LargeBytes}]}}");
                long end = LargePerShard * LargeBytes;
                string description = $"{{{string.Join(',', tensors)},\"small.{shard}\":{{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[{end},{end + 16}]}}}}";
                byte[] header = Encoding.UTF8.GetBytes(description.PadRight((description.Length + 7) / 8 * 8)); // as every writer pads it
                byte[] length = new byte[8];
                BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
                WriteEnds(work.PathOf($"{shard}.safetensors"), [.. length, .. header], end, FourFloats);
                map.AddRange(Enumerable.Range(0, LargePerShard).Select(i => $"\"large.{shard}.{i}\":\"{shard}.safetensors\"").Append($"\"small.{shard}\":\"{shard}.safetensors\""));
            }

            File.WriteAllText(work.PathOf(ShardedCheckpoint.SafetensorsIndexName), $"{{\"weight_map\":{{{string.Join(',', map)}}}}}");
        });
        AssertLittleMemory(() =>
        {
            using var source = CheckpointFolder.OpenWeights(work.Root);
            Assert.Equal(Shards * (LargePerShard + 1), source.Tensors.Count);
            Assert.Equal(Shards * (LargePerShard * LargeBytes + 16), source.Tensors.Values.Sum(tensor => tensor.Length));
            for (int shard = 0; shard < Shards; shard++)
            {
                using var small = source.Read($"small.{shard}");
                Assert.Equal([1f, 2f, 3f, 4f], small.data<float>().ToArray());
            }

            using var large = source.Read("large.1.2");
            Assert.Equal([LargeRows, LargeWidth], large.shape);
            Assert.Equal(0f, large[LargeRows - 1, LargeWidth - 1].to(ScalarType.Float32).item<float>());
        });
    }

    [Fact]
    public void A_pickled_checkpoint_of_10_GiB_is_opened_and_read_in_part_within_64_MiB()
    {
        using var work = new WorkFolder();
        const long Count = LargePerShard * LargeBytes / 4;
        byte[] pickle = Pickle(Dictionary(Unicode("large"), Tensor(Storage("0", Count), 0, [Count / LargeWidth, LargeWidth], [LargeWidth, 1]), Unicode("last"), Tensor(Storage("0", Count), Count - 4, [2, 2], [1, 2])));
        WriteSparse(work, () =>
        {
            // The archive with an empty storage, cut open: the data goes before the entry behind it, and the directory says where things lie now.
            byte[] head = ZipEntryHeader("a/data.pkl", pickle), storageHead = ZipEntryHeader("a/data/0", []);
            long dataAt = head.Length + storageHead.Length, directoryAt = dataAt + Count * 4;
            byte[] directory = [.. ZipDirectoryEntry("a/data.pkl", pickle.Length, 0), .. ZipDirectoryEntry("a/data/0", Count * 4, head.Length)];
            WriteEnds(work.PathOf("pytorch_model.bin"), [.. head, .. storageHead], Count * 4 - 16, [.. FourFloats, .. directory, .. ZipEnd(2, directory.Length, directoryAt)]);
        });
        AssertLittleMemory(() =>
        {
            using var source = CheckpointFolder.OpenWeights(work.Root);
            using var last = source.Read("last");
            Assert.Equal([1f, 3f, 2f, 4f], last.data<float>().ToArray());
            Assert.Equal(Count * 4, source.Tensors["large"].Length);
        });
    }

    private static void AssertLittleMemory(Action read)
    {
        read(); // code and caches
        GC.Collect();
        long before = Environment.WorkingSet;
        read();
        long more = Environment.WorkingSet - before;
        Assert.True(more < MostResident, $"{more >> 20} MiB more");
    }

    /// <summary>Head and tail of a file, with a hole between.</summary>
    private static void WriteEnds(string path, byte[] head, long hole, byte[] tail)
    {
        using var file = new FileStream(path, FileMode.Create, FileAccess.Write);
        file.Write(head);
        file.SetLength(head.Length + hole);
        file.Seek(0, SeekOrigin.End);
        file.Write(tail);
    }

    private static void WriteSparse(WorkFolder work, Action write)
    {
        var disk = new DriveInfo(work.Root);
        long before = disk.AvailableFreeSpace;
        try
        {
            write();
        }
        catch (IOException problem)
        {
            Assert.Skip($"no room for a sparse file: {problem.Message}");
        }

        Assert.SkipWhen(before - disk.AvailableFreeSpace > MostDisk, $"the file system of {work.Root} has no sparse files");
    }
}
