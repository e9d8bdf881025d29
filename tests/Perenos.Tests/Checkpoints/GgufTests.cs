using Perenos.Checkpoints;
using Perenos.Runs;
using TorchSharp;
using Xunit;

namespace Perenos.Tests.Checkpoints;

public sealed class GgufTests
{
    private static byte[] Floats(params float[] values) => [.. values.SelectMany(BitConverter.GetBytes)];

    private static GgufFile Open(WorkFolder work, byte[] bytes)
    {
        string path = work.PathOf("bad.gguf");
        File.WriteAllBytes(path, bytes);
        return GgufFile.Open(path);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    public void Nested_arrays_numbers_and_tensors_are_read(uint version)
    {
        using var work = new WorkFolder();
        byte[] nested = [.. GgufBytes.U32(9), .. GgufBytes.U64(2), .. GgufBytes.U32(0), .. GgufBytes.U64(2), 1, 2, .. GgufBytes.U32(8), .. GgufBytes.U64(1), .. GgufBytes.Text("x")];
        using var file = Open(work, new GgufBytes { Version = version }.Pair("nested", 9, nested).Pair("n", 7)
            .Tensor("a", 0, [3, 2], Floats(1, 2, 3, 4, 5, 6)).Tensor("nothing", 0, [0, 2], []).Tensor("one", 0, [], Floats(9)).Build());
        Assert.Equal((int)version, file.Version);
        var outer = Assert.IsType<GgufValue[]>(file.Metadata["nested"].Value);
        Assert.Equal(new byte[] { 1, 2 }, outer[0].Value);
        Assert.Equal(new[] { "x" }, outer[1].Value);
        Assert.Equal((7L, 7.0), (file.Integer("n"), file.Number("n")));
        Assert.Null(file.Text("absent"));
        Assert.Throws<PerenosException>(() => file.Text("n"));
        Assert.Throws<PerenosException>(() => file.Read("b"));

        using var a = file.Read("a");
        Assert.Equal([2L, 3L], a.shape);
        Assert.Equal([1f, 2f, 3f, 4f, 5f, 6f], a.data<float>().ToArray());
        using var one = file.Read("one");
        Assert.Equal(9f, one.item<float>());
        using var nothing = file.Read("nothing", torch.ScalarType.BFloat16);
        Assert.Equal([2L, 0L], nothing.shape);
    }

    public static TheoryData<string, byte[]> Malformed => new()
    {
        { "does not begin with GGUF", "GGML............................"u8.ToArray() },
        { "header of 24 bytes", "GGUF"u8.ToArray() },
        { "version 1", new GgufBytes { Version = 1 }.Build() },
        { "big-endian", new GgufBytes { Version = 0x03000000 }.Build() },
        { "tensors, for which", new GgufBytes { ClaimedTensors = ulong.MaxValue }.Build() },
        { "metadata values, for which", new GgufBytes { ClaimedPairs = 1 }.Build() },
        { "elements of \"k\", for which", new GgufBytes().Pair("k", 9, [.. GgufBytes.U32(4), .. GgufBytes.U64(1UL << 60)]).Build() },
        { "elements of \"k\", for which", new GgufBytes().Pair("k", 9, [.. GgufBytes.U32(8), .. GgufBytes.U64(3), .. new byte[16]]).Build() },
        { "the unknown kind 13", new GgufBytes().Pair("k", 13, 0).Build() },
        { "more than 8 deep", new GgufBytes().Pair("k", 9, [.. Enumerable.Range(0, 9).SelectMany(_ => GgufBytes.U32(9).Concat(GgufBytes.U64(1))), .. new byte[12]]).Build() },
        { "truth value of 2", new GgufBytes().Pair("k", 7, 2).Build() },
        { "is not valid UTF-8", new GgufBytes().Pair("k", 8, [.. GgufBytes.U64(1), 0xFF]).Build() },
        { "is beyond the file's end", new GgufBytes().Pair("k", 8, GgufBytes.U64(1UL << 40)).Build() },
        { "\"k\" twice", new GgufBytes().Pair("k", 1u).Pair("k", 1u).Build() },
        { "middle of its description", new GgufBytes().Pair("k", 10, [1, 2, 3]).Build() },
        { "alignment is 0", new GgufBytes().Pair("general.alignment", 0u).Build() },
        { "alignment is 48", new GgufBytes().Pair("general.alignment", 48u).Build() },
        { "described twice", new GgufBytes().Tensor("a", 0, [1], Floats(1)).Tensor("a", 0, [1], Floats(1)).Build() },
        { "5 dimensions", new GgufBytes().Tensor("a", 0, [1, 1, 1, 1, 1], Floats(1)).Build() },
        { "overflows", new GgufBytes().Tensor("a", 0, [1UL << 63], Floats(1)).Build() },
        { "overflows", new GgufBytes().Tensor("a", 0, [1UL << 32, 1UL << 32], Floats(1)).Build() },
        { "type 4,", new GgufBytes().Tensor("a", 4, [32], Floats(1)).Build() },
        { "no whole blocks of Q4_0", new GgufBytes().Tensor("a", 2, [16, 2], new byte[18]).Build() },
        { "beyond the end", new GgufBytes().Tensor("a", 0, [3], Floats(1, 2)).Build() },
        { "beyond the end", new GgufBytes().Tensor("a", 0, [1], Floats(1), ulong.MaxValue).Build() },
        { "beyond the end", new GgufBytes().Tensor("a", 0, [1], Floats(1), 1UL << 62).Build() },
        { "overlaps", new GgufBytes().Tensor("a", 0, [9], new byte[36]).Tensor("b", 0, [1], Floats(1), 32).Build() },
        { "gap", new GgufBytes().Tensor("a", 0, [1], new byte[65], 32).Build() },
        { "belong to no tensor", new GgufBytes().Tensor("a", 0, [1], new byte[33]).Build() },
        { "one of 3 parts", new GgufBytes().Pair("split.count", 3u).Build() },
    };

    [Theory]
    [MemberData(nameof(Malformed))]
    public void A_malformed_file_is_refused_with_its_name_and_reason(string reason, byte[] bytes)
    {
        using var work = new WorkFolder();
        string message = Assert.Throws<PerenosException>(() => Open(work, bytes).Dispose()).Message;
        Assert.Contains("bad.gguf", message, StringComparison.Ordinal);
        Assert.Contains(reason, message, StringComparison.Ordinal);
    }

    private static GgufBytes Llama() => new GgufBytes().Pair("general.architecture", "llama")
        .Pair("llama.attention.head_count", 2u).Pair("llama.attention.head_count_kv", 1u);

    [Fact]
    public void Query_and_key_rows_are_put_back_in_order_by_their_own_head_counts()
    {
        using var work = new WorkFolder();
        byte[] rows = Floats(0, 1, 2, 3, 4, 5, 6, 7);
        File.WriteAllBytes(work.PathOf("m.gguf"), Llama().Tensor("blk.11.attn_q.weight", 0, [1, 8], rows).Tensor("blk.11.attn_k.weight", 0, [1, 8], rows).Build());
        using var source = GgufSource.Open(work.PathOf("m.gguf"));
        using var query = source.Read("model.layers.11.self_attn.q_proj.weight");
        using var key = source.Read("model.layers.11.self_attn.k_proj.weight");
        Assert.Equal([0f, 2f, 1f, 3f, 4f, 6f, 5f, 7f], query.data<float>().ToArray()); // two heads of four rows
        Assert.Equal([0f, 2f, 4f, 6f, 1f, 3f, 5f, 7f], key.data<float>().ToArray()); // one head of eight
    }

    public static TheoryData<string, byte[]> NoModel => new()
    {
        { "no place", Llama().Tensor("blk.0.attn_x.weight", 0, [1], Floats(1)).Build() },
        { "no place", Llama().Tensor("blk.00.attn_q.weight", 0, [1], Floats(1)).Build() },
        { "does not fit 2 heads", Llama().Tensor("blk.0.attn_q.weight", 0, [1, 6], Floats(1, 2, 3, 4, 5, 6)).Build() },
        { "does not fit", Llama().Tensor("blk.0.attn_q.weight", 0, [], Floats(1)).Build() },
        { "lacks llama.attention.head_count", new GgufBytes().Pair("general.architecture", "llama").Build() },
        { "head_count is 0", new GgufBytes().Pair("general.architecture", "llama").Pair("llama.attention.head_count", 0u).Build() },
        { "architecture \"rwkv\"", new GgufBytes().Pair("general.architecture", "rwkv").Build() },
        { "type \"adapter\"", new GgufBytes().Pair("general.type", "adapter").Build() },
    };

    [Theory]
    [MemberData(nameof(NoModel))]
    public void A_file_that_is_no_model_known_here_is_refused(string reason, byte[] bytes)
    {
        using var work = new WorkFolder();
        File.WriteAllBytes(work.PathOf("m.gguf"), bytes);
        Assert.Contains(reason, Assert.Throws<PerenosException>(() => CheckpointFolder.OpenWeights(work.Root)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_with_several_gguf_files_is_ambiguous()
    {
        using var work = new WorkFolder();
        File.WriteAllBytes(work.PathOf("a.gguf"), Llama().Build());
        CheckpointFolder.OpenWeights(work.Root).Dispose();
        File.WriteAllBytes(work.PathOf("b.gguf"), Llama().Build());
        Assert.Contains("2 GGUF files", Assert.Throws<PerenosException>(() => CheckpointFolder.OpenWeights(work.Root)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Llama_3s_rotary_divisors_become_its_four_numbers_and_others_are_refused()
    {
        using var work = new WorkFolder();
        // theta 500,000, head size 128, factor 8: the formula of Llama 3.1's reference code.
        float[] divisors = [.. Enumerable.Range(0, 64).Select(i =>
        {
            double turns = 8_192 / (2 * Math.PI * Math.Pow(500_000, i / 64.0));
            return (float)(turns > 4 ? 1 : turns < 1 ? 8 : 1 / ((1 - (turns - 1) / 3) / 8 + (turns - 1) / 3));
        })];
        byte[] Model(float[] values) => Llama().Pair("llama.embedding_length", 256u).Pair("llama.feed_forward_length", 8u).Pair("llama.block_count", 1u)
            .Pair("llama.context_length", 131_072u).Pair("llama.attention.layer_norm_rms_epsilon", 6, Floats(1e-5f)).Pair("llama.rope.freq_base", 6, Floats(500_000))
            .Tensor("token_embd.weight", 0, [1, 4], new byte[16]).Tensor("rope_freqs.weight", 0, [64], Floats(values)).Build();

        using (var file = Open(work, Model(divisors)))
        {
            var config = GgufConfig.ToHuggingFace(file);
            Assert.Equal(
                """{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":8192}""",
                config["rope_scaling"]!.ToJsonString());
            Assert.Equal(1e-5, config["rms_norm_eps"]!.GetValue<double>());
            Assert.Equal(4L, config["vocab_size"]!.GetValue<long>());
        }

        divisors[40] *= 1.1f;
        using var other = Open(work, Model(divisors));
        Assert.Throws<PerenosException>(() => GgufConfig.ToHuggingFace(other));
    }

    [Fact]
    public void Lists_and_ids_that_do_not_fit_the_vocabulary_are_refused()
    {
        using var work = new WorkFolder();
        byte[] tokens = [.. GgufBytes.U32(8), .. GgufBytes.U64(2), .. GgufBytes.Text("a"), .. GgufBytes.Text("b")];
        GgufBytes Tokenizer() => new GgufBytes().Pair("tokenizer.ggml.model", "gpt2").Pair("tokenizer.ggml.tokens", 9, tokens);
        using (var file = Open(work, Tokenizer().Build()))
            Assert.Equal(["a", "b"], GgufTokenizerParts.From(file)!.Tokens);
        using (var file = Open(work, new GgufBytes().Build()))
            Assert.Null(GgufTokenizerParts.From(file));
        using (var file = Open(work, Tokenizer().Pair("tokenizer.ggml.eos_token_id", 2u).Build()))
            Assert.Throws<PerenosException>(() => GgufTokenizerParts.From(file));
        using (var file = Open(work, Tokenizer().Pair("tokenizer.ggml.scores", 9, [.. GgufBytes.U32(6), .. GgufBytes.U64(1), .. Floats(1)]).Build()))
            Assert.Throws<PerenosException>(() => GgufTokenizerParts.From(file));
    }

    /// <summary>Thousands of damaged copies: each is read to the end or refused in words, and none takes memory beyond its size class.</summary>
    [Fact]
    public void Random_damage_is_read_or_refused_and_never_anything_else()
    {
        using var work = new WorkFolder();
        byte[] strings = [.. GgufBytes.U32(8), .. GgufBytes.U64(2), .. GgufBytes.Text("a"), .. GgufBytes.Text("bc")];
        byte[] valid = Llama().Pair("llama.embedding_length", 4u).Pair("llama.feed_forward_length", 8u).Pair("llama.block_count", 1u).Pair("llama.context_length", 16u)
            .Pair("llama.attention.layer_norm_rms_epsilon", 6, Floats(1e-5f)).Pair("tokenizer.ggml.model", "gpt2").Pair("tokenizer.ggml.tokens", 9, strings)
            .Pair("tokenizer.ggml.eos_token_id", 1u).Pair("nested", 9, [.. GgufBytes.U32(9), .. GgufBytes.U64(1), .. GgufBytes.U32(0), .. GgufBytes.U64(2), 1, 2])
            .Tensor("token_embd.weight", 2, [32, 1], new byte[18]).Tensor("blk.0.attn_q.weight", 0, [2, 4], new byte[32]).Tensor("output_norm.weight", 1, [4], new byte[8]).Build();
        var random = new Random(20_240_608);
        string path = work.PathOf("fuzz.gguf");
        int refused = 0;
        for (int round = 0; round < 3_000; round++)
        {
            File.WriteAllBytes(path, Mutation.Of(valid, random));
            long before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                using var source = GgufSource.Open(path);
                foreach (string name in source.Tensors.Keys)
                {
                    using var tensor = source.Read(name);
                    Assert.True(tensor.numel() <= valid.Length * 24);
                }

                _ = GgufConfig.ToHuggingFace(source.File);
                _ = GgufTokenizerParts.From(source.File);
            }
            catch (PerenosException)
            {
                refused++;
            }

            Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 1 << 20, $"round {round}");
        }

        Assert.InRange(refused, 1_000, 2_999);
    }

    [Fact]
    public void A_damaged_adapter_is_read_or_refused_and_never_anything_else()
    {
        using var work = new WorkFolder();
        byte[] valid = new GgufBytes().Pair("general.architecture", "llama").Pair("general.type", "adapter").Pair("adapter.type", "lora").Pair("adapter.lora.alpha", 6, Floats(4))
            .Tensor("blk.0.attn_q.weight.lora_a", 0, [4, 2], new byte[32]).Tensor("blk.0.attn_q.weight.lora_b", 0, [2, 4], new byte[32]).Build();
        var random = new Random(20_240_609);
        string path = work.PathOf("fuzz.gguf");
        File.WriteAllBytes(path, valid);
        using (var file = GgufFile.Open(path))
            Assert.Equal((4.0, "model.layers.0.self_attn.q_proj"), (GgufLora.Read(file).Alpha, GgufLora.Read(file).Layers.Single().Module));
        int refused = 0;
        for (int round = 0; round < 1_000; round++)
        {
            File.WriteAllBytes(path, Mutation.Of(valid, random));
            try
            {
                using var file = GgufFile.Open(path);
                Assert.NotEmpty(GgufLora.Read(file).Layers);
            }
            catch (PerenosException)
            {
                refused++;
            }
        }

        Assert.InRange(refused, 300, 999);
    }
}
