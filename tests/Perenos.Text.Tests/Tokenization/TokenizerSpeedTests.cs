using System.Diagnostics;
using Perenos.Testing;
using Perenos.Text.Tokenization;
using Xunit;

namespace Perenos.Text.Tests.Tokenization;

/// <summary>Bounds that a slow machine still keeps; the figures themselves are written to the output.</summary>
public sealed class TokenizerSpeedTests
{
    [Fact]
    public void A_word_of_a_quarter_megabyte_takes_no_quadratic_time()
    {
        var tokenizer = BpeTrainer.Train(["aaaa aaaaaaaa abab"], new BpeTrainerSettings { VocabularySize = 270, MinimumFrequency = 1 });
        string word = new('a', 250_000);
        var watch = Stopwatch.StartNew();
        int[] ids = tokenizer.Encode(word);
        Report("one word", word.Length, watch);
        Assert.Equal(word, tokenizer.Decode(ids));
        Assert.InRange(watch.Elapsed.TotalSeconds, 0, 30);
    }

    [Theory]
    [Trait("speed", "slow")]
    [InlineData("smollm2", "models/smollm2-135m-instruct/tokenizer.json")]
    [InlineData("gpt-neox", "tokenizers/gpt-neox/tokenizer.json")]
    [InlineData("qwen3", "tokenizers/qwen3/tokenizer.json")]
    public void Megabytes_of_text_encode_in_seconds(string name, string path)
    {
        byte[] json = File.ReadAllBytes(Shared.SharedOrSkip(path));
        string text = File.ReadAllText(Shared.SharedOrSkip("data", "text", "wikipedia_30.txt"));
        Tokenizer? tokenizer = null;
        for (int round = 0; round < 3; round++)
        {
            var watch = Stopwatch.StartNew();
            tokenizer = Tokenizer.Parse(json, name);
            Report($"{name}: load", json.Length, watch);
        }

        for (int round = 0; round < 5; round++)
        {
            var watch = Stopwatch.StartNew();
            int[] ids = tokenizer!.Encode(text);
            Report($"{name}: encode to {ids.Length} ids", text.Length, watch);
            watch.Restart();
            string back = tokenizer.Decode(ids);
            Report($"{name}: decode", text.Length, watch);
            if (round == 4)
            {
                watch.Restart();
                Assert.Equal(ids, tokenizer.EncodeWithOffsets(text).Ids);
                Report($"{name}: encode with offsets", text.Length, watch);
                Assert.InRange(back.Length, text.Length / 2, text.Length);
            }
        }
    }

    private static void Report(string what, int size, Stopwatch watch) => TestContext.Current.TestOutputHelper?.WriteLine(
        $"{what}: {watch.Elapsed.TotalMilliseconds:F0} ms, {size / 1e6 / watch.Elapsed.TotalSeconds:F1} MB/s");
}
