using System.Text.Json;
using Perenos.Runs;
using Perenos.Testing;
using Perenos.Text.Metrics;
using Xunit;

namespace Perenos.Text.Tests.Metrics;

public sealed class BootstrapTests
{
    [Fact]
    public void A_resampled_score_is_the_score_of_the_resampled_texts()
    {
        string[] references = ["the sky is grey today", "rain will fall near noon", "winds from the east", "a high of twelve"];
        string[] outputs = ["the sky is blue today", "rain will fall near noon", "wind of the east", "a high of twenty"];
        var options = new BootstrapOptions { Resamples = 5, Seed = 9 };
        var bleu = new Bleu();
        double[] scores = Bootstrap.Scores(bleu.Measure(outputs, references), options);
        for (int resample = 0; resample < scores.Length; resample++)
        {
            var random = new CounterRandom(9, (ulong)resample);
            int[] drawn = [.. Enumerable.Range(0, 4).Select(draw => random.Below(4, (ulong)draw))];
            double direct = bleu.Corpus([.. drawn.Select(index => outputs[index])], [.. drawn.Select(index => references[index])]).Score;
            Assert.Equal(direct, scores[resample]);
        }
    }

    [Fact]
    public void Resamples_are_numbered_so_more_of_them_begin_with_the_same_ones()
    {
        var statistics = SegmentStatistics.Mean([1, 2, 3, 4, 5, 6]);
        double[] few = Bootstrap.Scores(statistics, new BootstrapOptions { Resamples = 50 });
        double[] many = Bootstrap.Scores(statistics, new BootstrapOptions { Resamples = 200 });
        Assert.Equal(few, many.Take(50));
        Assert.NotEqual(few, Bootstrap.Scores(statistics, new BootstrapOptions { Resamples = 50, Seed = 1 }));
    }

    [Fact]
    public void The_generator_draws_every_segment_about_equally_often()
    {
        // 600,000 draws of 6: expected 100,000 each, standard deviation 289.
        int[] counts = new int[6];
        for (ulong stream = 0; stream < 1000; stream++)
        {
            var random = new CounterRandom(77, stream);
            for (ulong index = 0; index < 600; index++)
                counts[random.Below(6, index)]++;
        }

        Assert.All(counts, count => Assert.InRange(count, 98_500, 101_500));
    }

    [Fact]
    public void The_generator_gives_the_published_numbers_of_SplitMix64()
    {
        // SplitMix64 started at state 0 gives E220A8397B1DCDAF first (https://prng.di.unimi.it/splitmix64.c); our stream 0 of a seed
        // starts at mix(mix(seed + gamma)), so its first number is the finalizer applied three times with a gamma in between.
        const ulong gamma = 0x9E3779B97F4A7C15;
        static ulong Next(ulong state)
        {
            ulong z = unchecked(state + gamma);
            z = unchecked((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9);
            z = unchecked((z ^ (z >> 27)) * 0x94D049BB133111EB);
            return z ^ (z >> 31);
        }

        Assert.Equal(0xE220A8397B1DCDAFUL, Next(0));
        ulong key = Next(unchecked(Next(0) - gamma));
        Assert.Equal(Next(key), new CounterRandom(0, 0).Bits(0));
        Assert.Equal(Next(unchecked(key + gamma)), new CounterRandom(0, 0).Bits(1));
    }

    [Fact]
    public void The_weighted_mean_is_the_ratio_of_sums_and_not_the_mean_of_ratios()
    {
        // (10 + 1) / (5 + 1) = 11/6; the mean of the ratios would be 1.5.
        var statistics = SegmentStatistics.Ratio([10, 1], [5, 1]);
        Assert.Equal(11.0 / 6, statistics.Score, 1e-15);
        Assert.Contains(2.0, Bootstrap.Scores(statistics));
        Assert.Contains(1.0, Bootstrap.Scores(statistics));
    }

    [Fact]
    public void Equal_systems_differ_by_exactly_nothing_and_a_better_one_by_an_interval_above_zero()
    {
        double[] values = [.. Enumerable.Range(0, 200).Select(index => (double)(index % 7))];
        var first = SegmentStatistics.Mean(values);
        Assert.Equal(new ConfidenceInterval(0, 0, 0, 0.95), Bootstrap.Difference(first, first));

        var better = SegmentStatistics.Mean([.. values.Select((value, index) => value + (index % 3 == 0 ? 1 : 0.1))]);
        var difference = Bootstrap.Difference(first, better);
        Assert.True(difference.ExcludesZero);
        Assert.InRange(difference.Value, difference.Lower, difference.Upper);

        // Paired: much narrower than either system's own interval.
        var own = Bootstrap.Interval(first);
        Assert.True(difference.Upper - difference.Lower < 0.5 * (own.Upper - own.Lower));
    }

    [Fact]
    public void Mistakes_are_named()
    {
        Assert.Throws<PerenosException>(() => SegmentStatistics.Mean([]));
        Assert.Throws<PerenosException>(() => SegmentStatistics.Ratio([1], [0]));
        Assert.Throws<PerenosException>(() => SegmentStatistics.Ratio([double.NaN], [1]));
        Assert.Throws<PerenosException>(() => SegmentStatistics.Ratio([1, 2], [1]));
        Assert.Throws<PerenosException>(() => Bootstrap.Interval(SegmentStatistics.Mean([1]), new BootstrapOptions { Resamples = 0 }));
        Assert.Throws<PerenosException>(() => Bootstrap.Interval(SegmentStatistics.Mean([1]), new BootstrapOptions { Level = 1 }));
        Assert.Throws<PerenosException>(() => Bootstrap.Difference(SegmentStatistics.Mean([1]), SegmentStatistics.Mean([1, 2])));
    }

    [Fact]
    public void Percentile_intervals_lie_where_the_reference_puts_them()
    {
        using var cases = JsonDocument.Parse(File.ReadAllText(Shared.ParityOrSkip("statistics", "bootstrap_intervals.json")));
        var wrong = new List<string>();
        int judged = 0;
        foreach (var entry in cases.RootElement.EnumerateArray())
        {
            double[] values = MetricFixtures.Doubles(entry.GetProperty("x"));
            var statistics = entry.GetProperty("statistic").GetString() switch
            {
                "mean" => SegmentStatistics.Mean(values),
                "std" => new SegmentStatistics(
                    3, [.. values.SelectMany(value => new[] { 1, value, value * value })],
                    sums => Math.Sqrt((sums[2] - (sums[1] * sums[1] / sums[0])) / (sums[0] - 1)), "std"),
                _ => null, // a median is no function of sums
            };
            if (statistics is null)
                continue;
            judged++;
            Assert.Equal(entry.GetProperty("observed").GetDouble(), statistics.Score, 1e-12);
            var interval = Bootstrap.Interval(statistics, new BootstrapOptions { Resamples = 9999 });
            var percentile = entry.GetProperty("percentile");
            double[] centre = MetricFixtures.Doubles(percentile.GetProperty("mean_over_20_seeds"));
            double[] spread = MetricFixtures.Doubles(percentile.GetProperty("sd_over_20_seeds"));
            if (Math.Abs(interval.Lower - centre[0]) > (4 * spread[0]) + 1e-9 || Math.Abs(interval.Upper - centre[1]) > (4 * spread[1]) + 1e-9)
                wrong.Add($"{entry.GetProperty("name")}: [{centre[0]}, {centre[1]}] but [{interval.Lower}, {interval.Upper}]");
        }

        Assert.True(judged > 0);
        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
    }

    [Fact]
    public void Scores_and_p_values_from_cached_statistics_agree_with_the_reference()
    {
        using var file = JsonDocument.Parse(File.ReadAllText(Shared.ParityOrSkip("statistics", "significance.json")));
        var root = file.RootElement;
        int judged = 0;
        foreach (var metric in root.GetProperty("statistics").EnumerateObject())
        {
            ScoreOfSums? score = metric.Name switch
            {
                "BLEU" => sums => new Bleu().ScoreOf(sums).Score,
                "chrF2" => sums => new ChrF().ScoreOf(sums),
                "TER" => sums => 100 * sums[0] / sums[1],
                _ => null,
            };
            Assert.True(score is not null, $"unknown metric {metric.Name}");
            var systems = metric.Value.EnumerateObject().ToDictionary(
                system => system.Name,
                system =>
                {
                    double[][] rows = [.. system.Value.EnumerateArray().Select(MetricFixtures.Doubles)];
                    return new SegmentStatistics(rows[0].Length, [.. rows.SelectMany(row => row)], score, metric.Name);
                });
            foreach (var (name, system) in systems)
            {
                var results = root.GetProperty("results");
                double expected = results.GetProperty("paired_bootstrap").GetProperty("metrics").GetProperty(metric.Name)
                    .GetProperty(name).GetProperty("score").GetDouble();
                Assert.True(MetricFixtures.IsClose(expected, system.Score), $"{metric.Name} {name}: {expected} but {system.Score}");
                if (!root.GetProperty("monte_carlo").GetProperty(metric.Name).TryGetProperty(name, out var monteCarlo))
                    continue;
                judged++;
                double bootstrap = PairedTest.Bootstrap(systems["baseline"], system);
                double randomisation = PairedTest.Randomisation(systems["baseline"], system, 2000);
                CheckP($"{metric.Name} {name} bootstrap", monteCarlo.GetProperty("bootstrap"), bootstrap, 1000);
                CheckP($"{metric.Name} {name} randomisation", monteCarlo.GetProperty("randomisation"), randomisation, 2000);
            }
        }

        Assert.True(judged > 0);
    }

    [Fact]
    public void Bootstrap_means_and_half_widths_lie_where_forty_seeds_of_the_reference_lie()
    {
        using var file = JsonDocument.Parse(File.ReadAllText(Shared.ParityOrSkip("statistics", "significance.json")));
        var root = file.RootElement;
        var references = root.GetProperty("references").EnumerateArray().Select(text => text.GetString()!).ToList();
        foreach (var system in root.GetProperty("systems").EnumerateObject())
        {
            var outputs = system.Value.EnumerateArray().Select(text => text.GetString()!).ToList();
            foreach (var (metric, statistics) in new[]
            {
                ("BLEU", new Bleu().Measure(outputs, references)), ("chrF2", new ChrF().Measure(outputs, references)),
            })
            {
                double[] scores = Bootstrap.Scores(statistics);
                var expected = root.GetProperty("single_system_bootstrap_1000").GetProperty(metric).GetProperty(system.Name)
                    .GetProperty("over_40_other_seeds");
                double Expected(string key) => expected.GetProperty(key).GetDouble();
                Assert.InRange(scores.Average(), Expected("mean_of_means") - (4 * Expected("sd_of_means")), Expected("mean_of_means") + (4 * Expected("sd_of_means")));
                Array.Sort(scores);
                double halfWidth = 0.5 * (scores[^(1 + (scores.Length / 40))] - scores[scores.Length / 40]);
                Assert.InRange(halfWidth, Expected("mean_of_ci") - (4 * Expected("sd_of_ci")), Expected("mean_of_ci") + (4 * Expected("sd_of_ci")));
            }
        }
    }

    // Both p-values are Monte-Carlo estimates: ours from n samples of another generator, the reference from 60,000.
    private static void CheckP(string name, JsonElement expected, double p, int samples)
    {
        double large = expected.GetProperty("large_sample_p").GetDouble();
        double allowed = (4 * Math.Sqrt(large * (1 - large) / samples))
            + (4 * expected.GetProperty("standard_error_of_large_sample_p").GetDouble()) + (2.0 / (samples + 1));
        Assert.True(Math.Abs(p - large) <= allowed, $"{name}: {large} ± {allowed} but {p}");
    }
}
