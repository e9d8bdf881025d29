using System.Text.Json;
using Perenos.Runs;
using Perenos.Testing;
using Perenos.Text.Tokenization;
using Xunit;

namespace Perenos.Text.Tests.Tokenization;

public sealed class GgufTokenizerTests
{
    private static readonly string[] Texts =
        ["Once upon a time, there was 1 girl.", "  two  blanks", "naïve café 😀\n\ttab", "<s>x</s>", "<|endoftext|>", "", " ", "don't 2024 ▁"];

    public static TheoryData<string> Twins
    {
        get
        {
            string root = Path.Combine(Shared.Parity, "gguf");
            string[] folders = Directory.Exists(root)
                ? [.. Directory.EnumerateDirectories(root).Where(folder => File.Exists(Path.Combine(folder, "hf", "tokenizer.json")))
                    .Select(Path.GetFileName).Order(StringComparer.Ordinal)!]
                : [];
            return [.. folders.Length == 0 ? [TokenizerFixtures.None] : folders];
        }
    }

    [Theory]
    [MemberData(nameof(Twins))]
    public void The_metadata_of_a_model_give_the_tokenizer_of_its_twin(string folder)
    {
        string path = Shared.ParityOrSkip("gguf", folder, "hf", "tokenizer.json");
        using var json = JsonDocument.Parse(File.ReadAllBytes(path));
        Check(Tokenizer.Load(path), json.RootElement, "gpt-2", Texts);
    }

    [Fact]
    public void The_metadata_of_SmolLM2_give_its_tokenizer()
    {
        string path = Shared.SharedOrSkip("models", "smollm2-135m-instruct", "tokenizer.json");
        var texts = TokenizerFixtures.Records("smollm2", "goldens.jsonl").Select(record => record.GetProperty("text").GetString()!);
        using var json = JsonDocument.Parse(File.ReadAllBytes(path));
        Check(Tokenizer.Load(path), json.RootElement, "smollm", [.. texts]);
    }

    [Fact]
    public void Scores_alone_give_the_merges_of_a_SentencePiece_vocabulary()
    {
        // "ab" (score -1) joins before "bc" (-2); "abc" is made of ab + c.
        string[] tokens = ["<unk>", "<s>", "</s>", "a", "b", "c", "▁", "ab", "bc", "abc"];
        float[] scores = [0, 0, 0, -9, -9, -9, -9, -1, -2, -3];
        int[] types = [2, 3, 3, 1, 1, 1, 1, 1, 1, 1];
        var tokenizer = Tokenizer.FromGguf("llama", null, tokens, null, scores, types, 1, 2);
        Assert.Equal([6, 9], tokenizer.Encode("abc"));
        Assert.Equal([1, 6, 8, 0], tokenizer.Encode("bcx", addSpecialTokens: true));
        Assert.Equal("abc a", tokenizer.Decode(tokenizer.Encode("abc a")));
        Assert.True(tokenizer.IsSpecial(2));
    }

    [Fact]
    public void What_does_not_fit_together_is_refused_by_name()
    {
        Assert.Contains("pattern \"strange\"", Refused("gpt2", "strange", ["a"], [], null, [1]).Message, StringComparison.Ordinal);
        Assert.Contains("\"bert\"", Refused("bert", null, ["a"], [], null, [1]).Message, StringComparison.Ordinal);
        Assert.Contains("2 token types", Refused("gpt2", null, ["a"], [], null, [1, 1]).Message, StringComparison.Ordinal);
        Assert.Contains("merges", Refused("gpt2", null, ["a"], null, null, [1]).Message, StringComparison.Ordinal);
        Assert.Contains("0 scores", Refused("llama", null, ["a"], null, null, [1]).Message, StringComparison.Ordinal);
        Assert.Contains("Merge 0", Refused("gpt2", null, ["a"], ["aa"], null, [1]).Message, StringComparison.Ordinal);

        static PerenosException Refused(string model, string? pre, string[] tokens, string[]? merges, float[]? scores, int[] types) =>
            Assert.Throws<PerenosException>(() => Tokenizer.FromGguf(model, pre, tokens, merges, scores, types, null, null));
    }

    private static void Check(Tokenizer expected, JsonElement json, string pre, IReadOnlyList<string> texts)
    {
        var model = json.GetProperty("model");
        string?[] tokens = new string?[expected.VocabularySize];
        foreach (var token in model.GetProperty("vocab").EnumerateObject())
            tokens[token.Value.GetInt32()] = token.Name;
        int[] types = [.. tokens.Select(_ => 1)];
        foreach (var added in json.GetProperty("added_tokens").EnumerateArray())
            (tokens[added.GetProperty("id").GetInt32()], types[added.GetProperty("id").GetInt32()]) = (added.GetProperty("content").GetString(), 3);
        string[] merges = [.. model.GetProperty("merges").EnumerateArray().Select(merge => $"{merge[0]} {merge[1]}")];
        bool isSentencePiece = model.GetProperty("byte_fallback").GetBoolean();
        if (isSentencePiece)
            types[0] = 2;
        // The score of a SentencePiece token follows the order in which it was made.
        float[] scores = [.. tokens.Select((_, id) => -(float)id)];
        var actual = isSentencePiece
            ? Tokenizer.FromGguf("llama", null, tokens!, null, scores, types, 1, 2)
            : Tokenizer.FromGguf("gpt2", pre, tokens!, merges, null, types, 0, 0);
        Assert.Equal(expected.VocabularySize, actual.VocabularySize);
        Assert.NotEmpty(texts);
        foreach (string text in texts)
        {
            Assert.Equal(expected.Encode(text, addSpecialTokens: true), actual.Encode(text, addSpecialTokens: true));
            int[] ids = expected.Encode(text);
            Assert.Equal(expected.Decode(ids), actual.Decode(ids));
        }
    }
}
