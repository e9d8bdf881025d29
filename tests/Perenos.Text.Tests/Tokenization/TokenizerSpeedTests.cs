using System.Diagnostics;
using Perenos.Testing;
using Perenos.Text.Tokenization;
using Xunit;

namespace Perenos.Text.Tests.Tokenization;

/// <summary>Bounds that a slow machine still keeps; the figures themselves are written to the output.</summary>
public sealed class TokenizerSpeedTests
{
    private const int Short = 100_000, Megabyte = 1_000_000;

    // A quadratic road takes seconds for the short text already; the machine may be busy with something else.
    private const double MostGrowth = 3, Grace = 0.3;

    public static TheoryData<string> All => TokenizerFixtures.FoldersWith("goldens.jsonl");

    [Theory]
    [MemberData(nameof(All))]
    public void Twice_the_hostile_text_takes_no_more_than_three_times_as_long(string folder)
    {
        var tokenizer = TokenizerFixtures.Load(folder);
        foreach (var (name, unit) in Hostile)
            Grows(tokenizer, name, unit, Short);
    }

    [Theory]
    [Trait("speed", "slow")]
    [InlineData("smollm2")]
    [InlineData("gpt-neox")]
    [InlineData("qwen3")]
    public void Megabytes_of_hostile_text_encode_in_linear_time(string folder)
    {
        var tokenizer = TokenizerFixtures.Load(folder);
        foreach (var (name, unit) in Hostile)
            Grows(tokenizer, name, unit, Megabyte);
    }

    private static (string Name, string Unit)[] Hostile =>
    [
        ("one letter", "a"), ("one word", "abcdefgh"), ("blanks", " "), ("line feeds", "\n"), ("combining marks", "\u0301"), ("marks of two classes", "\u0301\u0323"), ("digits", "7"),
        ("dots", "."), ("apostrophes", "'"), ("ideographs", "\u4E00"), ("emoji", "\U0001F600"), ("beginnings of special tokens", "<|"), ("hyphens", "a-"),
    ];

    private static void Grows(Tokenizer tokenizer, string name, string unit, int length)
    {
        string shorter = string.Concat(Enumerable.Repeat(unit, length / unit.Length)), longer = shorter + shorter;
        double first = Seconds(tokenizer, shorter), second = Seconds(tokenizer, longer);
        for (int turn = 0; turn < 3 && second > MostGrowth * first + Grace; turn++)
            (first, second) = (Math.Max(first, Seconds(tokenizer, shorter)), Math.Min(second, Seconds(tokenizer, longer)));
        TestContext.Current.TestOutputHelper?.WriteLine($"{name}: {first:F3} s, twice as much {second:F3} s");
        Assert.True(second <= MostGrowth * first + Grace, $"{name}: {length:N0} units in {first:F2} s, twice as many in {second:F2} s");
    }

    private static double Seconds(Tokenizer tokenizer, string text)
    {
        var watch = Stopwatch.StartNew();
        tokenizer.Encode(text);
        return watch.Elapsed.TotalSeconds;
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
