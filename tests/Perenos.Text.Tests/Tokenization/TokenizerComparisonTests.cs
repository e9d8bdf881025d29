using Perenos.Text.Tokenization;
using Xunit;

namespace Perenos.Text.Tests.Tokenization;

public sealed class TokenizerComparisonTests
{
    [Fact]
    public void Fertility_and_words_are_counted_by_hand()
    {
        var bytes = BpeTrainer.Train([""], new BpeTrainerSettings { VocabularySize = 257 });
        var merged = BpeTrainer.Train(["abab abab"], new BpeTrainerSettings { VocabularySize = 259, MinimumFrequency = 1 }); // ab, abab
        var comparison = TokenizerComparison.Of(bytes, merged, ["abab abab", "xé"]);

        Assert.Equal((2, 12, 3), (comparison.Texts, comparison.Bytes, comparison.Words));
        Assert.Equal(new TokenizerFertility(12, 1, 4, 0), comparison.First);
        Assert.Equal(new TokenizerFertility(6, 2, 2, 0), comparison.Second);
        Assert.Equal([" abab", "abab"], comparison.Differences.Select(difference => difference.Word));
        Assert.All(comparison.Differences, difference => Assert.Equal(3, difference.Saved));
        Assert.Equal(["abab"], comparison.Differences[1].Second);
    }

    [Fact]
    public void More_tokens_are_found_as_they_are_written()
    {
        var tokenizer = BpeTrainer.Train([""], new BpeTrainerSettings { VocabularySize = 257 });
        var words = tokenizer.Extend(["cat"], areSpecial: true, areWholeWords: true);
        Assert.Equal(258, words.VocabularySize);
        Assert.Equal([257], words.Encode("cat"));
        Assert.Equal(6, words.Encode("concat").Length);
        Assert.Equal("", words.Decode([257]));
        Assert.Equal([257], Tokenizer.Parse(words.ToJson(), "t").Encode("cat"));
    }
}
