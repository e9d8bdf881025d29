using Perenos.Checkpoints;
using Perenos.Tests.Checkpoints;
using Perenos.Text.Tokenization;

namespace Perenos.Fuzz.Targets;

/// <summary>GGUF: description, configuration, tokenizer, tensors.</summary>
internal static class GgufTarget
{
    public static FuzzTarget Create() => new("gguf",
    [
        Model("llama").Pair("tokenizer.ggml.model", "llama").Pair("tokenizer.ggml.tokens", 9, Texts("<unk>", "a", "b"))
            .Pair("tokenizer.ggml.scores", 9, [.. GgufBytes.U32(6), .. GgufBytes.U64(3), .. new byte[12]]).Pair("tokenizer.ggml.token_type", 9, [.. GgufBytes.U32(5), .. GgufBytes.U64(3), 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0])
            .Tensor("token_embd.weight", 2, [32, 3], new byte[54]).Tensor("blk.0.attn_q.weight", 8, [32, 4], new byte[136]).Tensor("output_norm.weight", 0, [32], new byte[128]).Build(),
        Model("gpt2").Pair("tokenizer.ggml.model", "gpt2").Pair("tokenizer.ggml.pre", "gpt-2").Pair("tokenizer.ggml.tokens", 9, Texts("a", "b", "ab"))
            .Pair("tokenizer.ggml.merges", 9, Texts("a b")).Pair("tokenizer.ggml.token_type", 9, [.. GgufBytes.U32(5), .. GgufBytes.U64(3), 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0])
            .Tensor("token_embd.weight", 1, [4, 3], new byte[24]).Tensor("blk.0.attn_qkv.weight", 12, [256, 1], new byte[144]).Build(),
    ],
    (valid, damage) => damage.Bytes(valid), Read);

    private static GgufBytes Model(string architecture) => new GgufBytes().Pair("general.architecture", architecture).Pair($"{architecture}.attention.head_count", 2u)
        .Pair($"{architecture}.block_count", 1u).Pair($"{architecture}.embedding_length", 32u).Pair($"{architecture}.context_length", 16u).Pair($"{architecture}.feed_forward_length", 64u)
        .Pair($"{architecture}.attention.layer_norm_rms_epsilon", 6, [0, 0, 0x80, 0x3F]).Pair($"{architecture}.attention.layer_norm_epsilon", 6, [0, 0, 0x80, 0x3F]);

    private static byte[] Texts(params string[] texts) => [.. GgufBytes.U32(8), .. GgufBytes.U64((ulong)texts.Length), .. texts.SelectMany(GgufBytes.Text)];

    private static long Read(FuzzInput input)
    {
        using var source = GgufSource.Open(input.FileNamed("model.gguf"));
        long largest = TensorReading.All(source);
        _ = GgufConfig.ToHuggingFace(source.File);
        if (GgufTokenizerParts.From(source.File) is { } parts)
        {
            var tokenizer = Tokenizer.FromGguf(parts.Model, parts.Pre, parts.Tokens, parts.Merges.Length > 0 ? parts.Merges : null,
                parts.Scores.Length > 0 ? parts.Scores : null, parts.Types, parts.BeginningId, parts.EndId);
            TokenizerTarget.Use(tokenizer);
        }

        return largest;
    }
}
