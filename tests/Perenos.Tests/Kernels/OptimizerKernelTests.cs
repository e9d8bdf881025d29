using Perenos.Kernels;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Kernels;

/// <summary>The kernels beside AdamW's: one form in every width, the torch form, and numbers by hand.</summary>
public sealed class OptimizerKernelTests
{
    private static readonly AdamWStep Settings = new(3e-3, 0.9, 0.999, 1e-8, 0.1, 1, 1);

    private delegate void Stepper(Tensor weight, Tensor gradient, Tensor momentum);

    [Theory]
    [InlineData(1)]
    [InlineData(1031)]
    [InlineData(70_003)]
    public void Momentum_is_the_same_in_every_width_and_in_torch(int length)
    {
        using var scope = NewDisposeScope();
        var rule = new Halving();
        Stepper[] steppers =
        [
            (weight, gradient, momentum) => FusedMomentum.StepWithTorch(weight, gradient, momentum, rule, 0.5, null),
            (weight, gradient, momentum) => FusedMomentum.Step(weight, gradient, momentum, rule, 0.5, null),
            (weight, gradient, momentum) => FusedMomentum.StepAtWidth<Halving, Floats1>(weight, gradient, momentum, rule, 0.5, null),
            (weight, gradient, momentum) => FusedMomentum.StepAtWidth<Halving, Floats128>(weight, gradient, momentum, rule, 0.5, null),
            (weight, gradient, momentum) => FusedMomentum.StepAtWidth<Halving, Floats256>(weight, gradient, momentum, rule, 0.5, null),
            (weight, gradient, momentum) => FusedMomentum.StepAtWidth<Halving, Floats512>(weight, gradient, momentum, rule, 0.5, null),
        ];
        var results = steppers.Select(stepper => Train(length, stepper)).ToList();
        foreach (var result in results)
            Assert.True(result.equal(results[0]).all().item<bool>());
    }

    [Fact]
    public void Signs_are_minus_one_nought_and_one_in_every_width()
    {
        float[] values = [.. Enumerable.Range(0, 33).Select(index => index % 3 - 1f).Select(sign => sign * 1e-30f)];
        float[] expected = [.. values.Select(value => (float)Math.Sign(value))];
        Assert.Equal(expected, Signs<Floats1>(values));
        Assert.Equal(expected[..32], Signs<Floats128>(values)[..32]);
        Assert.Equal(expected[..32], Signs<Floats256>(values)[..32]);
        Assert.Equal(expected[..32], Signs<Floats512>(values)[..32]);
    }

    [Fact]
    public void Rounding_at_random_is_right_in_the_mean_and_the_same_in_every_width()
    {
        using var scope = NewDisposeScope();
        const int count = 40_003;
        // A third of the way between two neighbours of bfloat16 (1 and 1 + 2^-7).
        double value = 1 + Math.Pow(2, -7) / 3;
        Tensor Rounded<TFloats>(ulong seed)
            where TFloats : struct, IFloats<TFloats>
        {
            var weight = ones(count, ScalarType.BFloat16);
            // A first step of rate r moves by r · sign(g).
            FusedAdamW.StepAtWidth<TFloats>(weight, ones(count).neg(), zeros(count), zeros(count),
                Settings with { LearningRate = value - 1, WeightDecay = 0, Epsilon = 0, RoundingSeed = seed });
            return weight.to(ScalarType.Float32);
        }

        var expected = Rounded<Floats1>(seed: 5);
        // Standard error: 2^-7 · √(2/9 / 40003) = 1.8e-5.
        Assert.Equal(value, expected.mean().item<float>(), 8e-5);
        Assert.Equal(2, expected.unique().output.numel());
        Assert.True(Rounded<Floats128>(5).equal(expected).all().item<bool>());
        Assert.True(Rounded<Floats256>(5).equal(expected).all().item<bool>());
        Assert.True(Rounded<Floats512>(5).equal(expected).all().item<bool>());
        Assert.False(Rounded<Floats1>(6).equal(expected).all().item<bool>());

        var target = ones(count, ScalarType.BFloat16);
        RandomBits.StoreWithTorch(target, Perenos.Arithmetic.Filled([count], value, ScalarType.Float32), seed: 7);
        Assert.Equal(value, target.to(ScalarType.Float32).mean().item<float>(), 8e-5);
    }

    [Fact]
    public void Codes_have_256_numbers_and_the_nearest_is_found()
    {
        foreach (var (code, least) in new[] { (DynamicCode.Signed, -1f), (DynamicCode.Unsigned, 0f) })
        {
            float[] values = code.Values.ToArray();
            Assert.Equal(256, values.Distinct().Count());
            Assert.Equal(1, values[^1]);
            Assert.Equal(0, values[code.Zero]);
            for (int sample = -5000; sample <= 5000; sample++)
            {
                // Dense near 0, where the codes are.
                float value = MathF.CopySign(MathF.Pow(MathF.Abs(sample) / 5000f, 5), sample);
                if (value < least)
                    continue;
                float found = values[code.Nearest(value)];
                float nearest = values.MinBy(candidate => MathF.Abs(candidate - value));
                Assert.True(MathF.Abs(found - value) <= MathF.Abs(nearest - value) * (1 + 1e-6f), $"{value}: {found}, not {nearest}");
            }
        }
    }

    [Fact]
    public void Eight_bit_steps_stay_near_those_of_float32_and_are_the_same_in_every_width()
    {
        using var scope = NewDisposeScope();
        const int length = 70_003;
        Tensor Steps(Action<Tensor, Tensor, IReadOnlyList<Tensor>, AdamWStep> step)
        {
            using var generator = new Generator(7);
            var weight = randn(length, generator: generator);
            var state = FusedAdamW8Bit.Zeros(weight).Select(part => part.Tensor).ToList();
            for (int count = 1; count <= 20; count++)
            {
                using var gradient = randn(length, generator: generator);
                step(weight, gradient, state, Settings with { Step = count });
            }

            return weight;
        }

        var (first, second) = (zeros(length), zeros(length));
        var exact = Steps((weight, gradient, _, step) => FusedAdamW.Step(weight, gradient, first, second, step));
        var start = Steps((_, _, _, _) => { });
        var narrow = Steps((weight, gradient, state, step) => FusedAdamW8Bit.Step(weight, gradient, state, step, null));
        var (distance, path) = ((narrow - exact).norm().item<float>(), (exact - start).norm().item<float>());
        Assert.InRange(distance, 1e-6 * path, 0.05 * path);
        Assert.True(Steps((weight, gradient, state, step) => FusedAdamW8Bit.StepAtWidth<Floats1>(weight, gradient, state, step)).equal(narrow).all().item<bool>());
        Assert.True(Steps((weight, gradient, state, step) => FusedAdamW8Bit.StepAtWidth<Floats128>(weight, gradient, state, step)).equal(narrow).all().item<bool>());
        Assert.True(Steps((weight, gradient, state, step) => FusedAdamW8Bit.StepAtWidth<Floats256>(weight, gradient, state, step)).equal(narrow).all().item<bool>());
    }

    private static Tensor Train(int length, Stepper stepper)
    {
        using var generator = new Generator(7);
        var weight = randn(length, generator: generator);
        var momentum = zeros_like(weight);
        for (int step = 0; step < 5; step++)
        {
            using var gradient = randn(length, generator: generator);
            stepper(weight, gradient, momentum);
        }

        return cat([weight, momentum]);
    }

    private static unsafe float[] Signs<TFloats>(float[] values)
        where TFloats : struct, IFloats<TFloats>
    {
        var results = new float[values.Length];
        fixed (float* source = values, target = results)
        {
            for (int index = 0; index <= values.Length - TFloats.Count; index += TFloats.Count)
                TFloats.Sign(TFloats.Load(source + index)).Store(target + index);
        }

        return results;
    }

    // Powers of two throughout: torch and the kernel round alike.
    private readonly struct Halving : IMomentumRule
    {
        public TFloats Apply<TFloats>(TFloats weight, TFloats gradient, ref TFloats momentum)
            where TFloats : struct, IFloats<TFloats>
        {
            momentum = TFloats.Broadcast(0.5f) * momentum + gradient;
            return weight - TFloats.Broadcast(0.25f) * momentum;
        }

        public void ApplyWithTorch(Tensor weight, Tensor gradient, Tensor momentum)
        {
            momentum.Scale(0.5).Increase(gradient);
            weight.Increase(momentum, -0.25);
        }
    }
}
