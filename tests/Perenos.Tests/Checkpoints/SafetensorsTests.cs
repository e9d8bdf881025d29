using System.Text;
using Perenos.Checkpoints;
using Perenos.Runs;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Checkpoints;

public sealed class SafetensorsTests
{
    private const string One = """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""";

    [Fact]
    public void Every_torch_type_comes_back_bit_for_bit_with_its_shape()
    {
        using var work = new WorkFolder();
        using var scope = NewDisposeScope();
        var tensors = SafetensorsType.All.Where(t => t.Torch is not null)
            .Select(t => (t.Name, Tensor: arange(24).reshape(2, 3, 4).to(t.Torch!.Value)))
            .Append(("scalar", tensor(1.5f))).Append(("nothing", zeros(3, 0, 2))).ToList();
        string path = work.PathOf("all.safetensors");
        SafetensorsWriter.Write(path, tensors, new Dictionary<string, string> { ["schlüssel"] = "\"tab\t\u0001\"" });

        using var file = SafetensorsFile.Open(path);
        Assert.Equal(tensors.Count, file.Tensors.Count);
        Assert.Equal("\"tab\t\u0001\"", file.Metadata["schlüssel"]);
        Assert.Equal("pt", file.Metadata["format"]);
        foreach (var (name, expected) in tensors)
        {
            var actual = file.Read(name);
            Assert.Equal(expected.dtype, actual.dtype);
            Assert.Equal(expected.shape, actual.shape);
            Assert.True(expected.bytes.SequenceEqual(actual.bytes), name);
        }
    }

    [Fact]
    public void Types_unknown_to_torch_are_read_by_value()
    {
        using var work = new WorkFolder();
        using var scope = NewDisposeScope();
        string header = """
            {"u16":{"dtype":"U16","shape":[2],"data_offsets":[0,4]},"u32":{"dtype":"U32","shape":[1],"data_offsets":[4,8]},
             "u64":{"dtype":"U64","shape":[1],"data_offsets":[8,16]},"big":{"dtype":"U64","shape":[1],"data_offsets":[16,24]},
             "e4":{"dtype":"F8_E4M3","shape":[6],"data_offsets":[24,30]},"e5":{"dtype":"F8_E5M2","shape":[4],"data_offsets":[30,34]}}
            """;
        string path = work.Safetensors("odd.safetensors", header, 34);
        byte[] bytes = File.ReadAllBytes(path);
        byte[] data =
        [
            1, 0, 255, 255,  255, 255, 255, 255,  255, 255, 255, 255, 255, 255, 255, 127,  0, 0, 0, 0, 0, 0, 0, 128,
            0x38, 0x7E, 0xB8, 0x01, 0x7F, 0x08, // 1, 448 (largest), -1, 2^-9 (smallest), NaN, 2^-6 (smallest normal)
            0x3C, 0x7B, 0xFC, 0x01, // 1, 57344 (largest), -infinity, 2^-16 (smallest)
        ];
        data.CopyTo(bytes, bytes.Length - data.Length);
        File.WriteAllBytes(path, bytes);

        using var file = SafetensorsFile.Open(path);
        Assert.Equal([1L, 65535L], file.Read("u16").data<long>().ToArray());
        Assert.Equal([4294967295L], file.Read("u32").data<long>().ToArray());
        Assert.Equal([long.MaxValue], file.Read("u64").data<long>().ToArray());
        Assert.Contains("big", Assert.Throws<PerenosException>(() => file.Read("big")).Message, StringComparison.Ordinal);
        Assert.Equal([1f, 448f, -1f, 0.001953125f, float.NaN, 0.015625f], file.Read("e4").data<float>().ToArray());
        Assert.Equal([1f, 57344f, float.NegativeInfinity, 1f / 65536], file.Read("e5").data<float>().ToArray());
        Assert.Equal(torch.ScalarType.BFloat16, file.Read("e4", torch.ScalarType.BFloat16).dtype);
        Assert.Equal(torch.ScalarType.Float32, file.Read("u16", torch.ScalarType.Float32).dtype);
    }

    [Fact]
    public void Views_are_written_by_value_and_large_ones_in_pieces()
    {
        using var work = new WorkFolder();
        using var scope = NewDisposeScope();
        var transposed = arange(6, dtype: torch.ScalarType.Float32).reshape(2, 3).t();
        var large = arange(40_000_000, dtype: torch.ScalarType.Int16); // 80 MB: two pieces
        string path = work.PathOf("views.safetensors");
        SafetensorsWriter.Write(path, [("large", large), ("transposed", transposed)]);

        using var file = SafetensorsFile.Open(path);
        Assert.Equal([0f, 3f, 1f, 4f, 2f, 5f], file.Read("transposed").data<float>().ToArray());
        Assert.True(large.bytes.SequenceEqual(file.Read("large").bytes));
    }

    [Fact]
    public void A_tensor_that_is_read_belongs_to_the_caller_and_nothing_else_remains()
    {
        using var work = new WorkFolder();
        string path = work.Safetensors("one.safetensors", One, 8);
        Tensor kept;
        using (var file = SafetensorsFile.Open(path))
        using (NewDisposeScope())
            kept = file.Read("a", torch.ScalarType.BFloat16);
        Assert.False(kept.IsInvalid);
        Assert.False(kept.requires_grad);
        kept.Dispose();
    }

    public static TheoryData<string, string, int> Malformed => new()
    {
        { "data cut off", One, 7 },
        { "bytes at its end", One, 9 },
        { "does not begin with", " {}", 0 },
        { "not the JSON", "{  ", 0 },
        { "not the JSON", "{} {}", 0 },
        { "not the JSON", """{"a":3}""", 0 },
        { "not the JSON", """{"a\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8 },
        { "twice", """{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}""", 2 },
        { "dtype twice", """{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}""", 1 },
        { "__metadata__ twice", """{"__metadata__":{},"__metadata__":{}}""", 0 },
        { "metadata has \"k\" twice", """{"__metadata__":{"k":"1","k":"2"}}""", 0 },
        { "not the JSON", """{"__metadata__":{"k":1}}""", 0 },
        { "overlaps", """{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}""", 3 },
        { "gap", """{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}""", 3 },
        { "gap", """{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}""", 2 },
        { "lies at", """{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}}""", 2 },
        { "negative", """{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}""", 1 },
        { "too large", """{"a":{"dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,1]}}""", 1 },
        { "broken", """{"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}}""", 1 },
        { "overflows", """{"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,1]}}""", 1 },
        { "overflows", """{"a":{"dtype":"U8","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}}""", 0 },
        { "overflows", """{"a":{"dtype":"F64","shape":[4611686018427387904],"data_offsets":[0,0]}}""", 0 },
        { "takes 8", """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}""", 4 },
        { "unknown type", """{"a":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}}""", 8 },
        { "lacks", """{"a":{"dtype":"F32","shape":[2]}}""", 8 },
        { "lacks", """{"a":{"dtype":"F32","shape":[2],"data_offsets":[8]}}""", 8 },
        { "more than 64", """{"a":{"dtype":"U8","shape":[ONES],"data_offsets":[0,1]}}""".Replace("ONES", string.Join(',', Enumerable.Repeat(1, 65)), StringComparison.Ordinal), 1 },
    };

    [Theory]
    [MemberData(nameof(Malformed))]
    public void A_malformed_file_is_refused_with_its_name_and_reason(string reason, string header, int dataBytes)
    {
        using var work = new WorkFolder();
        string path = work.Safetensors("bad.safetensors", header, dataBytes);
        string message = Assert.Throws<PerenosException>(() => SafetensorsFile.Open(path)).Message;
        Assert.Contains("bad.safetensors", message, StringComparison.Ordinal);
        if (reason != "data cut off")
            Assert.Contains(reason, message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, "empty")]
    [InlineData(7, "too few")]
    public void A_file_without_room_for_a_header_is_refused(int length, string reason)
    {
        using var work = new WorkFolder();
        File.WriteAllBytes(work.PathOf("short"), new byte[length]);
        Assert.Contains(reason, Assert.Throws<PerenosException>(() => SafetensorsFile.Open(work.PathOf("short"))).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(ulong.MaxValue, "limit")]
    [InlineData(100_000_001, "limit")]
    [InlineData(1_000, "cut off")]
    public void A_header_length_that_cannot_be_true_is_refused(ulong claimed, string reason)
    {
        using var work = new WorkFolder();
        string path = work.Safetensors("bad", One, 8, claimed);
        Assert.Contains(reason, Assert.Throws<PerenosException>(() => SafetensorsFile.Open(path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_header_that_is_not_utf8_is_refused()
    {
        using var work = new WorkFolder();
        string path = work.Safetensors("bad", One, 8);
        byte[] bytes = File.ReadAllBytes(path);
        bytes[Encoding.UTF8.GetString(bytes).IndexOf("a\"", StringComparison.Ordinal)] = 0xFF;
        File.WriteAllBytes(path, bytes);
        Assert.Contains("UTF-8", Assert.Throws<PerenosException>(() => SafetensorsFile.Open(path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Missing_files_folders_and_tensors_are_the_users_mistakes()
    {
        using var work = new WorkFolder();
        Assert.Throws<PerenosException>(() => SafetensorsFile.Open(work.PathOf("none")));
        Assert.Throws<PerenosException>(() => SafetensorsFile.Open(work.Root));
        Assert.Throws<PerenosException>(() => CheckpointFolder.OpenWeights(work.PathOf("none")));
        Assert.Throws<PerenosException>(() => CheckpointFolder.OpenWeights(work.Root));
        using var file = SafetensorsFile.Open(work.Safetensors("one.safetensors", """{"x.a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8));
        var missing = Assert.Throws<PerenosException>(() => file.Read("y.a"));
        Assert.Contains("x.a", missing.Hint, StringComparison.Ordinal);
    }

    /// <summary>Thousands of damaged copies: each is read to the end or refused in words, and none takes memory beyond its size class.</summary>
    [Fact]
    public void Random_damage_is_read_or_refused_and_never_anything_else()
    {
        using var work = new WorkFolder();
        byte[] valid = File.ReadAllBytes(FuzzSeed(work));
        var random = new Random(20_240_607);
        string path = work.PathOf("fuzz");
        int refused = 0;
        for (int round = 0; round < 3_000; round++)
        {
            File.WriteAllBytes(path, Mutation.Of(valid, random));
            long before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                using var file = SafetensorsFile.Open(path);
                foreach (string name in file.Tensors.Keys)
                {
                    using var tensor = file.Read(name);
                    Assert.True(tensor.numel() <= valid.Length * 2);
                }
            }
            catch (PerenosException)
            {
                refused++;
            }

            Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 1 << 20, $"round {round}");
        }

        Assert.InRange(refused, 1_000, 2_999);
    }

    private static string FuzzSeed(WorkFolder work)
    {
        using var scope = NewDisposeScope();
        string path = work.PathOf("seed");
        SafetensorsWriter.Write(path, [("a", arange(6).reshape(2, 3)), ("b.weight", ones(3)), ("c", tensor(true)), ("d", zeros(0, 2))]);
        return path;
    }
}
