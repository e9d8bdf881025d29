using System.Text;
using Perenos.Runs;
using Perenos.Testing;
using Perenos.Text.Tokenization;
using Xunit;

namespace Perenos.Text.Tests.Tokenization;

/// <summary>Tokenizers spelt as the metadata of a GGUF file, and read from them again.</summary>
public sealed class GgufVocabularyTests
{
    private const string Byte = """{ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true }""";

    public static TheoryData<string, string> Real => new()
    {
        { "smollm2", "smollm" }, { "qwen3", "qwen2" }, { "gpt2", "gpt-2" }, { "gpt-neox", "gpt-2" },
    };

    [Theory]
    [MemberData(nameof(Real))]
    public void A_real_tokenizer_keeps_its_ids_under_the_name_of_its_word_pattern(string name, string pre)
    {
        var tokenizer = name switch
        {
            "smollm2" => Tokenizer.Load(Shared.SharedOrSkip("models", "smollm2-135m-instruct", "tokenizer.json")),
            "gpt2" => Tokenizer.LoadGpt2(Shared.SharedOrSkip("tokenizers", "gpt2", "encoder.json"), Shared.SharedOrSkip("tokenizers", "gpt2", "vocab.bpe")),
            _ => Tokenizer.Load(Shared.SharedOrSkip("tokenizers", name, "tokenizer.json")),
        };
        var written = tokenizer.ToGguf(tokenizer.VocabularySize + 3);
        Assert.Equal(("gpt2", pre, tokenizer.VocabularySize + 3), (written.Model, written.Pre, written.Tokens.Count));
        Assert.Equal(5, written.Types[^1]);
        // GPT-NeoX composes characters first; GGUF's readers do not.
        Assert.Equal(name == "gpt-neox", written.Losses.Any(loss => loss.Contains("NFC", StringComparison.Ordinal)));
        var back = written.Open();
        var texts = TokenizerFixtures.Records(name, "goldens.jsonl").Select(record => record.GetProperty("text").GetString()!)
            .Where(text => name != "gpt-neox" || text.All(char.IsAscii)).ToList();
        Assert.True(texts.Count > 20);
        foreach (string text in texts)
        {
            int[] ids = tokenizer.Encode(text, addSpecialTokens: true);
            Assert.Equal(ids, back.Encode(text, addSpecialTokens: true));
            Assert.Equal(tokenizer.Decode(ids), back.Decode(ids));
        }
    }

    [Fact]
    public void Where_several_names_mean_the_same_the_preferred_one_stays()
    {
        var tokenizer = Tokenizer.Load(Shared.SharedOrSkip("models", "smollm2-135m-instruct", "tokenizer.json"));
        Assert.Equal("starcoder", tokenizer.ToGguf(0, "starcoder").Pre);
        Assert.Equal("smollm", tokenizer.ToGguf(0, "qwen2").Pre);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_SentencePiece_vocabulary_becomes_scores_in_the_order_of_its_merges(bool hasPrefix)
    {
        string normalizer = hasPrefix
            ? """{ "type": "Sequence", "normalizers": [{ "type": "Prepend", "prepend": "▁" }, { "type": "Replace", "pattern": { "String": " " }, "content": "▁" }] }"""
            : """{ "type": "Replace", "pattern": { "String": " " }, "content": "▁" }""";
        string strip = hasPrefix ? """, { "type": "Strip", "content": " ", "start": 1, "stop": 0 }""" : "";
        // As Gemma has it; behind a Prepend no such token is ever found.
        string blanks = hasPrefix ? "" : """, { "id": 14, "content": "▁▁▁", "special": false, "normalized": true }""";
        string bytes = string.Concat(Enumerable.Range(0, 256).Select(value => $", \"<0x{value:X2}>\": {value + 20}"));
        var tokenizer = Parse($$"""
            {
              "added_tokens": [{ "id": 1, "content": "<s>", "special": true }, { "id": 2, "content": "</s>", "special": true }{{blanks}}],
              "normalizer": {{normalizer}},
              "decoder": { "type": "Sequence", "decoders": [{ "type": "Replace", "pattern": { "String": "▁" }, "content": " " }, { "type": "ByteFallback" }, { "type": "Fuse" }{{strip}}] },
              "post_processor": { "type": "TemplateProcessing", "single": [{ "SpecialToken": { "id": "<s>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }, { "SpecialToken": { "id": "</s>", "type_id": 0 } }],
                "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
                "special_tokens": { "<s>": { "id": "<s>", "ids": [1], "tokens": ["<s>"] }, "</s>": { "id": "</s>", "ids": [2], "tokens": ["</s>"] } } },
              "model": { "type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
                "vocab": { "<unk>": 0, "<s>": 1, "</s>": 2, "a": 3, "b": 4, "l": 5, "e": 6, "▁": 7, "ll": 8, "el": 9, "▁a": 10, "ell": 11, "▁b": 12, "x": 13, "▁▁▁": 14{{bytes}} },
                "merges": [["e", "l"], ["l", "l"], ["el", "l"], ["▁", "a"], ["▁", "b"]] }
            }
            """);
        var written = tokenizer.ToGguf(300);
        Assert.Equal(("llama", hasPrefix, 1, 2), (written.Model, written.AddsSpacePrefix, written.BeginId, written.EndId));
        Assert.True(written.Scores[9] > written.Scores[8] && written.Scores[8] > written.Scores[11] && written.Scores[11] > written.Scores[3]);
        Assert.Equal((2, 3, 6), (written.Types[0], written.Types[1], written.Types[20]));
        Assert.Equal(hasPrefix ? (1, "▁▁▁") : (4, "   "), (written.Types[14], written.Tokens[14]));
        var back = written.Open();
        foreach (string text in new[] { "bell all", "a   bé €", " ell", "" })
            Assert.Equal(tokenizer.Encode(text, addSpecialTokens: true), back.Encode(text, addSpecialTokens: true));
    }

    [Fact]
    public void What_GGUF_cannot_name_is_refused_or_noted()
    {
        const string Vocabulary = """ "vocab": { "<x>": 0, "a": 1, "Ġ": 2, "Ġa": 3 }, "merges": [["Ġ", "a"]] """;
        var oddWords = Parse($$"""{ "pre_tokenizer": { "type": "Sequence", "pretokenizers": [{ "type": "Punctuation" }, {{Byte}}] }, "decoder": { "type": "ByteLevel" }, "model": { "type": "BPE", {{Vocabulary}} } }""");
        Assert.Contains("None of the ways", Assert.Throws<PerenosException>(() => oddWords.ToGguf(4)).Message, StringComparison.Ordinal);
        var unigram = Parse("""{ "model": { "type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.0]] } }""");
        Assert.Contains("Unigram", Assert.Throws<PerenosException>(() => unigram.ToGguf(2)).Message, StringComparison.Ordinal);
        var stripping = Parse($$"""{ "added_tokens": [{ "id": 0, "content": "<x>", "special": true, "rstrip": true }], "pre_tokenizer": {{Byte}}, "decoder": { "type": "ByteLevel" }, "model": { "type": "BPE", {{Vocabulary}} } }""");
        Assert.Contains("1 added tokens", Assert.Single(stripping.ToGguf(4).Losses), StringComparison.Ordinal);
    }

    private static Tokenizer Parse(string json) => Tokenizer.Parse(Encoding.UTF8.GetBytes(json), "test");
}
