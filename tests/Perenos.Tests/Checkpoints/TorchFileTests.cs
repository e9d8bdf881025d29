using System.Diagnostics;
using Perenos.Checkpoints;
using Perenos.Runs;
using Xunit;
using static Perenos.Tests.Checkpoints.TorchBytes;
using static TorchSharp.torch;

namespace Perenos.Tests.Checkpoints;

/// <summary>Pickled checkpoints beyond the fixtures: every way that we know of to make a reader run, hang, swell or lose something.</summary>
public sealed class TorchFileTests
{
    private const int Attempts = 3; // another program may have the processor

    private static readonly byte[] Whole = Tensor(Storage("0", 4), 0, [2, 2], [2, 1]);
    private static readonly byte[] Good = Pickle(Dictionary(Unicode("w"), Whole));

    private static TorchFile Open(WorkFolder work, byte[] bytes)
    {
        string path = work.PathOf("pytorch_model.bin");
        File.WriteAllBytes(path, bytes);
        return TorchFile.Open(path);
    }

    private static void AssertRefused(string reason, byte[] bytes)
    {
        using var work = new WorkFolder();
        double seconds = double.MaxValue;
        long before = 0;
        for (int attempt = 0; attempt < Attempts && seconds >= 1; attempt++)
        {
            before = GC.GetAllocatedBytesForCurrentThread();
            long start = Stopwatch.GetTimestamp();
            string message = Assert.Throws<PerenosException>(() => Open(work, bytes)).Message;
            seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            Assert.Contains(reason, message, StringComparison.Ordinal);
        }

        Assert.True(seconds < 1, $"{seconds:F2} s");
        long taken = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.True(taken < (16 << 20) + 64L * bytes.Length, $"{taken:N0} bytes for a file of {bytes.Length:N0}");
    }

    [Fact]
    public void Both_containers_and_zip64_give_the_same_tensor()
    {
        using var work = new WorkFolder();
        byte[] wide = Zip([("a/data.pkl", Good), ("a/data/0", FourFloats)], zip64: true);
        foreach (byte[] bytes in new[] { Archive(Good), Legacy(Good, ("0", 4, FourFloats)), wide })
        {
            using var scope = NewDisposeScope();
            using var file = Open(work, bytes);
            Assert.Equal([1f, 2f, 3f, 4f], file.Read("w").data<float>().ToArray());
            Assert.Equal([2L, 2L], file.Read("w").shape);
        }
    }

    // Found by Perenos.Fuzz.
    [Fact]
    public void A_zip64_locator_with_no_room_for_its_record_before_it_is_refused() => AssertRefused("zip64 record",
        Join("PK\u0003\u0004", new byte[20], "PK\u0006\u0007", U32(0), U64(455), U32(1), "PK\u0005\u0006", U64(0), U32(0), U32(0), U16(0)));

    [Fact]
    public void Views_may_repeat_skip_and_permute()
    {
        using var work = new WorkFolder();
        using var scope = NewDisposeScope();
        using var file = Open(work, Archive(Pickle(Dictionary(
            Unicode("transposed"), Tensor(Storage("0", 4), 0, [2, 2], [1, 2]), Unicode("repeated"), Tensor(Storage("0", 4), 3, [3], [0]), Unicode("every second"), Tensor(Storage("0", 4), 1, [2], [2]),
            Unicode("nothing"), Tensor(Storage("0", 4), 4, [0, 5], [5, 1]), Unicode("scalar"), Tensor(Storage("0", 4), 2, [], []), Unicode("one"), Tensor(Storage("0", 4), 3, [1, 1], [99, 99])))));
        Assert.Equal([1f, 3f, 2f, 4f], file.Read("transposed").data<float>().ToArray());
        Assert.Equal([4f, 4f, 4f], file.Read("repeated").data<float>().ToArray());
        Assert.Equal([2f, 4f], file.Read("every second", ScalarType.Float64).to(ScalarType.Float32).data<float>().ToArray());
        Assert.Equal([0L, 5L], file.Read("nothing").shape);
        Assert.Equal(3f, file.Read("scalar").item<float>());
        Assert.Equal([4f], file.Read("one").data<float>().ToArray());
    }

    [Fact]
    public void A_storage_of_plain_bytes_is_read_as_the_dtype_that_the_tensor_names()
    {
        using var work = new WorkFolder();
        using var scope = NewDisposeScope();
        byte[] Typed(string dtype, long count) => Join("ctorch._utils\n_rebuild_tensor_v3\n(", Storage("0", 16, "torch.storage\nUntypedStorage"), Number(0), Numbers(count), Numbers(1),
            (byte)0x89, "ccollections\nOrderedDict\n)R", $"ctorch\n{dtype}\n", "tR");
        using var file = Open(work, Archive(Pickle(Dictionary(Unicode("f"), Typed("float32", 4), Unicode("e"), Typed("float8_e5m2", 16), Unicode("u"), Typed("uint16", 8)))));
        Assert.Equal([1f, 2f, 3f, 4f], file.Read("f").data<float>().ToArray());
        Assert.Equal(ScalarType.Float32, file.Read("e").dtype);
        Assert.Equal([0L, 16256L], file.Read("u").data<long>().ToArray()[..2]);
        Assert.Equal("U16", file.Tensors["u"].DType);
    }

    [Fact]
    public void Attributes_of_a_dictionary_and_plain_values_beside_tensors_are_left_aside()
    {
        using var work = new WorkFolder();
        byte[] state = Dictionary(Unicode("_metadata"), Dictionary(Unicode(""), Dictionary(Unicode("version"), Number(1))));
        byte[] ordered = Join("ccollections\nOrderedDict\n)R(", Unicode("w"), Whole, "u", state, "b");
        using var file = Open(work, Archive(Pickle(Dictionary(
            Unicode("epoch"), Number(3), Unicode("names"), Join("](", Unicode("a"), "e"), Number(7), Unicode("a number as a key"), Unicode("model"), ordered))));
        Assert.Equal(["model.w"], file.Tensors.Keys);
    }

    public static TheoryData<string, string> Names => new()
    {
        { "posix", "system" }, { "os", "system" }, { "subprocess", "Popen" }, { "builtins", "eval" }, { "builtins", "exec" }, { "builtins", "__import__" }, { "importlib", "import_module" },
        { "torch", "load" }, { "torch.hub", "load" }, { "torch.storage", "_load_from_bytes" }, { "torch.serialization", "load" }, { "torch._utils", "_rebuild_wrapper_subclass" },
        { "torch._utils", "_rebuild_sparse_tensor" }, { "torch.jit", "load" }, { "numpy.core.multiarray", "_reconstruct" }, { "collections", "defaultdict" }, { "torch.nn.modules.linear", "Linear" },
        { "collections", "OrderedDict.fromkeys" }, { "torch", "FloatStorage.from_file" }, { "torch", "FloatStorage\0" }, { "", "" }, { "torch ", "FloatStorage" },
    };

    [Theory]
    [MemberData(nameof(Names))]
    public void A_name_that_tensors_do_not_need_is_refused_by_name_however_it_is_spelt(string module, string name)
    {
        string shown = $"{module}.{name.Replace('\0', '\uFFFD')}";
        foreach (byte[] way in new[]
        {
            Join("c", module, "\n", name, "\n"), Join(Unicode(module), Unicode(name), (byte)0x93), Join("(i", module, "\n", name, "\n"),
        })
        {
            AssertRefused(shown, Archive(Pickle(way, "(", Unicode("touch pwned"), "tR")));
            AssertRefused(shown, Join(Pickle(way, "(", Unicode("touch pwned"), "tR")));
            AssertRefused(shown, Archive(Pickle(Dictionary(Unicode("w"), Whole, Unicode("x"), way))));
        }
    }

    [Theory]
    [InlineData("QInt8Storage")]
    [InlineData("QUInt4x2Storage")]
    [InlineData("ComplexFloatStorage")]
    public void Storages_of_kinds_that_are_not_read_are_refused_with_the_kind(string storage)
    {
        AssertRefused($"torch.{storage}", Archive(Pickle(Dictionary(Unicode("w"), Tensor(Storage("0", 4, $"torch\n{storage}"), 0, [4], [1])))));
        AssertRefused("quantised", Archive(Pickle("ctorch._utils\n_rebuild_qtensor\n")));
    }

    public static TheoryData<string, byte[]> Pickles => new()
    {
        { "no dictionary", Pickle("N") },
        { "no dictionary", Pickle("](", Whole, "e") },
        { "no dictionary", Pickle(Whole) },
        { "no tensor", Pickle("}") },
        { "no name", Pickle(Dictionary(Unicode("list"), Join("](", Whole, "e"))) },
        { "no name", Pickle(Dictionary(Number(1), Whole, Unicode("w"), Whole)) },
        { "no name", Pickle(Dictionary(Join("N", (byte)0x85), Whole, Unicode("w"), Whole)) },
        { "no name", Pickle("ccollections\nOrderedDict\n)R(", Unicode("w"), Whole, "u", Dictionary(Unicode("hidden"), Whole), "b") },
        { "twice", Pickle(Dictionary(Unicode("w"), Whole, Unicode("w"), Whole)) },
        { "twice", Pickle(Dictionary(Unicode("a.b"), Whole, Unicode("a"), Dictionary(Unicode("b"), Whole))) },
        { "state of something other", Pickle("}", Dictionary(Unicode("__class__"), Number(1)), "b") },
        { "state of something other", Pickle(Whole, Dictionary(Unicode("grad"), Number(1)), "b") },
        { "state of something other", Pickle("ccollections\nOrderedDict\n)RNb") },
        { "state of something other", Pickle("ccollections\nOrderedDict\n}b") },
        { "no function", Pickle("NN", "R") },
        { "no function", Pickle("ccollections\nOrderedDict\nNR") },
        { "arguments", Pickle("ccollections\nOrderedDict\n(", Number(1), "tR") },
        { "arguments", Pickle("ctorch\nFloatStorage\n)R") },
        { "arguments", Pickle("ctorch._utils\n_rebuild_parameter\n(", Unicode("w"), (byte)0x89, "NtR") },
        { "arguments", Pickle(Tensor(Storage("0", 4), 0, [4], [1], Dictionary(Unicode("conj"), (byte)0x88))) },
        { "arguments", Pickle("ctorch._utils\n_rebuild_tensor_v2\n)R") },
        { "arguments", Pickle(Tensor(Unicode("0"), 0, [4], [1])) },
        { "no integers", Pickle("ctorch._utils\n_rebuild_tensor\n(", Storage("0", 4), Number(0), "(", Unicode("4"), "t", Numbers(1), "tR") },
        { "names data", Pickle(Unicode("0"), "Q") },
        { "names data", Pickle("(", Unicode("module"), "ctorch\nFloatStorage\n", Unicode("file.py"), Unicode("import os"), "tQ") },
        { "names data", Pickle("(", Unicode("storage"), Unicode("torch.FloatStorage"), Unicode("0"), Unicode("cpu"), Number(4), "tQ") },
        { "names data", Pickle("(", Unicode("storage"), "ccollections\nOrderedDict\n", Unicode("0"), Unicode("cpu"), Number(4), "tQ") },
        { "names data", Pickle(Storage("0", 4, window: Numbers(1, 0, 2))) },
        { "no plain key", Pickle(Storage("../0", 4)) },
        { "no plain key", Pickle(Storage("", 4)) },
        { "no plain key", Pickle(Storage("0\0", 4)) },
        { "claims -1", Pickle(Storage("0", -1)) },
        { "claims", Pickle(Storage("0", long.MaxValue)) },
        { "differently", Pickle(Storage("0", 4), Storage("0", 3)) },
        { "differently", Pickle(Storage("0", 4), Storage("0", 4, "torch\nIntStorage")) },
        { "has 16 bytes", Pickle(Dictionary(Unicode("w"), Tensor(Storage("0", 3), 0, [3], [1]))) },
        { "has 16 bytes", Pickle(Dictionary(Unicode("w"), Tensor(Storage("0", 1L << 34), 0, [1L << 34], [1]))) },
        { "lacks the storage", Pickle(Dictionary(Unicode("w"), Tensor(Storage("1", 4), 0, [4], [1]))) },
        { "which has 4", Pickle(Dictionary(Unicode("w"), Tensor(Storage("0", 4), 1, [4], [1]))) },
        { "which has 4", Pickle(Dictionary(Unicode("w"), Tensor(Storage("0", 4), 0, [2, 2], [3, 1]))) },
        { "which has 4", Pickle(Dictionary(Unicode("w"), Tensor(Storage("0", 4), 0, [3, 3], [long.MaxValue, long.MaxValue]))) },
        { "which has 4", Pickle(Dictionary(Unicode("w"), Tensor(Storage("0", 4), long.MaxValue, [1], [1]))) },
        { "which has 4", Pickle(Dictionary(Unicode("w"), Tensor(Storage("0", 4), 5, [0], [1]))) },
        { "negative", Pickle(Dictionary(Unicode("w"), Tensor(Storage("0", 4), -1, [4], [1]))) },
        { "negative", Pickle(Dictionary(Unicode("w"), Tensor(Storage("0", 4), 0, [-4], [1]))) },
        { "negative", Pickle(Dictionary(Unicode("w"), Tensor(Storage("0", 4), 3, [4], [-1]))) },
        { "negative", Pickle(Dictionary(Unicode("w"), Tensor(Storage("0", 4), 0, [1L << 32, 1L << 32], [0, 0]))) },
        { "negative", Pickle(Dictionary(Unicode("w"), Tensor(Storage("0", 4), 0, [0, 1L << 32, 1L << 32], [0, 0, 0]))) },
        { "do not fit", Pickle(Dictionary(Unicode("w"), Tensor(Storage("0", 4), 0, [4], []))) },
        { "no integers", Pickle(Dictionary(Unicode("w"), Tensor(Storage("0", 4), 0, [.. Enumerable.Repeat(1L, 65)], [.. Enumerable.Repeat(1L, 65)]))) },
        { "many times over", Pickle(Dictionary(Unicode("w"), Tensor(Storage("0", 4), 0, [1L << 34], [0]))) },
        { "many times over", Pickle(Dictionary([.. Enumerable.Range(0, 40).SelectMany(i => new object[] { Unicode($"{i}"), Tensor(Storage("0", 4), 0, [1 << 17], [0]) })])) },
        { "without STOP", [0x80, 2, (byte)'}'] },
        { "without STOP", [] },
        { "values unused", Pickle("NN") },
        { "where there is none", Pickle() },
        { "where there is none", Pickle("(R") },
        { "where there is none", Pickle("N(0") },
        { "a mark that is not there", Pickle("t") },
        { "no list", Pickle("}Na") },
        { "no dictionary", Pickle("]NNs") },
        { "no dictionary", Pickle("}(Nu") },
        { "refers to value 5", Pickle("h\u0005") },
        { "refers to value 4,294,967,295", Pickle("j", U32(uint.MaxValue)) },
        { "unknown protocol 6", [0x80, 6, (byte)'N', (byte)'.'] },
        { "integer of 255 bytes", Pickle((byte)0x8A, (byte)255) },
        { "integer of -1 bytes", Pickle((byte)0x8B, U32(uint.MaxValue)) },
        { "claims a value", Pickle("X", U32(uint.MaxValue)) },
        { "claims a value", Pickle((byte)0x8D, U64(ulong.MaxValue)) },
        { "claims a value", Pickle((byte)0x8E, U64(1UL << 40)) },
        { "claims a value", Pickle((byte)0x95, U64(1UL << 40)) },
        { "not valid UTF-8", Pickle("X", U32(1), (byte)0xFF) },
        { "name does not end", Pickle("c", new string('a', 1000)) },
        { "no text", Pickle("NN", (byte)0x93) },
        { "opcode 0x81", Pickle("ccollections\nOrderedDict\n)", (byte)0x81) },
        { "opcode 0x82", Pickle((byte)0x82, (byte)1) },
        { "opcode 0x92", Pickle("ccollections\nOrderedDict\n)}", (byte)0x92) },
        { "opcode 0x6F", Pickle("(ccollections\nOrderedDict\no") },
        { "opcode 0x50", Pickle("P0\n") },
        { "opcode 0x97", Pickle((byte)0x97) },
    };

    [Theory]
    [MemberData(nameof(Pickles))]
    public void A_broken_or_scheming_pickle_is_refused_with_the_reason(string reason, byte[] pickle) => AssertRefused(reason, Archive(pickle));

    [Fact]
    public void Nesting_sharing_and_repetition_cost_no_more_than_the_file_is_long()
    {
        static byte[] Repeat(int times, params object[] parts) => Join([.. Enumerable.Repeat((object)Join(parts), times)]);
        AssertRefused("no dictionary", Archive(Pickle(")", Repeat(300_000, (byte)0x85))));
        AssertRefused("values unused", Archive(Pickle(Repeat(300_000, "}", (byte)0x94))));
        AssertRefused("values unused", Archive(Pickle("N", Repeat(300_000, "2"))));
        AssertRefused("where there is none", Archive(Pickle(Repeat(300_000, "("))));
        AssertRefused("deep", Archive(Pickle("}q\0", Unicode("a"), "h\0s")));

        // Ten times the level below, thirty levels high: the tensor would have 10^30 names.
        var levels = Enumerable.Range(1, 30).Select(level => (object)Join("}(", Join([.. Enumerable.Range(0, 10).Select(i => (object)Join(Unicode($"{i}"), "h", (byte)(level - 1)))]), "uq", (byte)level, "0"));
        AssertRefused("many times over", Archive(Pickle(Dictionary(Unicode("w"), Whole), "q\00", Join([.. levels]), "h", (byte)8)));
        // A long name, once in the file, before a hundred thousand short ones.
        AssertRefused("many times over", Archive(Pickle(Dictionary(Unicode(new string('a', 300_000)), Dictionary([.. Enumerable.Range(0, 10_000).SelectMany(i => new object[] { Unicode($"{i}"), "N" })])))));
        // Tensors of sixty-four dimensions at five bytes each.
        byte[] call = Join("ctorch._utils\n_rebuild_tensor\nq\0(", Storage("0", 4), Number(0), Numbers([.. Enumerable.Repeat(1L, 64)]), Numbers([.. Enumerable.Repeat(1L, 64)]), "tq\u0001");
        AssertRefused("values unused", Archive(Pickle(call, Repeat(50_000, "h\0h\u0001R"))));
    }

    /// <summary>Overwrites bytes behind a signature; <paramref name="which"/> counts from the last one.</summary>
    private static byte[] Patched(byte[] file, string signature, int at, byte[] value, int which = 0)
    {
        byte[] sought = Join(signature), patched = [.. file];
        int found = file.Length;
        for (int i = 0; i <= which; i++)
            found = patched.AsSpan(0, found).LastIndexOf(sought);
        value.CopyTo(patched, found + at);
        return patched;
    }

    [Fact]
    public void An_archive_that_contradicts_itself_is_refused_with_the_reason()
    {
        const string Local = "PK\u0003\u0004", Central = "PK\u0001\u0002", End = "PK\u0005\u0006", End64 = "PK\u0006\u0006", Locator = "PK\u0006\u0007";
        byte[] good = Archive(Good), wide = Zip([("a/data.pkl", Good), ("a/data/0", FourFloats)], zip64: true);
        byte[] With(params (string, byte[])[] entries) => Zip([("a/data.pkl", Good), ("a/data/0", FourFloats), .. entries]);

        AssertRefused("compressed", Patched(good, Central, 10, [8]));
        AssertRefused("encrypted", Patched(good, Central, 8, [1]));
        AssertRefused("two different lengths", Patched(good, Central, 20, [1]));
        AssertRefused("is not where", Patched(good, Central, 42, U32(1)));
        AssertRefused("is not where", Patched(good, Central, 42, U32(uint.MaxValue - 1)));
        AssertRefused("another header", Patched(good, Local, 30, "X"u8.ToArray()));
        AssertRefused("another header", Patched(good, Local, 8, [8]));
        AssertRefused("beyond the end", Patched(good, Central, 20, [0, 0, 0, 0x70, 0, 0, 0, 0x70]));
        AssertRefused("overlaps", Patched(good, Central, 20, Join(U32(60), U32(60)), which: 1)); // the storage, over the entry behind it
        AssertRefused("overlaps", Patched(good, Central, 20, Join(U32(60), U32(60)))); // the last one, over the directory
        AssertRefused("several parts", Patched(good, End, 4, [1]));
        AssertRefused("several parts", Patched(good, End, 8, [1]));
        AssertRefused("directory", Patched(good, End, 16, U32(7)));
        AssertRefused("directory", Patched(good, End, 8, [3, 0, 3, 0]));
        AssertRefused("directory", Patched(good, End, 8, [0xFF, 0xFF, 0xFF, 0xFF]));
        AssertRefused("directory", Patched(good, Central, 28, [0xFF, 0xFF]));
        AssertRefused("missing", good[..^1]);
        AssertRefused("missing", [.. good, 0]);
        AssertRefused("missing", good[..100]);
        AssertRefused("zip64", Patched(wide, Locator, 8, U64(1)));
        AssertRefused("zip64", Patched(wide, Locator, 8, U64(ulong.MaxValue)));
        AssertRefused("directory", Patched(wide, End64, 48, U64(ulong.MaxValue)));
        AssertRefused("directory", Patched(wide, End64, 24, Join(U64(1UL << 60), U64(1UL << 60))));
        AssertRefused("lacks its sizes", Patched(wide, Central, 46 + "a/data/0".Length + 2, [8]));
        AssertRefused("there twice", With(("a/data/0", FourFloats)));
        AssertRefused("2 pickles", With(("b/data.pkl", Good)));
        AssertRefused("0 pickles", Zip([("data.pkl", Good)]));
        AssertRefused("0 pickles", Zip([("a/b/data.pkl", Good)]));
        AssertRefused("byte order", With(("a/byteorder", "big"u8.ToArray())));
        AssertRefused("version", With(("a/version", "11\n"u8.ToArray())));
        AssertRefused("version", With(("a/version", [])));
        AssertRefused("TorchScript", With(("a/constants.pkl", Good)));
        AssertRefused("behind its end", Archive([.. Good, (byte)'N']));
        AssertRefused("lacks the storage", Zip([("a/data.pkl", Good), ("b/data/0", FourFloats)]));
    }

    [Fact]
    public void A_container_of_the_old_kind_that_contradicts_itself_is_refused_with_the_reason()
    {
        AssertRefused("not in a container", Good);
        AssertRefused("unknown version", Join(Magic, Pickle("M", U16(1002))));
        AssertRefused("not little-endian", Join(Magic, Pickle("M", U16(1001)), Pickle("}")));
        AssertRefused("not little-endian", Join(Magic, Pickle("M", U16(1001)), Pickle(Dictionary(Unicode("little_endian"), (byte)0x89))));
        AssertRefused("no list", Join(Magic, Pickle("M", U16(1001)), Pickle(Dictionary(Unicode("little_endian"), (byte)0x88)), Good, Pickle("N")));
        AssertRefused("without STOP", Join(Magic, Pickle("M", U16(1001)), Pickle(Dictionary(Unicode("little_endian"), (byte)0x88)), Good));
        AssertRefused("lacks the storage", Legacy(Good));
        AssertRefused("or no tensor", Legacy(Good, ("0", 4, FourFloats), ("1", 4, FourFloats)));
        AssertRefused("twice", Legacy(Good, ("0", 4, FourFloats), ("0", 4, FourFloats)));
        AssertRefused("4 elements", Legacy(Good, ("0", 1L << 40, FourFloats)));
        AssertRefused("4 elements", Legacy(Good, ("0", -4, FourFloats)));
        AssertRefused("cut off", Legacy(Good, ("0", 4, FourFloats))[..^1]);
        AssertRefused("belong to no tensor", Join(Legacy(Good, ("0", 4, FourFloats)), (byte)0));
        AssertRefused("cut off", Legacy(Pickle(Dictionary(Unicode("w"), Tensor(Storage("0", 1L << 34), 0, [1L << 34], [1]))), ("0", 1L << 34, FourFloats)));
    }

    [Theory]
    [InlineData("a web page", "<!DOCTYPE html><html>")]
    [InlineData("a web page", "\uFEFF\n  <html lang=\"en\">")]
    [InlineData("a web page", "<?xml version=\"1.0\"?><Error>")]
    [InlineData("LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 548118077\n")]
    [InlineData("neither a zip archive nor a pickle", "weights")]
    [InlineData("neither a zip archive nor a pickle", "{\"error\":\"not found\"}")]
    public void What_lies_in_the_place_of_weights_is_called_by_its_name(string reason, string content)
    {
        using var work = new WorkFolder();
        foreach (string name in new[] { "pytorch_model.bin", "model.safetensors" }.Take(reason.StartsWith("neither", StringComparison.Ordinal) ? 1 : 2))
        {
            File.WriteAllText(work.PathOf(name), content);
            Assert.Contains(reason, Assert.Throws<PerenosException>(() => CheckpointFolder.OpenWeights(work.PathOf(name))).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_folder_with_both_forms_is_read_as_safetensors_and_with_the_pickled_one_alone_as_that()
    {
        using var work = new WorkFolder();
        File.WriteAllBytes(work.PathOf("pytorch_model.bin"), Archive(Good));
        using (var pickled = CheckpointFolder.OpenWeights(work.Root))
            Assert.IsType<TorchFile>(pickled);
        using var weight = ones(3);
        SafetensorsWriter.Write(work.PathOf("model.safetensors"), [("w", weight)]);
        using var both = CheckpointFolder.OpenWeights(work.Root);
        Assert.IsType<SafetensorsFile>(both);
    }

    [Fact]
    public void Pickled_shards_and_their_index_must_agree()
    {
        using var work = new WorkFolder();
        File.WriteAllBytes(work.PathOf("1.bin"), Archive(Good));
        File.WriteAllBytes(work.PathOf("2.bin"), Archive(Pickle(Dictionary(Unicode("v"), Whole))));
        string index = work.PathOf(ShardedCheckpoint.TorchIndexName);
        File.WriteAllText(index, """{"weight_map":{"w":"1.bin","v":"2.bin"}}""");
        using (var source = CheckpointFolder.OpenWeights(work.Root))
        using (var tensor = source.Read("v"))
            Assert.Equal([2L, 2L], tensor.shape);
        foreach (var (map, reason) in new[] { ("""{"w":"2.bin","v":"1.bin"}""", "lies in"), ("""{"w":"1.bin","v":"3.bin"}""", "not there"), ("""{"w":"pytorch_model.bin.index.json"}""", "leads out") })
        {
            File.WriteAllText(index, $$"""{"weight_map":{{map}}}""");
            Assert.Contains(reason, Assert.Throws<PerenosException>(() => CheckpointFolder.OpenWeights(work.Root)).Message, StringComparison.Ordinal);
        }
    }
}
