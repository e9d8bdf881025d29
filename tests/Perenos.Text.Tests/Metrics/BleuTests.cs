using Perenos.Runs;
using Perenos.Text.Metrics;
using Xunit;

namespace Perenos.Text.Tests.Metrics;

public sealed class BleuTests
{
    [Fact]
    public void A_case_by_hand()
    {
        // the cat sat on the mat | the cat sat on a mat: precisions 5/6, 3/5, 2/4, 1/3; equal length, so no penalty.
        var score = new Bleu().Corpus(["the cat sat on the mat"], ["the cat sat on a mat"]);
        Assert.Equal(100 * Math.Pow(5.0 / 6 * 3 / 5 * 2 / 4 * 1 / 3, 0.25), score.Score, 1e-10);
        Assert.Equal([5, 3, 2, 1], score.Counts);
        Assert.Equal([6, 5, 4, 3], score.Totals);
    }

    [Fact]
    public void Output_that_is_too_short_is_punished_by_the_exponential_of_the_missing_share()
    {
        // 4 of 6 tokens, all in order: every precision 1, penalty exp(1 - 6/4).
        var score = new Bleu().Corpus(["a b c d"], ["a b c d e f"]);
        Assert.Equal(100 * Math.Exp(-0.5), score.Score, 1e-10);
    }

    [Fact]
    public void A_repeated_word_counts_only_as_often_as_some_reference_has_it()
    {
        var score = new Bleu(new BleuOptions { MaxOrder = 1 }).Corpus(["the the the the"], [["the cat", "the cat and the dog"]]);
        Assert.Equal([2], score.Counts);
    }

    [Fact]
    public void Of_two_equally_close_references_the_shorter_gives_the_length() =>
        Assert.Equal(2, new Bleu().Sentence("a b c", "a b c d", "a b").ReferenceLength);

    [Fact]
    public void A_perfect_short_sentence_scores_nothing_unless_the_order_is_effective()
    {
        Assert.Equal(0, new Bleu().Sentence("so it is", "so it is").Score);
        Assert.Equal(100, new Bleu(new BleuOptions { EffectiveOrder = true }).Sentence("so it is", "so it is").Score, 1e-9);
    }

    [Fact]
    public void The_signature_names_the_choices() =>
        Assert.StartsWith(
            "nrefs:2|case:lc|eff:yes|tok:intl|smooth:floor[0.05]|version:perenos-",
            new Bleu(new BleuOptions
            {
                Lowercase = true,
                EffectiveOrder = true,
                Tokenization = BleuTokenization.International,
                Smoothing = BleuSmoothing.Floor,
                SmoothingValue = 0.05,
            }).Measure(["a"], [["a", "b"]]).Signature,
            StringComparison.Ordinal);

    [Theory]
    [InlineData("It costs 3.5%, &quot;net&quot;.", "It costs 3.5 % , \" net \" .")]
    [InlineData("a-\nb 5-6 x-y", "ab 5 - 6 x-y")]
    [InlineData("&amp;lt; <skipped>", "<")]
    [InlineData("l'été, c'est fini!", "l'été , c'est fini !")]
    public void Tokenization_13a_follows_its_rules(string text, string expected) =>
        Assert.Equal(expected.Split(' '), BleuTokenizer.Tokenize(text, BleuTokenization.Wmt13a));

    [Theory]
    [InlineData("ΟΔΥΣΣΕΥΣ ΣΑΣ", "οδυσσευς σας")]
    [InlineData("İstanbul", "i\u0307stanbul")]
    [InlineData("𐐀", "𐐨")]
    public void Lower_casing_is_the_full_Unicode_form(string text, string expected) => Assert.Equal(expected, MetricText.Lower(text));

    [Theory]
    [InlineData(0.125, 2, "0.12")]
    [InlineData(0.375, 2, "0.38")]
    [InlineData(2.5, 0, "2")]
    [InlineData(56.25, 1, "56.2")]
    [InlineData(0.15, 1, "0.1")]
    [InlineData(99.96, 1, "100.0")]
    public void Decimals_are_printed_as_C_prints_them(double value, int decimals, string expected) =>
        Assert.Equal(expected, MetricText.Fixed(value, decimals));

    [Fact]
    public void Mistakes_are_named()
    {
        Assert.Throws<PerenosException>(() => new Bleu().Corpus([], Array.Empty<string>()));
        Assert.Throws<PerenosException>(() => new Bleu().Corpus(["a"], ["a", "b"]));
        Assert.Throws<PerenosException>(() => new Bleu().Corpus(["a"], [Array.Empty<string>()]));
        Assert.Throws<PerenosException>(() => new Bleu(new BleuOptions { MaxOrder = 0 }));
        Assert.Throws<PerenosException>(() => new ChrF(new ChrFOptions { Beta = 0 }));
    }

    [Fact]
    public void Chrf_by_hand()
    {
        // ab | ac with characters up to 2: unigrams 1 of 2, bigrams 0 of 1; mean precision = mean recall = 1/4 = F.
        Assert.Equal(25, new ChrF(new ChrFOptions { CharacterOrder = 2 }).Sentence("ab", "ac"), 1e-10);
        Assert.Equal(100, new ChrF().Sentence("a cloudy day", "a cloudy day"), 1e-10);
    }

    [Fact]
    public void Exact_match_says_what_it_leaves_out()
    {
        string[] outputs = ["rain ", "Snow", "fog"];
        string[] references = ["rain", "snow", "fog"];
        Assert.Equal(2.0 / 3, ExactMatch.Measure(outputs, references).Score, 1e-15);
        Assert.Equal(1.0 / 3, ExactMatch.Measure(outputs, references, ExactMatchNormalization.None).Score, 1e-15);
        Assert.StartsWith("exact_match|nrefs:1|norm:trimmed|", ExactMatch.Measure(outputs, references).Signature, StringComparison.Ordinal);
    }
}
