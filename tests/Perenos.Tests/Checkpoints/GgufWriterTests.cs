using Perenos.Checkpoints;
using Perenos.Runs;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Checkpoints;

public sealed class GgufWriterTests
{
    [Fact]
    public void Metadata_of_every_kind_and_tensors_are_read_as_they_were_written()
    {
        using var work = new WorkFolder();
        List<KeyValuePair<string, GgufValue>> metadata =
        [
            new("u8", new(GgufKind.UInt8, (byte)200)), new("i8", new(GgufKind.Int8, (sbyte)-3)), new("u16", new(GgufKind.UInt16, (ushort)60_000)),
            new("i16", new(GgufKind.Int16, (short)-300)), new("u32", GgufValue.Size(uint.MaxValue)), new("i32", new(GgufKind.Int32, -70_000)),
            new("f32", GgufValue.Number(1e-5)), new("bool", GgufValue.Flag(true)), new("text", GgufValue.Text("a\0é🙂")), new("u64", new(GgufKind.UInt64, ulong.MaxValue)),
            new("i64", new(GgufKind.Int64, long.MinValue)), new("f64", new(GgufKind.Float64, Math.PI)), new("texts", GgufValue.Texts(["", "x"])),
            new("numbers", GgufValue.Numbers([1, -2])), new("integers", GgufValue.Integers([])),
        ];
        using var scope = NewDisposeScope();
        var weight = arange(64, dtype: ScalarType.Float32).view(2, 32);
        GgufWriter.Write(work.PathOf("m.gguf"), metadata,
        [
            new("odd", "F16", [3], () => tensor([0.5f, -2, 1e-3f]).DetachFromDisposeScope()),
            new("weight", "Q8_0", [2, 32], () => weight.clone().DetachFromDisposeScope()),
        ]);
        using var file = GgufFile.Open(work.PathOf("m.gguf"));
        foreach (var (key, value) in metadata)
        {
            Assert.Equal((key, value.Kind, value.ElementKind), (key, file.Metadata[key].Kind, file.Metadata[key].ElementKind));
            Assert.Equal(value.Value, file.Metadata[key].Value);
        }

        Assert.Equal([0.5f, -2, (float)(Half)1e-3f], file.Read("odd", ScalarType.Float32).data<float>().ToArray());
        Near.Equal(weight, file.Read("weight"), 63 / 254.0 + 0.02, "weight");
        Assert.All(file.Tensors.Values, tensor => Assert.Equal(0, tensor.Offset % 32));
    }

    [Fact]
    public void A_file_that_does_not_pass_its_check_does_not_replace_the_old_one()
    {
        using var work = new WorkFolder();
        string path = work.PathOf("m.gguf");
        File.WriteAllText(path, "old");
        Assert.Throws<PerenosException>(() => GgufWriter.Write(path, [], [], temporary =>
        {
            Assert.NotEqual(path, temporary);
            Assert.True(new FileInfo(temporary).Length >= 24);
            throw new PerenosException("no", "no");
        }));
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Single(Directory.EnumerateFiles(work.Root));
    }

    [Fact]
    public void Rows_that_are_no_whole_blocks_are_refused_by_name()
    {
        using var work = new WorkFolder();
        Assert.Contains("odd", Assert.Throws<PerenosException>(() => GgufWriter.Write(work.PathOf("m.gguf"), [], [new("odd", "Q4_K", [2, 32], () => zeros(2, 32))])).Message, StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFiles(work.Root));
    }
}
