using Perenos.Runs;
using Perenos.Text.Tokenization;
using Xunit;

namespace Perenos.Text.Tests.Tokenization;

/// <summary>Tokenizers of folders without a tokenizer.json.</summary>
public sealed class TokenizerFolderTests : IDisposable
{
    private const string Vocabulary = """{"a": 0, "b": 1, "ab": 2, "\u0120": 3, "</s>": 4, "<pad>": 5}""";

    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void A_folder_without_files_of_a_tokenizer_has_none() => Assert.Null(Tokenizer.OpenFolder(_folder));

    [Fact]
    public void Settings_beside_the_vocabulary_are_kept()
    {
        // As OPT's folder: a token before every text, and one for padding.
        Write("vocab.json", Vocabulary);
        Write("merges.txt", "#version: 0.2\na b\n");
        Write("tokenizer_config.json", """{"tokenizer_class": "GPT2Tokenizer", "bos_token": {"content": "</s>"}, "add_bos_token": true, "pad_token": "<pad>"}""");
        Write("special_tokens_map.json", """{"eos_token": "</s>", "additional_special_tokens": ["<new>"]}""");
        Write("added_tokens.json", """{"  ": 7}""");
        var tokenizer = Tokenizer.OpenFolder(_folder)!;
        Assert.Equal([4, 2, 3, 2], tokenizer.Encode("ab ab", addSpecialTokens: true));
        Assert.Equal([2, 5, 7, 2], tokenizer.Encode("ab<pad>  ab"));
        Assert.Equal(8, tokenizer.IdOf("<new>"));
        Assert.True(tokenizer.IsSpecial(4) && tokenizer.IsSpecial(5) && tokenizer.IsSpecial(8) && !tokenizer.IsSpecial(7));
    }

    [Fact]
    public void A_class_whose_word_pattern_is_not_in_the_files_is_refused_by_name()
    {
        Write("vocab.json", Vocabulary);
        Write("merges.txt", "a b\n");
        Write("tokenizer_config.json", """{"tokenizer_class": "CLIPTokenizer"}""");
        Assert.Contains("CLIPTokenizer", Assert.Throws<PerenosException>(() => Tokenizer.OpenFolder(_folder)).Message);
    }

    [Fact]
    public void BioGPT_is_the_same_from_its_own_files_and_from_the_hubs()
    {
        Write("dict.txt", "he@@ 9\nllo 8\n, 7\n@-@ 6\n");
        Write("bpecodes", "h e 9\nl l 8\nll o</w> 7\n@ - 6\n@- @</w> 5\n");
        var own = Tokenizer.OpenFolder(_folder)!;
        Assert.Equal([2, 4, 5, 6, 4, 5], own.Encode("hello, hello", addSpecialTokens: true));
        string hub = Directory.CreateDirectory(Path.Combine(_folder, "hub")).FullName;
        own.SaveTo(hub);
        File.WriteAllText(Path.Combine(hub, "tokenizer_config.json"), """{"tokenizer_class": "BioGptTokenizer"}""");
        var again = Tokenizer.OpenFolder(hub)!;
        Assert.Equal([4, 5, 7, 4, 5], again.Encode("hello-hello"));
        Assert.Equal("hello-hello", again.Decode([4, 5, 7, 4, 5]));
        Assert.Throws<PerenosException>(() => own.ToJson());
    }

    [Fact]
    public void BioGPT_streams_whole_words_and_in_the_end_all()
    {
        Write("dict.txt", "he@@ 9\nllo 8\n, 7\n@-@ 6\n");
        Write("bpecodes", "h e 9\nl l 8\nll o</w> 7\n@ - 6\n@- @</w> 5\n");
        var tokenizer = Tokenizer.OpenFolder(_folder)!;
        var stream = tokenizer.Stream();
        Assert.Equal(["", "", "hello", "", ",", "", ""], ((int[])[4, 5, 6, 4, 5, 7, 4]).Select(stream.Push));
        Assert.Equal("", stream.Push(5));
        Assert.Equal(" hello-hello", stream.Flush());
    }

    [Theory]
    [InlineData("a b c d\n", "line 1")]
    [InlineData("a b\nab\n", "line 2")]
    [InlineData("a x\n", "not in the vocabulary")]
    public void A_merge_that_is_none_is_named(string merges, string expected)
    {
        Write("vocab.json", Vocabulary);
        Write("merges.txt", merges);
        Assert.Contains(expected, Assert.Throws<PerenosException>(() => Tokenizer.OpenFolder(_folder)).Message);
    }

    private void Write(string name, string text) => File.WriteAllText(Path.Combine(_folder, name), text);
}
