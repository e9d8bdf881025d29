using static TorchSharp.torch;

namespace Perenos.Kernels;

/// <summary>
/// AdamW over moments of a byte each (see <see cref="DynamicCode"/>): a block of 256 is widened, moved in float32 and narrowed
/// again with the block's largest number as its scale. The weight moves by the float32 moments of the step.
/// </summary>
internal static unsafe class FusedAdamW8Bit
{
    private const int Block = 256;
    private const long Chunk = 1 << 16;

    /// <summary>Codes and scales of both moments at 0.</summary>
    internal static IReadOnlyList<(string Name, Tensor Tensor)> Zeros(Tensor like)
    {
        long count = like.numel(), blocks = (count + Block - 1) / Block;
        Tensor Codes(DynamicCode code) => Arithmetic.Filled([count], code.Zero, ScalarType.Byte, like.device);
        return
        [
            ("exp_avg_codes", Codes(DynamicCode.Signed)), ("exp_avg_scales", zeros([blocks], ScalarType.Float32, like.device)),
            ("exp_avg_sq_codes", Codes(DynamicCode.Unsigned)), ("exp_avg_sq_scales", zeros([blocks], ScalarType.Float32, like.device)),
        ];
    }

    /// <summary>Moves parameter and moments in place.</summary>
    /// <param name="parameter">Float32 (the master copy, where <paramref name="computeCopy"/> is given).</param>
    /// <param name="gradient">Float32 or bfloat16, same shape; left as it is.</param>
    /// <param name="state">As <see cref="Zeros"/> gave it.</param>
    /// <param name="step">Rates and counters.</param>
    /// <param name="computeCopy">Optional bfloat16 weights that become the parameter, rounded to nearest even.</param>
    internal static void Step(Tensor parameter, Tensor gradient, IReadOnlyList<Tensor> state, in AdamWStep step, Tensor? computeCopy)
    {
        // Elsewhere than on the CPU (or in another layout) the step is taken on copies.
        using var scope = NewDisposeScope();
        Tensor Near(Tensor tensor) => tensor.cpu().contiguous();
        Tensor[] near = [Near(parameter), Near(gradient), Near(state[0]), Near(state[1]), Near(state[2]), Near(state[3])];
        var copy = computeCopy is null ? null : Near(computeCopy);
        Ranges.Run(new Kernel(near, step, copy), parameter.NumberOfElements, Chunk);
        foreach (var (target, source) in state.Prepend(parameter).Zip([near[0], .. near[2..]]))
        {
            if (!TensorMemory.IsPlain(target, target.dtype))
                target.copy_(source);
        }

        if (computeCopy is not null && !TensorMemory.IsPlain(computeCopy, ScalarType.BFloat16))
            computeCopy.copy_(copy!);
        GC.KeepAlive((near, copy));
    }

    /// <summary>The kernel in one register width, whatever the processor has.</summary>
    internal static void StepAtWidth<TFloats>(Tensor parameter, Tensor gradient, IReadOnlyList<Tensor> state, in AdamWStep step)
        where TFloats : struct, IFloats<TFloats>
    {
        Ranges.Run<Kernel, TFloats>(new Kernel([parameter, gradient, .. state], step, null), parameter.NumberOfElements, Chunk);
        GC.KeepAlive((parameter, gradient, state));
    }

    private readonly struct Kernel : IRangeKernel
    {
        private readonly float* _parameter, _gradient, _firstScales, _secondScales;
        private readonly ushort* _halfGradient, _copy;
        private readonly byte* _firstCodes, _secondCodes;
        private readonly AdamWFormula _formula;

        internal Kernel(Tensor[] tensors, in AdamWStep step, Tensor? copy)
        {
            _parameter = (float*)TensorMemory.Address(tensors[0]);
            if (tensors[1].dtype == ScalarType.BFloat16)
                _halfGradient = (ushort*)TensorMemory.Address(tensors[1]);
            else
                _gradient = (float*)TensorMemory.Address(tensors[1]);
            _firstCodes = (byte*)TensorMemory.Address(tensors[2]);
            _firstScales = (float*)TensorMemory.Address(tensors[3]);
            _secondCodes = (byte*)TensorMemory.Address(tensors[4]);
            _secondScales = (float*)TensorMemory.Address(tensors[5]);
            _copy = copy is null ? null : (ushort*)TensorMemory.Address(copy);
            _formula = new AdamWFormula(step);
        }

        public void Run<TFloats>(long start, long end)
            where TFloats : struct, IFloats<TFloats>
        {
            float* first = stackalloc float[Block];
            float* second = stackalloc float[Block];
            for (long block = start; block < end; block += Block)
            {
                int count = (int)Math.Min(Block, end - block);
                Widen(_firstCodes + block, first, count, DynamicCode.Signed, _firstScales[block / Block]);
                Widen(_secondCodes + block, second, count, DynamicCode.Unsigned, _secondScales[block / Block]);
                int index = 0;
                for (; index <= count - TFloats.Count; index += TFloats.Count)
                    Update<TFloats>(block + index, first + index, second + index);
                for (; index < count; index++)
                    Update<Floats1>(block + index, first + index, second + index);
                _firstScales[block / Block] = Narrow(first, _firstCodes + block, count, DynamicCode.Signed);
                _secondScales[block / Block] = Narrow(second, _secondCodes + block, count, DynamicCode.Unsigned);
            }
        }

        private void Update<TFloats>(long index, float* firstMoment, float* secondMoment)
            where TFloats : struct, IFloats<TFloats>
        {
            var gradient = _gradient is null ? TFloats.LoadBFloat16(_halfGradient + index) : TFloats.Load(_gradient + index);
            var (first, second) = (TFloats.Load(firstMoment), TFloats.Load(secondMoment));
            var parameter = _formula.Apply(TFloats.Load(_parameter + index), gradient, ref first, ref second);
            first.Store(firstMoment);
            second.Store(secondMoment);
            parameter.Store(_parameter + index);
            if (_copy is not null)
                parameter.StoreBFloat16(_copy + index);
        }

        private static void Widen(byte* codes, float* values, int count, DynamicCode code, float scale)
        {
            fixed (float* table = code.Values)
            {
                for (int index = 0; index < count; index++)
                    values[index] = table[codes[index]] * scale;
            }
        }

        private static float Narrow(float* values, byte* codes, int count, DynamicCode code)
        {
            float largest = 0;
            for (int index = 0; index < count; index++)
                largest = MathF.Max(largest, MathF.Abs(values[index]));
            if (largest == 0)
            {
                new Span<byte>(codes, count).Fill(code.Zero);
                return 0;
            }

            bool isSecond = code == DynamicCode.Unsigned;
            for (int index = 0; index < count; index++)
            {
                byte nearest = code.Nearest(values[index] / largest);
                // A second moment that became 0 would make the next step as large as epsilon allows.
                codes[index] = isSecond && nearest == code.Zero && values[index] > 0 ? (byte)(code.Zero + 1) : nearest;
            }

            return largest;
        }
    }
}
