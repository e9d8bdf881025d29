using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Recipes;

/// <summary>Compares what was written with what it was made from, and sums up the differences by type.</summary>
internal sealed class ReadBack
{
    // Share of the largest magnitude in a block by which a value may change; the constants of each type's grid, and a little for the
    // half precision of its scales. The last number is the block's length.
    private static readonly Dictionary<string, (double Share, int Block)> Grids = new()
    {
        ["F64"] = (0, 1),
        ["F32"] = (0, 1),
        ["F16"] = (Math.Pow(2, -11), 1),
        ["BF16"] = (Math.Pow(2, -8), 1),
        ["Q8_0"] = (0.5 / 127 + 0.0006, 32),
        ["Q5_0"] = (1.0 / 16 + 0.001, 32),
        ["Q4_0"] = (1.0 / 8 + 0.001, 32),
        ["Q4_1"] = (1.0 / 15 + 0.002, 32),
        // A search may let single values go farther than half a step.
        ["Q6_K"] = (0.08, 256),
        ["Q4_K"] = (0.2, 256),
    };

    // Steps below the smallest half-precision scale, 2^-24, times the largest integers of a block.
    private const double Underflow = 3e-4;

    private readonly Dictionary<string, (int Tensors, long Parameters, double Difference, double Square)> _sums = [];

    /// <summary>The sums, widest type first as they came.</summary>
    public IReadOnlyList<ConvertedType> Types =>
        [.. _sums.Select(sum => new ConvertedType(sum.Key, sum.Value.Tensors, sum.Value.Parameters, sum.Value.Square > 0 ? Math.Sqrt(sum.Value.Difference / sum.Value.Square) : 0))];

    /// <summary>Takes float32 tensors of one shape.</summary>
    /// <param name="name">The tensor, for messages.</param>
    /// <param name="type">How it is stored.</param>
    /// <param name="source">What it was made from.</param>
    /// <param name="written">What was read back.</param>
    /// <param name="slack">An absolute difference that is allowed besides, for a sum that float32 rounds.</param>
    /// <exception cref="PerenosException">A value changed by more than the type's grid explains.</exception>
    public void Compare(string name, string type, Tensor source, Tensor written, double slack = 0)
    {
        using var scope = NewDisposeScope();
        var (share, block) = Grids[type];
        var difference = source.sub(written).abs_();
        var magnitude = source.abs();
        double squares = Sum(source), differences = Sum(difference);
        var sum = _sums.GetValueOrDefault(type);
        _sums[type] = (sum.Tensors + 1, sum.Parameters + source.numel(), sum.Difference + differences, sum.Square + squares);
        if (block > 1)
            (difference, magnitude) = (difference.view(-1, block).amax([1]), magnitude.view(-1, block).amax([1]));
        var excess = difference.sub(magnitude.Times(share)).max().item<float>();
        if (!(excess <= (share > 0 ? Underflow : 0) + slack))
        {
            throw new PerenosException(
                $"{name} does not read back as it was: in {type}, a value changed by {excess:G3} more than the type explains.",
                "The weights are too large or too small for this type: use f32 or bf16.");
        }
    }

    private static double Sum(Tensor values) => values.square().sum(type: ScalarType.Float64).item<double>();
}
