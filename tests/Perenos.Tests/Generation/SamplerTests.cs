using Perenos.Generation;
using Perenos.Runs;
using Perenos.Runs.Config;
using Xunit;

namespace Perenos.Tests.Generation;

/// <summary>What may be drawn and how often, against closed forms on one known distribution.</summary>
public sealed class SamplerTests
{
    private const int Draws = 20_000;

    // Exceeded by chance once in a million at up to 7 degrees of freedom; the seeds are fixed, so it never varies.
    private const double ChiSquareBound = 40;

    // Not in order, so that a sampler that forgets to sort is found out. Thirty-seconds.
    private static readonly double[] Probabilities = [2 / 32.0, 12 / 32.0, 1 / 32.0, 8 / 32.0, 4 / 32.0, 5 / 32.0];

    public static TheoryData<string, double[]> ClosedForms => new()
    {
        { "all", [2, 12, 1, 8, 4, 5] },
        { "top_k 3", [0, 12, 0, 8, 0, 5] },
        { "top_k 1", [0, 1, 0, 0, 0, 0] },
        { "top_k 100", [2, 12, 1, 8, 4, 5] },
        // 12 + 8 = 20 of 32 are 0.625: enough for 0.6, not for 0.7.
        { "top_p 0.6", [0, 12, 0, 8, 0, 0] },
        { "top_p 0.7", [0, 12, 0, 8, 0, 5] },
        { "top_p 0.01", [0, 1, 0, 0, 0, 0] },
        // At least 0.35 · 12 = 4.2.
        { "min_p 0.35", [0, 12, 0, 8, 0, 5] },
        // top_p counts within the three that top_k leaves: 12 of 25 are not yet 0.5, 20 of 25 are.
        { "top_k 3, top_p 0.5", [0, 12, 0, 8, 0, 0] },
        { "temperature 0.5", [4, 144, 1, 64, 16, 25] },
        { "temperature 2", [Math.Sqrt(2), Math.Sqrt(12), 1, Math.Sqrt(8), 2, Math.Sqrt(5)] },
        // top_p looks at what temperature has made: 144 of 254 are 0.57.
        { "temperature 0.5, top_p 0.56", [0, 1, 0, 0, 0, 0] },
    };

    [Theory]
    [MemberData(nameof(ClosedForms))]
    public void Frequencies_are_those_of_the_closed_form(string options, double[] weights)
    {
        var counts = Count(Settings(options), step => (0, step));
        AssertFrequencies(weights, counts);
        // Rows instead of steps: as good a source of chance.
        AssertFrequencies(weights, Count(Settings(options), row => (row, 0)));
    }

    [Fact]
    public void Neighbouring_rows_and_steps_are_independent()
    {
        var sampler = new Sampler(Settings("all"));
        foreach (var (rowOfOther, stepOfOther) in new[] { (1, 0), (0, 1) })
        {
            // "Largest or not", twice: four cells.
            var cells = new double[4];
            for (int step = 0; step < Draws; step++)
                cells[(Choose(sampler, 0, 2 * step) == 1 ? 2 : 0) + (Choose(sampler, rowOfOther, 2 * step + stepOfOther) == 1 ? 1 : 0)]++;
            AssertFrequencies([20 * 20, 20 * 12, 12 * 20, 12 * 12], cells);
        }
    }

    [Fact]
    public void The_same_seed_draws_the_same_and_another_seed_something_else()
    {
        int[] Drawn(ulong seed)
        {
            var sampler = new Sampler(Settings("all") with { Seed = seed });
            return [.. Enumerable.Range(0, 100).Select(step => Choose(sampler, step % 3, step))];
        }

        Assert.Equal(Drawn(1), Drawn(1));
        Assert.NotEqual(Drawn(1), Drawn(2));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1e-30)]
    [InlineData(1e-4)]
    public void Towards_temperature_0_the_likeliest_is_taken(double temperature)
    {
        var sampler = new Sampler(new GenerationConfig { Temperature = temperature });
        for (int step = 0; step < 200; step++)
        {
            Assert.Equal(1, Choose(sampler, 0, step));
            Assert.Equal(2, sampler.Choose([-80, 79, 80, -90], [], 0, step));
        }
    }

    [Fact]
    public void Logits_far_from_0_are_drawn_like_those_near_it()
    {
        var sampler = new Sampler(Settings("all"));
        for (int step = 0; step < 200; step++)
        {
            // e^1000 is beyond float32.
            int drawn = sampler.Choose([1000, 1001, float.NegativeInfinity, 1000.5f], [], 0, step);
            Assert.Equal(sampler.Choose([0, 1, float.NegativeInfinity, 0.5f], [], 0, step), drawn);
            Assert.NotEqual(2, drawn);
        }
    }

    [Fact]
    public void A_tie_goes_to_the_first_token()
    {
        Assert.Equal(1, new Sampler(new GenerationConfig()).Choose([0, 2, 2, 1], [], 0, 0));
        Assert.Equal(1, new Sampler(new GenerationConfig { Temperature = 1, TopK = 1 }).Choose([0, 2, 2, 1], [], 0, 0));
    }

    [Fact]
    public void A_repetition_penalty_divides_positive_and_multiplies_negative_logits_once()
    {
        // Keskar et al. 2019, section 4.1: 3 / 2 = 1.5, −1 · 2 = −2, however often the token occurred.
        var greedy = new Sampler(new GenerationConfig { RepetitionPenalty = 2 });
        Assert.Equal(1, greedy.Choose([3, 1.6f, 0], [0, 0, 0], 0, 0));
        Assert.Equal(0, greedy.Choose([3, 1.4f, 0], [0, 0, 0], 0, 0));
        Assert.Equal(1, greedy.Choose([-1, -1.9f], [0], 0, 0));
        Assert.Equal(0, greedy.Choose([-1, -2.1f], [0], 0, 0));

        // e^{ln 12 / 2} and e^{−ln 4 · 2} against 1.
        var sampler = new Sampler(Settings("all") with { RepetitionPenalty = 2 });
        var counts = new double[3];
        for (int step = 0; step < Draws; step++)
            counts[sampler.Choose([(float)Math.Log(12), -(float)Math.Log(4), 0], [1, 0, 1], 0, step)]++;
        AssertFrequencies([Math.Sqrt(12), 1 / 16.0, 1], counts);
    }

    [Theory]
    [InlineData("temperature -1")]
    [InlineData("top_k -1")]
    [InlineData("top_p 0")]
    [InlineData("top_p 1.1")]
    [InlineData("min_p 1")]
    public void Settings_out_of_range_are_refused_by_name(string options)
    {
        var problem = Assert.Throws<PerenosException>(() => Settings(options).Checked());
        Assert.StartsWith(options.Split(' ')[0], problem.Message, StringComparison.Ordinal);
    }

    private static GenerationConfig Settings(string options)
    {
        var settings = new GenerationConfig { Temperature = 1, Seed = 11 };
        foreach (string option in options.Split(", ").Where(option => option != "all"))
        {
            double value = double.Parse(option.Split(' ')[1]);
            settings = option.Split(' ')[0] switch
            {
                "temperature" => settings with { Temperature = value },
                "top_k" => settings with { TopK = (int)value },
                "top_p" => settings with { TopP = value },
                "min_p" => settings with { MinP = value },
                _ => throw new ArgumentException(option, nameof(options)),
            };
        }

        return settings;
    }

    private static double[] Count(GenerationConfig settings, Func<int, (int Row, int Step)> place)
    {
        var sampler = new Sampler(settings);
        var counts = new double[Probabilities.Length];
        for (int draw = 0; draw < Draws; draw++)
            counts[Choose(sampler, place(draw).Row, place(draw).Step)]++;
        return counts;
    }

    private static int Choose(Sampler sampler, int row, int step) =>
        sampler.Choose([.. Probabilities.Select(probability => (float)Math.Log(probability))], [], row, step);

    private static void AssertFrequencies(double[] weights, double[] counts)
    {
        double chiSquare = 0;
        foreach (var (weight, count) in weights.Zip(counts))
        {
            double expected = weight / weights.Sum() * counts.Sum();
            if (weight == 0)
                Assert.Equal(0, count);
            else
                chiSquare += (count - expected) * (count - expected) / expected;
        }

        Assert.True(chiSquare < ChiSquareBound, $"χ² = {chiSquare:F1}: {string.Join(", ", counts)}");
    }
}
