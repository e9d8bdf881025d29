using System.Runtime.CompilerServices;
using static TorchSharp.torch;

namespace Perenos.Kernels;

/// <summary>
/// The proximal step of (λ/2) Σ F (θ − θ*)²: θ ← (θ + a θ*) / (1 + a), a = rate · λ · F, which no strength can make diverge, and in
/// the same pass ½ Σ F (θ − θ*)² of the moved weight. One visit to weight, importance and anchor.
/// </summary>
internal static unsafe class AnchorPull
{
    private const long Chunk = 1 << 16;

    /// <summary>Moves a weight towards its anchor; 0 only measures.</summary>
    /// <param name="weight">Float32, or bfloat16 that is rounded at random.</param>
    /// <param name="computeCopy">Bfloat16 weights that become the weight, rounded to nearest even; or none.</param>
    /// <param name="importance">F, float32 or bfloat16, same shape; none means 1 everywhere.</param>
    /// <param name="anchor">θ*, float32 or bfloat16, same shape.</param>
    /// <param name="strength">rate · λ.</param>
    /// <param name="roundingSeed">Seed of random rounding.</param>
    /// <returns>½ Σ F (θ − θ*)², after the move.</returns>
    internal static double Step(Tensor weight, Tensor? computeCopy, Tensor? importance, Tensor anchor, double strength, ulong roundingSeed)
    {
        static bool IsPlain(Tensor? tensor) => tensor is null || TensorMemory.IsPlain(tensor, ScalarType.Float32) || TensorMemory.IsPlain(tensor, ScalarType.BFloat16);
        if (!(IsPlain(weight) && IsPlain(computeCopy) && IsPlain(importance) && IsPlain(anchor)))
            return StepWithTorch(weight, computeCopy, importance, anchor, strength, roundingSeed);
        double[] partial = new double[(weight.NumberOfElements + Chunk - 1) / Chunk];
        fixed (double* sums = partial)
            Ranges.Run(new Kernel(weight, computeCopy, importance, anchor, strength, (uint)roundingSeed, sums), weight.NumberOfElements, Chunk);
        GC.KeepAlive((weight, computeCopy, importance, anchor));
        return partial.Sum();
    }

    /// <summary>The kernel in one register width, whatever the processor has.</summary>
    internal static double StepAtWidth<TFloats>(Tensor weight, Tensor? importance, Tensor anchor, double strength)
        where TFloats : struct, IFloats<TFloats>
    {
        double[] partial = new double[(weight.NumberOfElements + Chunk - 1) / Chunk];
        fixed (double* sums = partial)
            Ranges.Run<Kernel, TFloats>(new Kernel(weight, null, importance, anchor, strength, 0, sums), weight.NumberOfElements, Chunk);
        GC.KeepAlive((weight, importance, anchor));
        return partial.Sum();
    }

    /// <summary>The same in torch operations: any device and layout.</summary>
    internal static double StepWithTorch(Tensor weight, Tensor? computeCopy, Tensor? importance, Tensor anchor, double strength, ulong roundingSeed)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        var (value, target) = (weight.to(ScalarType.Float32), anchor.to(ScalarType.Float32));
        var share = importance?.to(ScalarType.Float32) ?? ones_like(value);
        if (strength > 0)
        {
            var keep = share.Times(strength).Increase(1.0).reciprocal();
            value = (keep * value).Increase(keep.neg().Increase(1.0) * target);
            if (weight.dtype == ScalarType.BFloat16)
                RandomBits.StoreWithTorch(weight, value, roundingSeed);
            else
                weight.copy_(value);
            computeCopy?.copy_(value);
        }

        return (share * (value - target).square()).sum(ScalarType.Float64).item<double>() / 2;
    }

    private readonly struct Kernel : IRangeKernel
    {
        // So many products are added in float32, the blocks in double.
        private const int Block = 1024;

        private readonly float* _weight, _importance, _anchor;
        private readonly ushort* _halfWeight, _halfImportance, _halfAnchor, _copy;
        private readonly float _strength;
        private readonly uint _seed;
        private readonly double* _sums;

        internal Kernel(Tensor weight, Tensor? copy, Tensor? importance, Tensor anchor, double strength, uint seed, double* sums)
        {
            static float* Wide(Tensor? tensor) => tensor?.dtype == ScalarType.Float32 ? (float*)TensorMemory.Address(tensor) : null;
            static ushort* Half(Tensor? tensor) => tensor?.dtype == ScalarType.BFloat16 ? (ushort*)TensorMemory.Address(tensor) : null;
            _weight = Wide(weight);
            _halfWeight = Half(weight);
            _importance = Wide(importance);
            _halfImportance = Half(importance);
            _anchor = Wide(anchor);
            _halfAnchor = Half(anchor);
            _copy = Half(copy);
            _strength = (float)strength;
            _seed = seed;
            _sums = sums;
        }

        public void Run<TFloats>(long start, long end)
            where TFloats : struct, IFloats<TFloats>
        {
            double sum = 0;
            for (long block = start; block < end; block += Block)
            {
                long index = block, last = Math.Min(end, block + Block);
                var (lanes, tail) = (TFloats.Broadcast(0), Floats1.Broadcast(0));
                for (; index <= last - TFloats.Count; index += TFloats.Count)
                    lanes += Move<TFloats>(index);
                for (; index < last; index++)
                    tail += Move<Floats1>(index);
                sum += lanes.Sum() + tail.Sum();
            }

            _sums[start / Chunk] = sum / 2;
        }

        // F (θ − θ*)² of the moved weight.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private TFloats Move<TFloats>(long index)
            where TFloats : struct, IFloats<TFloats>
        {
            var one = TFloats.Broadcast(1);
            var weight = _weight is null ? TFloats.LoadBFloat16(_halfWeight + index) : TFloats.Load(_weight + index);
            var anchor = _anchor is null ? TFloats.LoadBFloat16(_halfAnchor + index) : TFloats.Load(_anchor + index);
            var importance = _importance is not null ? TFloats.Load(_importance + index)
                : _halfImportance is not null ? TFloats.LoadBFloat16(_halfImportance + index) : one;
            if (_strength > 0)
            {
                // A share of exactly 1 gives back the weight's own bits, a share of 0 the anchor's.
                var keep = one / (one + TFloats.Broadcast(_strength) * importance);
                weight = keep * weight + (one - keep) * anchor;
                if (_weight is null)
                    weight.StoreBFloat16AtRandom(_halfWeight + index, _seed, index);
                else
                    weight.Store(_weight + index);
                if (_copy is not null)
                    weight.StoreBFloat16(_copy + index);
            }

            var distance = weight - anchor;
            return importance * (distance * distance);
        }
    }
}
