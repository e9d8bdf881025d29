using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Perenos.Runs;
using Perenos.Testing;
using Perenos.Text.Tokenization;
using Xunit;

namespace Perenos.Text.Tests.Tokenization;

/// <summary>Ids, tokens, offsets and texts as the reference library gives them, bit for bit.</summary>
public sealed class TokenizerParityTests
{
    public static TheoryData<string> Goldens => TokenizerFixtures.FoldersWith("goldens.jsonl");

    public static TheoryData<string> Decodings => TokenizerFixtures.FoldersWith("decode.jsonl");

    public static TheoryData<string> Streams => TokenizerFixtures.FoldersWith("stream.jsonl");

    public static TheoryData<string> TextPairs => TokenizerFixtures.FoldersWith("pairs.jsonl");

    public static TheoryData<string> Batches => TokenizerFixtures.FoldersWith("batches.jsonl");

    public static TheoryData<string> MosesWords => TokenizerFixtures.FoldersWith("goldens.jsonl", mentioning: "\"moses_tokens\"");

    [Theory]
    [MemberData(nameof(Goldens))]
    public void Texts_encode_and_decode_as_in_the_reference(string folder)
    {
        var tokenizer = TokenizerFixtures.Load(folder);
        var wrong = new List<string>();
        foreach (var record in TokenizerFixtures.Records(folder, "goldens.jsonl"))
        {
            string text = record.GetProperty("text").GetString()!;
            string tag = $"{record.GetProperty("id")} {record.GetProperty("tag")}";
            var encoding = tokenizer.EncodeWithOffsets(text);
            int[] ids = record.Ints("ids");
            Compare(wrong, tag, "fast ids", ids, tokenizer.Encode(text));
            Compare(wrong, tag, "ids", ids, encoding.Ids);
            Compare(wrong, tag, "tokens", record.Texts("tokens"), encoding.Tokens);
            if (record.TryGetProperty("offsets", out _))
                Compare(wrong, tag, "offsets", record.Pairs("offsets"), encoding.Offsets);
            Compare(wrong, tag, "decoded", [record.GetProperty("decoded").GetString()], [tokenizer.Decode(ids, skipSpecialTokens: false)]);
            Compare(wrong, tag, "decoded_skip_special", [record.GetProperty("decoded_skip_special").GetString()], [tokenizer.Decode(ids)]);
            if (record.TryGetProperty("ids_with_special", out _))
            {
                Compare(wrong, tag, "ids with special", record.Ints("ids_with_special"), tokenizer.Encode(text, addSpecialTokens: true));
                continue; // made with transformers, which has no more to say
            }

            CompareWithSpecial(wrong, tag, record, tokenizer, text, ids);
            if (record.TryGetProperty("specials_as_text", out var asText))
            {
                var plainly = tokenizer.EncodeWithOffsets(text, specialsAsText: true);
                Compare(wrong, tag, "specials as text", asText.Ints("ids"), plainly.Ids);
                Compare(wrong, tag, "tokens of specials as text", asText.Texts("tokens"), plainly.Tokens);
                Compare(wrong, tag, "fast specials as text", asText.Ints("ids"), tokenizer.Encode(text, specialsAsText: true));
            }
            else
            {
                Compare(wrong, tag, "specials as text", ids, tokenizer.Encode(text, specialsAsText: true));
            }
        }

        Report(wrong);
    }

    [Theory]
    [MemberData(nameof(Decodings))]
    public void Lists_of_ids_that_no_text_gives_decode_as_in_the_reference(string folder)
    {
        var tokenizer = TokenizerFixtures.Load(folder);
        var wrong = new List<string>();
        foreach (var record in TokenizerFixtures.Records(folder, "decode.jsonl"))
        {
            int[] ids = record.Ints("ids");
            string tag = string.Join(' ', ids.Take(12));
            Compare(wrong, tag, "tokens", [.. record.GetProperty("tokens").EnumerateArray().Select(token => token.GetString())], [.. ids.Select(id => tokenizer.Piece(id, skipSpecialTokens: false))]);
            Compare(wrong, tag, "decoded", [record.GetProperty("decoded").GetString()], [tokenizer.Decode(ids, skipSpecialTokens: false)]);
            Compare(wrong, tag, "decoded_skip_special", [record.GetProperty("decoded_skip_special").GetString()], [tokenizer.Decode(ids)]);
        }

        Report(wrong);
    }

    [Theory]
    [MemberData(nameof(Streams))]
    public void Ids_given_one_by_one_give_whole_characters_and_in_the_end_the_whole_text(string folder)
    {
        var tokenizer = TokenizerFixtures.Load(folder);
        var wrong = new List<string>();
        foreach (var record in TokenizerFixtures.Records(folder, "stream.jsonl"))
        {
            var stream = tokenizer.Stream(record.GetProperty("skip_special_tokens").GetBoolean());
            string[] chunks = [.. record.Ints("ids").Select(stream.Push)];
            string rest = stream.Flush();
            string tag = record.GetProperty("tag").GetString()!;
            Compare(wrong, tag, "whole", [record.GetProperty("decoded").GetString()], [string.Concat(chunks) + rest]);
            if (record.TryGetProperty("utf8_chunks", out _))
                Compare(wrong, tag, "chunks", [.. record.Texts("utf8_chunks"), record.GetProperty("utf8_flush").GetString()!], [.. chunks, rest]);
            else
                Compare(wrong, tag, "chunks of the reference", [.. record.GetProperty("hf_chunks").EnumerateArray().Select(chunk => chunk.GetString() ?? "")], chunks);
        }

        Report(wrong);
    }

    [Theory]
    [MemberData(nameof(TextPairs))]
    public void Pairs_are_joined_as_in_the_reference(string folder)
    {
        var tokenizer = TokenizerFixtures.Load(folder);
        var wrong = new List<string>();
        foreach (var record in TokenizerFixtures.Records(folder, "pairs.jsonl"))
        {
            string text = record.GetProperty("text").GetString()!;
            var encoding = tokenizer.EncodePair(text, record.GetProperty("pair").GetString()!, record.GetProperty("add_special_tokens").GetBoolean());
            CompareAll(wrong, text, record, encoding);
        }

        Report(wrong);
    }

    [Theory]
    [MemberData(nameof(Batches))]
    public void Batches_are_cut_and_filled_as_in_the_reference(string folder)
    {
        var plain = TokenizerFixtures.Load(folder);
        var wrong = new List<string>();
        foreach (var record in TokenizerFixtures.Records(folder, "batches.jsonl"))
        {
            // The sections as they stand in a tokenizer.json.
            var json = JsonNode.Parse(plain.ToJson())!.AsObject();
            foreach (string section in (string[])["truncation", "padding"])
                json[section] = JsonNode.Parse(record.GetProperty(section).GetRawText());
            var tokenizer = Tokenizer.Parse(Encoding.UTF8.GetBytes(json.ToJsonString()), folder);
            string tag = $"{record.GetProperty("truncation")} {record.GetProperty("padding")} {record.GetProperty("kind")}";
            (string, string?)[] inputs = [.. record.GetProperty("inputs").EnumerateArray().Select(input =>
                input.ValueKind == JsonValueKind.Array ? (input[0].GetString()!, input[1].GetString()) : (input.GetString()!, null))];
            CompareBatch(wrong, tag, [.. record.GetProperty("encodings").EnumerateArray()], inputs, tokenizer);
            if (!record.TryGetProperty("each", out var each))
                continue;
            Assert.Throws<PerenosException>(() => tokenizer.EncodeBatch(inputs));
            for (int index = 0; index < inputs.Length; index++)
            {
                if (each[index].TryGetProperty("error", out _))
                    Assert.Throws<PerenosException>(() => tokenizer.EncodeBatch([inputs[index]]));
                else
                    CompareBatch(wrong, tag, [each[index]], [inputs[index]], tokenizer);
            }
        }

        Report(wrong);

        static void CompareBatch(List<string> wrong, string tag, JsonElement[] expected, (string, string?)[] inputs, Tokenizer tokenizer)
        {
            if (expected.Length == 0)
                return;
            var actual = tokenizer.EncodeBatch(inputs);
            for (int index = 0; index < inputs.Length; index++)
            {
                CompareAll(wrong, tag, expected[index], actual[index]);
                JsonElement[] overflowing = [.. expected[index].GetProperty("overflowing").EnumerateArray()];
                Compare(wrong, tag, "pieces cut off", [overflowing.Length], [actual[index].Overflowing.Count]);
                foreach (var (piece, cut) in overflowing.Zip(actual[index].Overflowing))
                    CompareAll(wrong, $"{tag}, cut off", piece, cut);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Batches))]
    public void Truncation_and_padding_of_the_file_itself_are_read_and_written(string folder)
    {
        string path = Shared.ParityOrSkip("tokenizers", folder, "tokenizer_truncation_padding.json");
        var tokenizer = Tokenizer.Load(path);
        using var expected = JsonDocument.Parse(File.ReadAllBytes(path));
        Assert.NotNull(tokenizer.Truncation);
        Assert.NotNull(tokenizer.Padding);
        foreach (var written in (Tokenizer[])[tokenizer, tokenizer.With(tokenizer.Truncation, tokenizer.Padding)])
        {
            using var actual = JsonDocument.Parse(written.ToJson());
            foreach (string section in (string[])["truncation", "padding"])
                Assert.True(JsonElement.DeepEquals(expected.RootElement.GetProperty(section), actual.RootElement.GetProperty(section)), section);
        }

        var plain = tokenizer.With(null, null);
        Assert.Null(plain.Truncation);
        Assert.Empty(plain.EncodeBatch([("It will rain tomorrow in the mountains and in the valleys.", null)])[0].Overflowing);
        Assert.NotEmpty(tokenizer.EncodeBatch([("It will rain tomorrow in the mountains and in the valleys.", null)])[0].Overflowing);
    }

    [Fact]
    public void The_tokenizer_of_gpt2_files_is_the_published_pipeline()
    {
        string folder = Shared.SharedOrSkip("tokenizers", "gpt2");
        string skeleton = Shared.ParityOrSkip("tokenizers", "gpt2", "tokenizer_skeleton.json");
        using var expected = JsonDocument.Parse(File.ReadAllBytes(skeleton));
        using var actual = JsonDocument.Parse(
            Tokenizer.LoadGpt2(Path.Combine(folder, "encoder.json"), Path.Combine(folder, "vocab.bpe")).ToJson());
        foreach (string section in (string[])["added_tokens", "normalizer", "pre_tokenizer", "post_processor"])
            Assert.True(JsonElement.DeepEquals(expected.RootElement.GetProperty(section), actual.RootElement.GetProperty(section)), section);
    }

    [Theory]
    [MemberData(nameof(Goldens))]
    public void A_tokenizer_written_and_read_again_encodes_alike(string folder)
    {
        var tokenizer = TokenizerFixtures.Load(folder);
        string written = Directory.CreateTempSubdirectory().FullName;
        try
        {
            tokenizer.SaveTo(written);
            if (File.Exists(Path.Combine(written, "vocab.json"))) // the files do not name their class
                File.WriteAllText(Path.Combine(written, "tokenizer_config.json"), """{"tokenizer_class": "BioGptTokenizer"}""");
            var again = Tokenizer.OpenFolder(written)!;
            Assert.Equal(tokenizer.VocabularySize, again.VocabularySize);
            foreach (var record in TokenizerFixtures.Records(folder, "goldens.jsonl"))
                Assert.Equal(record.Ints("ids"), again.Encode(record.GetProperty("text").GetString()!));
        }
        finally
        {
            Directory.Delete(written, recursive: true);
        }
    }

    [Theory]
    [MemberData(nameof(MosesWords))]
    public void Moses_words_are_those_of_the_reference(string folder)
    {
        var records = TokenizerFixtures.Records(folder, "goldens.jsonl");
        var wrong = new List<string>();
        foreach (var record in records)
        {
            string[] words = [.. new MosesPreTokenizer().Apply(new AlignedText(record.GetProperty("text").GetString()!)).Select(word => word.Text)];
            Compare(wrong, $"{record.GetProperty("id")} {record.GetProperty("tag")}", "words", record.Texts("moses_tokens"), words);
        }

        Report(wrong);
    }

    private static void CompareWithSpecial(
        List<string> wrong, string tag, JsonElement record, Tokenizer tokenizer, string text, int[] ids)
    {
        var encoding = tokenizer.EncodeWithOffsets(text, addSpecialTokens: true);
        int[] fast = tokenizer.Encode(text, addSpecialTokens: true);
        if (!record.TryGetProperty("with_special", out var expected))
        {
            Compare(wrong, tag, "ids with special", ids, encoding.Ids);
            Compare(wrong, tag, "fast ids with special", ids, fast);
            return;
        }

        if (!expected.TryGetProperty("ids", out _))
        {
            Compare(wrong, tag, "trimmed offsets", expected.Pairs("offsets"), encoding.Offsets);
            return;
        }

        CompareAll(wrong, tag, expected, encoding);
        Compare(wrong, tag, "fast ids with special", expected.Ints("ids"), fast);
        Compare(wrong, tag, "decoded with special", [expected.GetProperty("decoded").GetString()],
            [tokenizer.Decode(encoding.Ids, skipSpecialTokens: false)]);
    }

    private static void CompareAll(List<string> wrong, string tag, JsonElement expected, TokenEncoding encoding)
    {
        Compare(wrong, tag, "ids", expected.Ints("ids"), encoding.Ids);
        Compare(wrong, tag, "tokens", expected.Texts("tokens"), encoding.Tokens);
        Compare(wrong, tag, "offsets", expected.Pairs("offsets"), encoding.Offsets);
        Compare(wrong, tag, "type_ids", expected.Ints("type_ids"), encoding.TypeIds);
        Compare(wrong, tag, "attention_mask", expected.Ints("attention_mask"), [.. encoding.AttentionMask.Select(isAttended => isAttended ? 1 : 0)]);
        Compare(wrong, tag, "special_tokens_mask", expected.Ints("special_tokens_mask"),
            [.. encoding.SpecialTokensMask.Select(isSpecial => isSpecial ? 1 : 0)]);
        Compare(wrong, tag, "word_ids", expected.IntsOrNull("word_ids"), encoding.WordIds);
        Compare(wrong, tag, "sequence_ids", expected.IntsOrNull("sequence_ids"), encoding.SequenceIds);
    }

    private static void Compare<T>(List<string> wrong, string tag, string what, T[] expected, T[] actual)
    {
        if (!expected.AsSpan().SequenceEqual(actual))
            wrong.Add($"{tag}, {what}: expected {Show(expected)}, got {Show(actual)}");

        static string Show(T[] values) => JsonSerializer.Serialize(values.Take(60).Select(value => value?.ToString()));
    }

    private static void Report(List<string> wrong) =>
        Assert.True(wrong.Count == 0, $"{wrong.Count} differences\n{string.Join('\n', wrong.Take(12))}");
}
