using Perenos.Checkpoints;
using Perenos.Runs;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Checkpoints;

public sealed class AtomicWriteTests
{
    [Fact]
    public void A_failure_in_the_middle_leaves_the_old_file_and_no_temporary()
    {
        using var work = new WorkFolder();
        string path = work.PathOf("weights");
        File.WriteAllText(path, "old");
        Assert.Throws<PerenosException>(() => AtomicFile.Write(path, 100, handle =>
        {
            RandomAccess.Write(handle, "half"u8, 0);
            throw new IOException("the disk is full");
        }));
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Equal([path], Directory.EnumerateFileSystemEntries(work.Root));
    }

    [Fact]
    public void A_file_that_cannot_fit_on_the_disk_is_refused_before_the_first_byte()
    {
        using var work = new WorkFolder();
        using var scope = NewDisposeScope();
        string path = work.PathOf("model.safetensors");
        File.WriteAllText(path, "old");
        var vast = ones(1).expand(1L << 50); // 4 PiB that take 4 bytes of memory
        var error = Assert.Throws<PerenosException>(() => SafetensorsWriter.Write(path, [("vast", vast)]));
        Assert.Contains("left", error.Message, StringComparison.Ordinal);
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Equal([path], Directory.EnumerateFileSystemEntries(work.Root));
    }

    [Fact]
    public void A_folder_that_is_missing_or_not_writable_is_the_users_mistake()
    {
        using var work = new WorkFolder();
        using var scope = NewDisposeScope();
        File.WriteAllText(work.PathOf("file"), "");
        foreach (string path in new[] { work.PathOf("none/model.safetensors"), work.PathOf("file/model.safetensors"), "/proc/model.safetensors" })
            Assert.Throws<PerenosException>(() => SafetensorsWriter.Write(path, [("a", ones(1))]));
        Assert.Throws<PerenosException>(() => SafetensorsWriter.Write(work.Root, [("a", ones(1))]));
        Assert.Equal([work.PathOf("file")], Directory.EnumerateFileSystemEntries(work.Root));
    }

    [Fact]
    public void Names_and_types_without_a_place_in_the_format_are_refused()
    {
        using var work = new WorkFolder();
        using var scope = NewDisposeScope();
        string path = work.PathOf("model.safetensors");
        Assert.Throws<PerenosException>(() => SafetensorsWriter.Write(path, [("a", ones(1)), ("a", ones(1))]));
        Assert.Throws<PerenosException>(() => SafetensorsWriter.Write(path, [("__metadata__", ones(1))]));
        Assert.Throws<PerenosException>(() => SafetensorsWriter.Write(path, [("a", zeros(1, dtype: ScalarType.ComplexFloat64))]));
        Assert.Empty(Directory.EnumerateFileSystemEntries(work.Root));
    }
}
