using Perenos.Kernels;
using Xunit;

namespace Perenos.Tests.Kernels;

public sealed unsafe class ExponentialTests
{
    // 2 units of the last place.
    private const double Tolerance = 2.4e-7;

    [Fact]
    public void Every_width_is_within_two_units_of_the_last_place_and_alike()
    {
        float[] inputs = [.. Enumerable.Range(0, 174_080).Select(index => -87f + index * 0.001f)];
        float[] expected = Evaluate<Floats1>(inputs);
        for (int index = 0; index < inputs.Length; index++)
            Assert.InRange(Math.Abs(expected[index] / Math.Exp(inputs[index]) - 1), 0, Tolerance);
        Assert.Equal(expected, Evaluate<Floats128>(inputs));
        Assert.Equal(expected, Evaluate<Floats256>(inputs));
        Assert.Equal(expected, Evaluate<Floats512>(inputs));
    }

    [Fact]
    public void Extremes_vanish_or_stay_finite_and_nan_stays_nan()
    {
        float[] inputs = new float[16];
        (inputs[0], inputs[1], inputs[2], inputs[3]) = (float.NegativeInfinity, -1e30f, float.PositiveInfinity, float.NaN);
        foreach (float[] values in new[] { Evaluate<Floats1>(inputs), Evaluate<Floats128>(inputs), Evaluate<Floats256>(inputs), Evaluate<Floats512>(inputs) })
        {
            Assert.InRange(values[0], 0, 2e-38f);
            Assert.InRange(values[1], 0, 2e-38f);
            Assert.InRange(values[2], 1e38f, float.MaxValue);
            Assert.True(float.IsNaN(values[3]));
            Assert.Equal(1f, values[4]);
        }
    }

    private static float[] Evaluate<TFloats>(float[] inputs)
        where TFloats : struct, IFloats<TFloats>
    {
        float[] outputs = new float[inputs.Length];
        fixed (float* source = inputs, target = outputs)
        {
            for (int index = 0; index < inputs.Length; index += TFloats.Count)
                Exponential.Of(TFloats.Load(source + index)).Store(target + index);
        }

        return outputs;
    }
}
