using Perenos.Training;
using Xunit;

namespace Perenos.Tests.Training;

public sealed class SampledTimeTests
{
    private static readonly double[] Weights = [.. Enumerable.Range(1, 100).Select(weight => (double)weight)];

    [Fact]
    public void Time_that_grows_with_the_weight_is_found_whatever_is_sampled() =>
        Assert.Equal(3 * Weights.Sum(), SampledTime.Of(Weights, 4, piece => 3 * Weights[piece]), 9);

    [Fact]
    public void Fixed_costs_and_squares_are_found_within_some_per_cent()
    {
        double Cost(int piece) => 40 + Weights[piece] + Weights[piece] * Weights[piece] / 50;

        Assert.InRange(SampledTime.Of(Weights, 5, Cost) / Enumerable.Range(0, 100).Sum(Cost), 0.97, 1.03);
    }

    [Fact]
    public void Where_there_are_fewer_pieces_than_stretches_each_is_measured_once()
    {
        List<int> measured = [];
        double seconds = SampledTime.Of([5, 1, 3], 7, piece =>
        {
            measured.Add(piece);
            return 1 + piece;
        });

        Assert.Equal(6, seconds, 12);
        Assert.Equal([1, 2, 0], measured);
    }

    [Fact]
    public void A_stretch_is_measured_in_order_where_it_weighs_what_all_do()
    {
        List<int> measured = [];
        double seconds = SampledTime.OfStretch([1, 1, 8, 5, 6, 4, 9], 3, piece =>
        {
            measured.Add(piece);
            return new double[] { 0, 0, 0, 7, 8, 6, 0 }[piece];
        });

        Assert.Equal([3, 4, 5], measured);
        Assert.Equal((3 * 2 + 15) / 15.0 * 34, SampledTime.OfStretch([1, 1, 8, 5, 6, 4, 9], 3, piece => 2 + new double[] { 1, 1, 8, 5, 6, 4, 9 }[piece]), 9);
        Assert.Equal(21.0 / 15 * 34, seconds, 9);
    }

    [Fact]
    public void Of_fewer_pieces_all_are_measured() =>
        Assert.Equal(9, SampledTime.OfStretch([5, 1], 7, piece => 4 + piece), 12);

    [Fact]
    public void Nothing_takes_no_time()
    {
        Assert.Equal(0, SampledTime.Of([], 4, _ => throw new InvalidOperationException()));
        Assert.Equal(0, SampledTime.OfStretch([], 4, _ => throw new InvalidOperationException()));
    }
}
