using System.Runtime.CompilerServices;
using static TorchSharp.torch;

namespace Perenos.Kernels;

/// <summary>What one AdamW step needs besides the tensors.</summary>
/// <param name="LearningRate">Rate of this step, after the schedule.</param>
/// <param name="Beta1">Decay of the mean of gradients.</param>
/// <param name="Beta2">Decay of the mean of squared gradients.</param>
/// <param name="Epsilon">Added to the root of the second moment.</param>
/// <param name="WeightDecay">Decoupled decay; the step shrinks the parameter by rate · decay.</param>
/// <param name="Step">Counts from 1.</param>
/// <param name="GradientScale">Multiplies the gradient first: clipping, and one over the number of targets.</param>
public readonly record struct AdamWStep(
    double LearningRate, double Beta1, double Beta2, double Epsilon, double WeightDecay, long Step, double GradientScale)
{
    /// <summary>Seed of stochastic rounding, where the parameter itself is held in bfloat16.</summary>
    public ulong RoundingSeed { get; init; }
}

/// <summary>
/// AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101) in one pass over parameter, gradient and both moments.
/// Element by element, so neither the thread count nor the register width changes a bit of the result.
/// </summary>
public static unsafe class FusedAdamW
{
    // 64 Ki elements: 1 MB of the four tensors, enough to pay for handing it to a thread.
    private const long Chunk = 1 << 16;

    /// <summary>
    /// Updates parameter and moments in place. Contiguous float32 on the CPU (the gradient may be bfloat16) takes the fused
    /// kernel, anything else <see cref="StepWithTorch"/>.
    /// </summary>
    /// <param name="parameter">
    /// Float32 weights (the master copy, where <paramref name="computeCopy"/> is given), or bfloat16 weights, which are rounded at
    /// random so that steps smaller than their spacing add up.
    /// </param>
    /// <param name="gradient">Same shape; left as it is.</param>
    /// <param name="firstMoment">Mean of gradients, same shape and type as the parameter.</param>
    /// <param name="secondMoment">Mean of squared gradients, likewise.</param>
    /// <param name="step">Rates and counters.</param>
    /// <param name="computeCopy">Optional bfloat16 weights that compute: they become the parameter, rounded to nearest even.</param>
    /// <exception cref="ArgumentException">Shapes differ.</exception>
    public static void Step(
        Tensor parameter, Tensor gradient, Tensor firstMoment, Tensor secondMoment, in AdamWStep step, Tensor? computeCopy = null)
    {
        CheckShapes(parameter, gradient, firstMoment, secondMoment, computeCopy);
        bool fused = (TensorMemory.IsPlain(parameter, ScalarType.Float32) || TensorMemory.IsPlain(parameter, ScalarType.BFloat16))
            && (TensorMemory.IsPlain(gradient, ScalarType.Float32) || TensorMemory.IsPlain(gradient, ScalarType.BFloat16))
            && TensorMemory.IsPlain(firstMoment, ScalarType.Float32)
            && TensorMemory.IsPlain(secondMoment, ScalarType.Float32)
            && (computeCopy is null || TensorMemory.IsPlain(computeCopy, ScalarType.BFloat16));
        if (fused)
            Ranges.Run(new Kernel(parameter, gradient, firstMoment, secondMoment, step, computeCopy), parameter.NumberOfElements, Chunk);
        else
            StepWithTorch(parameter, gradient, firstMoment, secondMoment, step, computeCopy);
        GC.KeepAlive((parameter, gradient, firstMoment, secondMoment, computeCopy));
    }

    /// <summary>The kernel in one register width, whatever the processor has.</summary>
    internal static void StepAtWidth<TFloats>(
        Tensor parameter, Tensor gradient, Tensor firstMoment, Tensor secondMoment, in AdamWStep step, Tensor? computeCopy = null)
        where TFloats : struct, IFloats<TFloats>
    {
        Ranges.Run<Kernel, TFloats>(
            new Kernel(parameter, gradient, firstMoment, secondMoment, step, computeCopy), parameter.NumberOfElements, Chunk);
        GC.KeepAlive((parameter, gradient, firstMoment, secondMoment, computeCopy));
    }

    /// <summary>The same step in separate torch operations: any device, type and layout.</summary>
    public static void StepWithTorch(
        Tensor parameter, Tensor gradient, Tensor firstMoment, Tensor secondMoment, in AdamWStep step, Tensor? computeCopy = null)
    {
        using var scope = NewDisposeScope();
        using var noGraph = no_grad();
        var scaled = gradient.to(firstMoment.dtype).Times(step.GradientScale);
        firstMoment.Scale(step.Beta1).Increase(scaled, weight: 1 - step.Beta1);
        secondMoment.Scale(step.Beta2).Increase(scaled.square(), weight: 1 - step.Beta2);
        var denominator = secondMoment.sqrt().Times(1 / Math.Sqrt(1 - Math.Pow(step.Beta2, step.Step))).Increase(step.Epsilon);
        var moved = parameter.to(firstMoment.dtype).Times(1 - step.LearningRate * step.WeightDecay)
            .Increase(firstMoment.div(denominator), weight: -step.LearningRate / (1 - Math.Pow(step.Beta1, step.Step)));
        if (parameter.dtype == ScalarType.BFloat16)
            RandomBits.StoreWithTorch(parameter, moved, step.RoundingSeed);
        else
            parameter.copy_(moved);
        computeCopy?.copy_(moved);
    }

    private static void CheckShapes(Tensor parameter, params ReadOnlySpan<Tensor?> others)
    {
        foreach (var other in others)
        {
            if (other is not null && !other.shape.AsSpan().SequenceEqual(parameter.shape))
                throw new ArgumentException($"A parameter of shape ({string.Join(", ", parameter.shape)}) met a gradient, moment or copy of shape ({string.Join(", ", other.shape)}).");
        }
    }

    private readonly struct Kernel : IRangeKernel
    {
        private readonly float* _parameter, _gradient, _first, _second;
        private readonly ushort* _halfParameter, _halfGradient, _copy;
        private readonly AdamWFormula _formula;
        private readonly uint _seed;

        internal Kernel(Tensor parameter, Tensor gradient, Tensor first, Tensor second, in AdamWStep step, Tensor? copy)
        {
            if (parameter.dtype == ScalarType.BFloat16)
                _halfParameter = (ushort*)TensorMemory.Address(parameter);
            else
                _parameter = (float*)TensorMemory.Address(parameter);
            if (gradient.dtype == ScalarType.BFloat16)
                _halfGradient = (ushort*)TensorMemory.Address(gradient);
            else
                _gradient = (float*)TensorMemory.Address(gradient);
            _first = (float*)TensorMemory.Address(first);
            _second = (float*)TensorMemory.Address(second);
            _copy = copy is null ? null : (ushort*)TensorMemory.Address(copy);
            _formula = new AdamWFormula(step);
            _seed = (uint)step.RoundingSeed;
        }

        public void Run<TFloats>(long start, long end)
            where TFloats : struct, IFloats<TFloats>
        {
            long index = start;
            for (; index <= end - TFloats.Count; index += TFloats.Count)
                Update<TFloats>(index);
            for (; index < end; index++)
                Update<Floats1>(index);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Update<TFloats>(long index)
            where TFloats : struct, IFloats<TFloats>
        {
            var gradient = _gradient is null ? TFloats.LoadBFloat16(_halfGradient + index) : TFloats.Load(_gradient + index);
            var parameter = _parameter is null ? TFloats.LoadBFloat16(_halfParameter + index) : TFloats.Load(_parameter + index);
            var (first, second) = (TFloats.Load(_first + index), TFloats.Load(_second + index));
            parameter = _formula.Apply(parameter, gradient, ref first, ref second);
            first.Store(_first + index);
            second.Store(_second + index);
            if (_parameter is null)
                parameter.StoreBFloat16AtRandom(_halfParameter + index, _seed, index);
            else
                parameter.Store(_parameter + index);
            if (_copy is not null)
                parameter.StoreBFloat16(_copy + index);
        }
    }
}

/// <summary>The arithmetic of one AdamW step, its constants taken in double and rounded once.</summary>
internal readonly struct AdamWFormula(in AdamWStep step)
{
    private readonly float _keep = (float)(1 - step.LearningRate * step.WeightDecay);
    private readonly float _beta1 = (float)step.Beta1, _rest1 = (float)(1 - step.Beta1);
    private readonly float _beta2 = (float)step.Beta2, _rest2 = (float)(1 - step.Beta2);
    private readonly float _rate = (float)(step.LearningRate / (1 - Math.Pow(step.Beta1, step.Step)));
    private readonly float _rootScale = (float)(1 / Math.Sqrt(1 - Math.Pow(step.Beta2, step.Step)));
    private readonly float _epsilon = (float)step.Epsilon;
    private readonly float _scale = (float)step.GradientScale;

    /// <summary>The moved parameter, and both moments moved on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TFloats Apply<TFloats>(TFloats parameter, TFloats gradient, ref TFloats first, ref TFloats second)
        where TFloats : struct, IFloats<TFloats>
    {
        gradient *= TFloats.Broadcast(_scale);
        first = TFloats.Broadcast(_beta1) * first + TFloats.Broadcast(_rest1) * gradient;
        second = TFloats.Broadcast(_beta2) * second + TFloats.Broadcast(_rest2) * (gradient * gradient);
        var denominator = TFloats.SquareRoot(second) * TFloats.Broadcast(_rootScale) + TFloats.Broadcast(_epsilon);
        return parameter * TFloats.Broadcast(_keep) - TFloats.Broadcast(_rate) * first / denominator;
    }
}
