using System.Runtime.CompilerServices;
using static TorchSharp.torch;

namespace Perenos.Kernels;

/// <summary>An optimizer's formula with one number of state for each weight.</summary>
internal interface IMomentumRule
{
    /// <summary>The moved weight, and its momentum moved on.</summary>
    TFloats Apply<TFloats>(TFloats weight, TFloats gradient, ref TFloats momentum)
        where TFloats : struct, IFloats<TFloats>;

    /// <summary>The same in torch operations, in place.</summary>
    void ApplyWithTorch(Tensor weight, Tensor gradient, Tensor momentum);
}

/// <summary>One pass over weight, gradient and momentum. Element by element: neither threads nor register width change a bit.</summary>
internal static unsafe class FusedMomentum
{
    private const long Chunk = 1 << 16;

    /// <summary>Moves weight and momentum in place.</summary>
    /// <param name="weight">Float32 (a master copy, where <paramref name="computeCopy"/> is given).</param>
    /// <param name="gradient">Float32 or bfloat16, same shape; left as it is.</param>
    /// <param name="momentum">Float32, same shape.</param>
    /// <param name="rule">The formula.</param>
    /// <param name="gradientScale">Multiplies the gradient first.</param>
    /// <param name="computeCopy">Optional bfloat16 weights that become the weight, rounded to nearest even.</param>
    internal static void Step<TRule>(Tensor weight, Tensor gradient, Tensor momentum, TRule rule, double gradientScale, Tensor? computeCopy)
        where TRule : struct, IMomentumRule
    {
        bool isFused = TensorMemory.IsPlain(weight, ScalarType.Float32)
            && (TensorMemory.IsPlain(gradient, ScalarType.Float32) || TensorMemory.IsPlain(gradient, ScalarType.BFloat16))
            && TensorMemory.IsPlain(momentum, ScalarType.Float32)
            && (computeCopy is null || TensorMemory.IsPlain(computeCopy, ScalarType.BFloat16));
        if (isFused)
            Ranges.Run(new Kernel<TRule>(weight, gradient, momentum, rule, gradientScale, computeCopy), weight.NumberOfElements, Chunk);
        else
            StepWithTorch(weight, gradient, momentum, rule, gradientScale, computeCopy);
        GC.KeepAlive((weight, gradient, momentum, computeCopy));
    }

    /// <summary>The kernel in one register width, whatever the processor has.</summary>
    internal static void StepAtWidth<TRule, TFloats>(Tensor weight, Tensor gradient, Tensor momentum, TRule rule, double gradientScale, Tensor? computeCopy)
        where TRule : struct, IMomentumRule
        where TFloats : struct, IFloats<TFloats>
    {
        Ranges.Run<Kernel<TRule>, TFloats>(new Kernel<TRule>(weight, gradient, momentum, rule, gradientScale, computeCopy), weight.NumberOfElements, Chunk);
        GC.KeepAlive((weight, gradient, momentum, computeCopy));
    }

    /// <summary>The same step in torch operations: any device and layout.</summary>
    internal static void StepWithTorch<TRule>(Tensor weight, Tensor gradient, Tensor momentum, TRule rule, double gradientScale, Tensor? computeCopy)
        where TRule : struct, IMomentumRule
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        rule.ApplyWithTorch(weight, gradient.to(weight.dtype).Times(gradientScale), momentum);
        computeCopy?.copy_(weight);
    }

    private readonly struct Kernel<TRule> : IRangeKernel
        where TRule : struct, IMomentumRule
    {
        private readonly float* _weight, _gradient, _momentum;
        private readonly ushort* _halfGradient, _copy;
        private readonly TRule _rule;
        private readonly float _scale;

        internal Kernel(Tensor weight, Tensor gradient, Tensor momentum, TRule rule, double gradientScale, Tensor? copy)
        {
            _weight = (float*)TensorMemory.Address(weight);
            _momentum = (float*)TensorMemory.Address(momentum);
            if (gradient.dtype == ScalarType.BFloat16)
                _halfGradient = (ushort*)TensorMemory.Address(gradient);
            else
                _gradient = (float*)TensorMemory.Address(gradient);
            _copy = copy is null ? null : (ushort*)TensorMemory.Address(copy);
            (_rule, _scale) = (rule, (float)gradientScale);
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
            var gradient = (_gradient is null ? TFloats.LoadBFloat16(_halfGradient + index) : TFloats.Load(_gradient + index)) * TFloats.Broadcast(_scale);
            var momentum = TFloats.Load(_momentum + index);
            var weight = _rule.Apply(TFloats.Load(_weight + index), gradient, ref momentum);
            momentum.Store(_momentum + index);
            weight.Store(_weight + index);
            if (_copy is not null)
                weight.StoreBFloat16(_copy + index);
        }
    }
}
