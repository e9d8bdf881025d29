using CsCheck;
using Perenos.Runs;
using Perenos.Text.Tokenization;
using Xunit;

namespace Perenos.Text.Tests.Tokenization;

public sealed class RegexPatternTests
{
    private static readonly string[] Bits =
    [
        "a", "B", "é", "'", "s", "'s", "'RE", "'ſ", " ", "  ", "\n", "\r\n", "\t", "1", "12", "٣", "½", "-", "…", "😀", "𝔘", "𝟘", "中",
        "\u0301", "\u00A0", "_",
    ];

    private static readonly Gen<string> Texts =
        Gen.Int[0, Bits.Length - 1].Array[0, 24].Select(places => string.Concat(places.Select(place => Bits[place])));

    [Theory]
    [InlineData("a+?b", "aaab", "0-4")]
    [InlineData("a|ab", "abab", "0-1 2-3")]
    [InlineData("(?:ab)*c", "ababc", "0-5")]
    [InlineData("(a*)*b", "aab", "0-3")]
    [InlineData("(?>a+)ab", "aaab", "")]
    [InlineData("a++b", "aab", "0-3")]
    [InlineData("(?<=b)a", "aba", "2-3")]
    [InlineData("(?<!b)a", "aba", "0-1")]
    [InlineData("\\ba", "a ba a", "0-1 5-6")]
    [InlineData("^a$", "a\nab\na", "0-1 5-6")]
    [InlineData("[^\\p{L}]", "a😀b", "1-3")]
    [InlineData("\\p{L}+", "𝔘nd中-", "0-5")]
    [InlineData("[a-c&&[^b]]", "abc", "0-1 2-3")]
    [InlineData("(?i:k)", "kK\u212A", "0-1 1-2 2-3")]
    [InlineData("(?i)É", "éÉ", "0-1 1-2")]
    [InlineData("a{2,3}", "aaaaa", "0-3 3-5")]
    [InlineData("(ab){2}", "ababab", "0-4")]
    [InlineData("\\p{Han}+", "日本go", "0-2")]
    [InlineData("[[:alpha:]]+", "ab1", "0-2")]
    [InlineData("x*", "axb", "0-0 1-2 3-3")]
    [InlineData("\\x{1F600}|\\u00e9", "é😀", "0-1 1-3")]
    public void Expressions_match_as_they_should(string expression, string text, string expected)
    {
        var matches = new List<TextRange>();
        new RegexPattern(expression).FindMatches(text, matches);
        Assert.Equal(expected, string.Join(' ', matches.Select(match => $"{match.Start}-{match.End}")));
    }

    [Theory]
    [InlineData(Gpt2Words.Pattern)]
    [InlineData(Cl100kWords.ThreeDigits)]
    [InlineData(Cl100kWords.OneDigit)]
    public void The_scanners_by_hand_find_the_words_of_their_expressions(string expression)
    {
        var byHand = TilingPattern.For(expression)!;
        var compiled = new RegexPattern(expression);
        Texts.Sample(
            text =>
            {
                List<TextRange> expected = [], actual = [];
                compiled.FindMatches(text, expected);
                byHand.FindMatches(text, actual);
                return expected.SequenceEqual(actual);
            },
            iter: 3000);
    }

    [Fact]
    public void An_expression_that_would_take_for_ever_is_stopped()
    {
        var pattern = new RegexPattern("(?:a|a)*(?:a|a)*c");
        Assert.Throws<PerenosException>(() => pattern.FindMatches(new string('a', 64), []));
    }

    [Fact]
    public void A_long_text_cannot_overflow_the_stack()
    {
        var matches = new List<TextRange>();
        new RegexPattern("(?:ab|cd)+").FindMatches(string.Concat(Enumerable.Repeat("abcd", 50_000)), matches);
        Assert.Equal([new TextRange(0, 200_000)], matches);
    }
}
