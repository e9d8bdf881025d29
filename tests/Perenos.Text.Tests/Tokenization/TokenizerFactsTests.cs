using Perenos.Testing;
using Perenos.Text.Tokenization;
using Xunit;

namespace Perenos.Text.Tests.Tokenization;

public sealed class TokenizerFactsTests
{
    [Fact]
    public void A_byte_level_vocabulary_without_some_bytes_says_which()
    {
        byte[] json = BpeTrainer.Train(["ab"], new BpeTrainerSettings { VocabularySize = 257, MinimumFrequency = 1 }).ToJson();
        var whole = Tokenizer.Parse(json, "t").Facts();
        Assert.Equal("BPE, byte-level", whole.Kind);
        Assert.Empty(whole.MissingBytes!);
        Assert.Equal(257, whole.Entries);
        Assert.Equal([new AddedTokenFact(0, "<|endoftext|>", true)], whole.Added);

        var lacking = System.Text.Json.Nodes.JsonNode.Parse(json)!;
        lacking["model"]!["vocab"]!.AsObject().Remove("b");
        Assert.Equal([(byte)'b'], Tokenizer.Parse(System.Text.Encoding.UTF8.GetBytes(lacking.ToJsonString()), "t").Facts().MissingBytes!);
    }

    [Fact]
    public void SmolLM2_lacks_twenty_one_bytes_and_has_no_unknown_token()
    {
        var facts = Tokenizer.Load(Shared.SharedOrSkip("models", "smollm2-135m-instruct", "tokenizer.json")).Facts();
        Assert.Equal(21, facts.MissingBytes!.Count);
        Assert.Null(facts.UnknownToken);
        Assert.Equal(49152, facts.Entries);
        Assert.All(facts.MissingBytes, value => Assert.True(value is < 0x20 or > 0x7E));
    }

    [Theory]
    [InlineData("bpe-llama2", "BPE, byte fallback", "<unk>", true)]
    [InlineData("unigram-metaspace", "Unigram", "<unk>", false)]
    [InlineData("wordpiece-bert", "WordPiece", "[UNK]", false)]
    [InlineData("wordlevel", "WordLevel", "[UNK]", false)]
    public void Every_kind_is_named(string folder, string kind, string unknown, bool worksOnBytes)
    {
        var facts = Tokenizer.Load(Shared.ParityOrSkip("tokenizers", "machinery", folder, "tokenizer.json")).Facts();
        Assert.Equal(kind, facts.Kind);
        Assert.Equal(unknown, facts.UnknownToken);
        Assert.Equal(worksOnBytes, facts.MissingBytes is not null);
    }
}
