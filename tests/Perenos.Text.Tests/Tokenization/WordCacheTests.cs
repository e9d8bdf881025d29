using System.Globalization;
using Perenos.Text.Tokenization;
using Xunit;

namespace Perenos.Text.Tests.Tokenization;

public sealed class WordCacheTests
{
    [Fact]
    public void A_word_kept_is_found_and_nothing_else_ever_is_however_many_follow()
    {
        var cache = new WordCache();
        int found = 0;
        for (int number = 0; number < 200_000; number++)
        {
            string word = Word(number);
            Assert.False(cache.TryFind(word, WordCache.Hash(word), out _));
            cache.Keep(word, WordCache.Hash(word), Ids(number));
            Assert.True(cache.TryFind(word, WordCache.Hash(word), out var ids));
            Assert.Equal(Ids(number), ids);
            string earlier = Word(number / 2);
            if (!cache.TryFind(earlier, WordCache.Hash(earlier), out ids))
                continue;
            found++;
            Assert.Equal(Ids(number / 2), ids);
        }

        Assert.InRange(found, 10_000, 190_000); // much was kept, and something was lost
    }

    [Fact]
    public void Words_of_one_hash_lose_each_other_but_are_never_confused()
    {
        var cache = new WordCache();
        for (int number = 0; number < 1000; number++)
            cache.Keep(Word(number), hash: 7, Ids(number));
        int found = 0;
        for (int number = 0; number < 1000; number++)
        {
            if (!cache.TryFind(Word(number), hash: 7, out var ids))
                continue;
            found++;
            Assert.Equal(Ids(number), ids);
        }

        Assert.InRange(found, 1, 8);
    }

    [Fact]
    public void Threads_that_share_a_tokenizer_get_what_the_way_without_a_cache_gives()
    {
        var tokenizer = TokenizerFixtures.Load("gpt2");
        string[] texts = [.. Enumerable.Range(0, 64).Select(part => string.Join(' ', Enumerable.Range(part * 100, 200).Select(Word)))];
        Parallel.ForEach(texts, new ParallelOptions { MaxDegreeOfParallelism = 8 }, text => Assert.Equal(tokenizer.EncodeWithOffsets(text).Ids, tokenizer.Encode(text)));
    }

    private static string Word(int number) => (number % 3 == 0 ? "é" : "w") + number.ToString("x", CultureInfo.InvariantCulture) + new string('z', number % 30);

    private static int[] Ids(int number) => [.. Enumerable.Range(number, number % 7)];
}
