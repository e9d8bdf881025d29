using System.Diagnostics;
using Perenos.Runs;
using Perenos.Testing;
using Perenos.Text.Tokenization;
using Xunit;

namespace Perenos.Text.Tests.Tokenization;

public sealed class BpeTrainerTests
{
    private static readonly string[] Texts =
    [
        "The wind blows from the west; the wind is strong.", "Le vent souffle de l'ouest ; le vent est fort.",
        "1234 and 56789 — naïve café 😀😀\r\n\tEnd", "",
    ];

    [Fact]
    public void Every_text_comes_back_from_its_ids()
    {
        var tokenizer = BpeTrainer.Train(Texts, new BpeTrainerSettings { VocabularySize = 300 });
        foreach (string text in Texts.Append("unseen \u0001 𝔘nicode \u00A0 中文 ~~"))
        {
            int[] ids = tokenizer.Encode(text);
            Assert.Equal(text, tokenizer.Decode(ids));
            Assert.Equal(ids, tokenizer.EncodeWithOffsets(text).Ids);
        }
    }

    [Fact]
    public void The_most_frequent_pair_is_merged_first_and_ties_go_to_the_smallest_ids()
    {
        // Words "abab" (3 times) and "cd" (5 times): ab occurs 6 times, cd 5, ba 3. Then abab and nothing else.
        string text = "abab\nabab\nabab" + string.Concat(Enumerable.Repeat("\ncd", 5));
        var tokenizer = BpeTrainer.Train([text], new BpeTrainerSettings { VocabularySize = 400, MinimumFrequency = 3 });
        Assert.Equal(["ab", "cd", "abab"], Enumerable.Range(257, tokenizer.VocabularySize - 257).Select(id => tokenizer.TokenOf(id)!));

        var tied = BpeTrainer.Train(["yz\nab"], new BpeTrainerSettings { VocabularySize = 258, MinimumFrequency = 1 });
        Assert.Equal("ab", tied.TokenOf(257));
    }

    [Fact]
    public void Digits_are_tokens_of_their_own()
    {
        var tokenizer = BpeTrainer.Train(Enumerable.Repeat("2024 2024", 50), new BpeTrainerSettings { VocabularySize = 300 });
        Assert.Equal(9, tokenizer.Encode("2024 2024").Length);
        var joined = BpeTrainer.Train(Enumerable.Repeat("2024 2024", 50), new BpeTrainerSettings { VocabularySize = 300, SplitDigits = false });
        Assert.Equal(2, joined.Encode("2024 2024").Length);
    }

    [Fact]
    public void The_same_texts_give_the_same_file_and_the_file_gives_the_same_tokenizer()
    {
        var settings = new BpeTrainerSettings { VocabularySize = 320, SpecialTokens = ["<|endoftext|>", "<|pad|>"] };
        var first = BpeTrainer.Train(Texts, settings);
        byte[] json = first.ToJson();
        Assert.Equal(json, BpeTrainer.Train(Texts, settings).ToJson());
        var again = Tokenizer.Parse(json, "again");
        Assert.Equal(json, again.ToJson());
        Assert.Equal(1, again.IdOf("<|pad|>"));
        Assert.True(again.IsSpecial(1));
        Assert.Equal(first.Encode("le vent<|pad|> 12"), again.Encode("le vent<|pad|> 12"));
    }

    [Fact]
    public void Several_threads_get_the_ids_that_one_gets()
    {
        var tokenizer = BpeTrainer.Train(Texts, new BpeTrainerSettings { VocabularySize = 300 });
        string[] many = [.. Enumerable.Range(0, 2000).Select(number => $"{Texts[number % 3]} w{number * 7919 % 1000}x")];
        int[][] expected = [.. many.Select(text => tokenizer.EncodeWithOffsets(text).Ids)]; // this way keeps no words
        int[][] actual = new int[many.Length][];
        Parallel.For(0, many.Length, number => actual[number] = tokenizer.Encode(many[number]));
        Assert.Equal(expected, actual);
    }

    [Fact]
    public void A_vocabulary_without_room_for_the_bytes_is_refused() =>
        Assert.Throws<PerenosException>(() => BpeTrainer.Train([], new BpeTrainerSettings { VocabularySize = 256 }));

    [Fact]
    [Trait("speed", "slow")]
    public void Forty_megabytes_train_in_well_under_a_minute()
    {
        string folder = Shared.SharedOrSkip("data", "text");
        string all = string.Concat(Directory.EnumerateFiles(folder, "*.txt").Order(StringComparer.Ordinal).Select(File.ReadAllText));
        Assert.NotEmpty(all);
        string[] texts = [.. Enumerable.Repeat(all, (40_000_000 / all.Length) + 1)];
        var watch = Stopwatch.StartNew();
        var tokenizer = BpeTrainer.Train(texts, new BpeTrainerSettings());
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{texts.Sum(text => (long)text.Length):N0} characters: {watch.Elapsed.TotalSeconds:F1} s, {tokenizer.VocabularySize} tokens");
        Assert.InRange(watch.Elapsed.TotalSeconds, 0, 60);
        string sample = all[..Math.Min(all.Length, 200_000)];
        Assert.Equal(sample, tokenizer.Decode(tokenizer.Encode(sample)));
    }
}
