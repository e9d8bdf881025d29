using System.Text;
using CsCheck;
using Perenos.Runs;
using Perenos.Text.Tokenization;
using Xunit;

namespace Perenos.Text.Tests.Tokenization;

public sealed class TokenizerFileTests
{
    private const string Model = """{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":[["a","b"]]}""";

    [Theory]
    [InlineData("", "not valid JSON")]
    [InlineData("[]", "an object was expected")]
    [InlineData("{}", "no \"model\"")]
    [InlineData("""{"model":{"type":"BPE","merges":[]}}""", "no vocabulary")]
    [InlineData("""{"model":{"type":"BPE"}}""", "$.model: \"vocab\" is missing")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":-1}}}""", "$.model.vocab: the id of \"a\"")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":99999999999}}}""", "the id of \"a\"")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]}}""", "$.model.merges: merge 0 holds a token")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"merges":["a"]}}""", "merge 0 must be two tokens")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"merges":[["a"]]}}""", "merge 0 is no pair")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"merges":[["a","a"]]}}""", "merge 0 makes a token")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"dropout":0.1}}""", "random")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"unk_token":"x"}}""", "unknown token \"x\"")]
    [InlineData("""{"model":{"type":"Magic","vocab":{"a":0}}}""", "the model \"Magic\" is not known")]
    [InlineData("""{"model":{"type":"Unigram","vocab":[["a"]]}}""", "$.model.vocab[0]")]
    [InlineData("""{"model":{"type":"Unigram","vocab":[["a",0]],"unk_id":1}}""", "unk_id 1")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"\ud800":0}}}""", "$.model.vocab")]
    [InlineData("""{"model":MODEL,"decoder":{"type":"\ud800"}}""", "$.decoder")]
    [InlineData("""{"model":MODEL,"decoder":{"\ud800":1}}""", "$.decoder")]
    [InlineData("""{"model":MODEL,"pre_tokenizer":{"type":"Magic"}}""", "$.pre_tokenizer: the pre-tokenizer \"Magic\" is not known")]
    [InlineData("""{"model":MODEL,"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split"}]}}""", "$.pre_tokenizer.pretokenizers[0]: \"pattern\"")]
    [InlineData("""{"model":MODEL,"pre_tokenizer":{"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated"}}""", "an open group")]
    [InlineData("""{"model":MODEL,"pre_tokenizer":{"type":"Split","pattern":{"Regex":"((a{1000}){1000}){1000}"},"behavior":"Isolated"}}""", "steps")]
    [InlineData("""{"model":MODEL,"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(a)\\1"},"behavior":"Isolated"}}""", "\\1")]
    [InlineData("""{"model":MODEL,"pre_tokenizer":{"type":"Split","pattern":{"String":"a"},"behavior":"Sideways"}}""", "no split behavior")]
    [InlineData("""{"model":MODEL,"normalizer":{"type":"Precompiled","precompiled_charsmap":"////////"}}""", "cut off")]
    [InlineData("""{"model":MODEL,"decoder":{"type":"Metaspace","replacement":""}}""", "one character")]
    [InlineData("""{"model":MODEL,"decoder":{"type":"Strip","content":" ","start":-1,"stop":0}}""", "$.decoder.start")]
    [InlineData("""{"model":MODEL,"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x","type_id":0}}],"pair":[],"special_tokens":{}}}""", "\"x\" is missing")]
    [InlineData("""{"model":MODEL,"added_tokens":[{"content":"x"}]}""", "$.added_tokens[0]: \"id\"")]
    public void A_malformed_file_is_refused_with_its_name_and_the_place(string json, string expected)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(json.Replace("MODEL", Model, StringComparison.Ordinal));
        var error = Assert.Throws<PerenosException>(() => Tokenizer.Parse(bytes, "my.json"));
        Assert.StartsWith("my.json, $", error.Message, StringComparison.Ordinal);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
        Assert.NotEmpty(error.Hint);
    }

    [Fact]
    public void Damaged_files_are_refused_or_work_but_never_crash()
    {
        byte[] whole = BpeTrainer.Train(["some text, 12 words; some more"], new BpeTrainerSettings { VocabularySize = 270 }).ToJson();
        Gen.Select(Gen.Int[0, whole.Length - 1], Gen.Byte, Gen.Bool).Sample(
            (at, value, cuts) =>
            {
                byte[] damaged = cuts ? whole[..at] : [.. whole];
                if (!cuts)
                    damaged[at] = value;
                try
                {
                    var tokenizer = Tokenizer.Parse(damaged, "damaged");
                    tokenizer.Decode(tokenizer.Encode("some text 12 é😀"));
                }
                catch (PerenosException)
                {
                }
            },
            iter: 200);
    }

    [Fact]
    public void A_gap_in_the_ids_costs_no_memory()
    {
        var tokenizer = Tokenizer.Parse("""{"model":{"vocab":{"a":0,"b":2000000000},"merges":[]}}"""u8, "gap");
        Assert.Equal(2_000_000_001, tokenizer.VocabularySize);
        Assert.Equal("b", tokenizer.TokenOf(2_000_000_000));
        Assert.Equal([2_000_000_000, 0], tokenizer.Encode("ba"));
    }

    [Fact]
    public void A_missing_file_is_a_mistake_of_the_user() =>
        Assert.Throws<PerenosException>(() => Tokenizer.Load(Path.Combine(Path.GetTempPath(), "no-such-tokenizer.json")));

    [Fact]
    public void A_saved_file_loads_and_leaves_no_temporary_one()
    {
        string folder = Directory.CreateTempSubdirectory().FullName;
        string path = Path.Combine(folder, "tokenizer.json");
        var tokenizer = Tokenizer.Parse(Encoding.UTF8.GetBytes("{\"model\":" + Model + "}"), "small");
        tokenizer.Save(path);
        Assert.Equal([path], Directory.GetFiles(folder));
        Assert.Equal([2, 0], Tokenizer.Load(path).Encode("aba"));
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public void Lone_surrogates_count_as_replacement_characters()
    {
        var tokenizer = BpeTrainer.Train(["text"], new BpeTrainerSettings { VocabularySize = 257 });
        Assert.Equal("a\uFFFDb", tokenizer.Decode(tokenizer.Encode("a\uD800b")));
        Assert.Equal(tokenizer.Encode("\uDC00"), tokenizer.EncodeWithOffsets("\uDC00").Ids);
    }
}
