using Perenos.Checkpoints;
using Xunit;
using static Perenos.Tests.Checkpoints.TorchBytes;
using static TorchSharp.torch;

namespace Perenos.Tests.Checkpoints;

/// <summary>Large tensors whose memory is the file's own pages.</summary>
public sealed class MappedTensorTests
{
    private const int Count = 100_000;

    private static string Write(WorkFolder work)
    {
        string path = work.PathOf("model.safetensors");
        using var values = arange(Count, dtype: ScalarType.Float32);
        SafetensorsWriter.Write(path, [("w", values)]);
        return path;
    }

    [Fact]
    public void Writing_to_a_tensor_changes_neither_the_file_nor_what_is_read_later()
    {
        using var work = new WorkFolder();
        string path = Write(work);
        byte[] before = File.ReadAllBytes(path);
        using var scope = NewDisposeScope();
        using var file = SafetensorsFile.Open(path);
        using (var first = file.Read("w"))
        {
            first.fill_(5f);
            using var second = file.Read("w");
            Assert.Equal(Count - 1f, second[^1].item<float>());
            Assert.Equal(5f, first[^1].item<float>());
        }

        using var third = file.Read("w");
        Assert.Equal(Count - 1f, third[^1].item<float>());
        Assert.Equal(before, File.ReadAllBytes(path));
    }

    [Fact]
    public void A_tensor_outlives_its_source_and_the_file_under_its_name()
    {
        using var work = new WorkFolder();
        string path = Write(work);
        using var scope = NewDisposeScope();
        Tensor kept;
        using (var file = SafetensorsFile.Open(path))
            kept = file.Read("w");
        File.Delete(path);
        GC.Collect();
        GC.WaitForPendingFinalizers();
        using (kept)
        {
            kept.requires_grad = true;
            using var sum = kept.sum();
            sum.backward();
            Assert.Equal(Count - 1f, kept[^1].item<float>());
            Assert.Equal(1f, kept.grad![0].item<float>());
        }
    }

    [Fact]
    public void Tensors_of_one_storage_do_not_share_their_memory()
    {
        using var work = new WorkFolder();
        string path = work.PathOf("pytorch_model.bin");
        byte[] view = Tensor(Storage("0", Count), 0, [Count], [1]);
        File.WriteAllBytes(path, Archive(Pickle(Dictionary(Unicode("a"), view, Unicode("b"), view)), ("0", new byte[Count * 4])));
        using var scope = NewDisposeScope();
        using var file = TorchFile.Open(path);
        using var a = file.Read("a");
        using var b = file.Read("b");
        a.fill_(5f);
        Assert.Equal(0f, b.sum().item<float>());
    }

    [Fact]
    public void Opening_again_and_again_leaves_no_mapping()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "reads /proc/self/maps");
        using var work = new WorkFolder();
        string path = Write(work);
        for (int i = 0; i < 20; i++)
        {
            using var file = SafetensorsFile.Open(path);
            using var tensor = file.Read("w");
        }

        Assert.DoesNotContain(File.ReadLines("/proc/self/maps"), line => line.EndsWith(path, StringComparison.Ordinal));
    }
}
