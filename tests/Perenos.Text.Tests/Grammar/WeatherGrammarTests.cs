using System.Text.RegularExpressions;
using Perenos.Text.Grammar;
using Xunit;

namespace Perenos.Text.Tests.Grammar;

public sealed partial class WeatherGrammarTests
{
    private static readonly Lazy<IReadOnlyList<SentencePair>> Many = new(() => WeatherGrammar.Sample(20_260_101, 2_000));

    [Fact]
    public void The_same_seed_gives_the_same_sentences_and_another_seed_gives_others()
    {
        var first = WeatherGrammar.Sample(7, 300);
        Assert.Equal(first, WeatherGrammar.Sample(7, 300));
        Assert.Equal(first.Take(100), WeatherGrammar.Sample(7, 100));
        Assert.True(first.Intersect(WeatherGrammar.Sample(8, 300)).Count() < 60);
    }

    [Fact]
    public void The_splits_share_no_sentence_even_without_numbers()
    {
        var split = WeatherGrammar.Split(11, 200, 40, 120);
        Assert.Equal((200, 40, 120), (split.Train.Count, split.Validation.Count, split.Test.Count));
        var all = split.Train.Concat(split.Validation).Concat(split.Test).ToList();
        Assert.Equal(360, all.Select(pair => Numbers().Replace(pair.English, "#")).Distinct().Count());
        Assert.Equal(360, all.Select(pair => pair.French).Distinct().Count());
    }

    [Fact]
    public void The_test_set_stays_when_the_number_of_training_pairs_changes() =>
        Assert.Equal(WeatherGrammar.Split(3, 80, 20, 50).Test, WeatherGrammar.Split(3, 400, 20, 50).Test);

    [Fact]
    public void English_and_French_determine_each_other()
    {
        Assert.Equal(Many.Value.Count, Many.Value.Select(pair => pair.English).Distinct().Count());
        Assert.Equal(Many.Value.Count, Many.Value.Select(pair => pair.French).Distinct().Count());
    }

    [Fact]
    public void A_sentence_met_again_has_the_same_translation()
    {
        var french = new Dictionary<string, string>();
        int met = 0;
        for (ulong seed = 0; seed < 3; seed++)
        {
            foreach (var pair in WeatherGrammar.Sample(seed, 1_000))
            {
                string english = Numbers().Replace(pair.English, "5");
                string translation = Numbers().Replace(pair.French, "5");
                if (french.TryGetValue(english, out string? known))
                {
                    Assert.Equal(known, translation);
                    met++;
                }

                french[english] = translation;
            }
        }

        Assert.True(met > 50, $"only {met} sentences were met again");
    }

    [Theory]
    [InlineData(@"\b[dD]e [aeiouâàéèêîôû]", "de before a vowel")]
    [InlineData(@"\b[dD]e les?\b|\b[àÀ] les?\b", "de or à not contracted")]
    [InlineData(@"\b([lL]e|[lL]a|[qQ]ue|[jJ]usque) [aeiouâàéèêîôûAEIOÉÎ]", "no elision")]
    [InlineData(@"\b[ld]'[^aeiouâàéèêîôûAEIOÉÎ]", "elision before a consonant")]
    [InlineData(@"[dD]e Le |[àÀ] Le ", "a city's article not contracted")]
    [InlineData(@"  | ,| \.|,,|\.\.", "spacing")]
    [InlineData(@"^[lL]es (?:(?!d'ici).)*? (?:sera|cessera|débutera|reviendra|diminuera|apparaîtra|persistera|est) ", "plural subject, singular verb")]
    [InlineData(@"^[lL](?:e |a |').*(?:eront|iront|ont|aîtront) ", "singular subject, plural verb")]
    [InlineData(@"\b(?:pluie|neige|bruine|grêle)(?: \w+ée| \w+ante)? (?:abondant|persistant|soudain|intermittent)\b", "feminine noun, masculine adjective")]
    [InlineData(@"\borages (?:éparse|isolée|fréquente|soudaine)", "masculine noun, feminine adjective")]
    [InlineData(@"\baverses(?: de neige| orageuses)? (?:épars|isolés?|fréquents?|faible|abondants?)\b", "averses do not agree")]
    public void French_sentences_break_no_rule(string pattern, string rule)
    {
        var broken = new Regex(pattern);
        var clauses = Many.Value.SelectMany(pair => Join().Split(pair.French));
        var offenders = clauses.Where(clause => broken.IsMatch(clause)).Take(5).ToList();
        Assert.True(offenders.Count == 0, $"{rule}: {string.Join(" / ", offenders)}");
    }

    [Fact]
    public void Rules_of_contraction_elision_and_agreement_are_met_in_the_sample()
    {
        string french = string.Join('\n', Many.Value.Select(pair => pair.French));
        string[] examples =
        [
            "cet après-midi", "d'averses", "d'orages", "de la neige", "des orages", "du grésil", "au Havre", "du Havre",
            "d'Ottawa", "de Halifax", "de l'est ", "du nord ", "en Ontario", "au Manitoba", "dans les Alpes",
            "averses éparses", "orages épars", "pluie verglaçante", "neige abondante", "averses abondantes",
        ];
        Assert.All(examples, example => Assert.Contains(example, french, StringComparison.Ordinal));
    }

    [Fact]
    public void Every_sentence_begins_with_a_capital_ends_with_a_full_stop_and_has_5_to_20_English_words()
    {
        Assert.All(Many.Value, pair =>
        {
            Assert.Matches(@"^[\p{Lu}0-9][^.]*\.$", pair.English);
            Assert.Matches(@"^[\p{Lu}0-9][^.]*\.$", pair.French);
            Assert.InRange(pair.English.Split(' ').Length, 5, 20);
        });
    }

    [Fact]
    public void Both_sides_have_the_same_numbers_in_the_same_order() =>
        Assert.All(Many.Value, pair => Assert.Equal(
            Numbers().Matches(pair.English).Select(match => match.Value),
            Numbers().Matches(pair.French).Select(match => match.Value)));

    [Fact]
    public void The_language_is_rich_enough_to_learn_from_and_to_be_examined_in()
    {
        Assert.InRange(Words(Many.Value, pair => pair.English).Count, 60, 110);
        Assert.InRange(Words(Many.Value, pair => pair.French).Count, 60, 120);
        var split = WeatherGrammar.Split(1, 200, 0, 120);

        // Most words of the test are taught by 200 pairs, most of their combinations are not.
        var taught = Words(split.Train, pair => pair.English);
        var asked = split.Test.SelectMany(pair => WordsOf(pair.English)).ToList();
        Assert.InRange(asked.Count(word => !taught.Contains(word)) / (double)asked.Count, 0, 0.01);
        var taughtFours = split.Train.SelectMany(pair => Fours(pair.English)).ToHashSet();
        Assert.True(split.Test.Count(pair => Fours(pair.English).Any(four => !taughtFours.Contains(four))) > 60);
    }

    [Fact]
    public void Draws_hardly_repeat_so_the_space_is_above_ten_thousand()
    {
        // Birthday bound: n draws with r repeats from N equally likely sentences have N ≈ n² / 2r; unequal likelihood only raises N.
        var seen = new HashSet<string>();
        int draws = 0, repeats = 0;
        for (ulong seed = 100; seed < 104; seed++)
        {
            foreach (var pair in WeatherGrammar.Sample(seed, 1_000))
            {
                draws++;
                if (!seen.Add(pair.English))
                    repeats++;
            }
        }

        Assert.True((double)draws * draws / (2.0 * Math.Max(1, repeats)) > 1e4, $"{repeats} repeats in {draws}");
    }

    [Fact]
    public void Asking_for_a_negative_count_is_refused() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => WeatherGrammar.Sample(1, -1));

    private static HashSet<string> Words(IEnumerable<SentencePair> pairs, Func<SentencePair, string> side) =>
        pairs.SelectMany(pair => WordsOf(side(pair))).ToHashSet();

    private static IEnumerable<string> WordsOf(string sentence) =>
        Word().Matches(sentence).Select(match => match.Value.ToLowerInvariant());

    private static IEnumerable<string> Fours(string sentence)
    {
        string[] words = [.. WordsOf(sentence)];
        return Enumerable.Range(0, Math.Max(0, words.Length - 3)).Select(start => string.Join(' ', words[start..(start + 4)]));
    }

    [GeneratedRegex("(?:, et |, mais | tandis que | tandis qu')")]
    private static partial Regex Join();

    [GeneratedRegex("[0-9]+")]
    private static partial Regex Numbers();

    [GeneratedRegex(@"[\p{L}][\p{L}/-]*'?")]
    private static partial Regex Word();
}
