using System.Runtime.Intrinsics;
using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Kernels;

/// <summary>The norm that clipping looks at: one number over all gradients of a step.</summary>
public static unsafe class GradientNorm
{
    private const long Chunk = 1 << 16;

    /// <summary>
    /// Square root of the sum of squares over all tensors, before any scaling. Sums in double over fixed pieces in a fixed
    /// order: the same bits for any number of threads. Waits for the device once.
    /// </summary>
    /// <param name="gradients">Any shapes; an empty list has norm 0. NaN or infinity anywhere shows in the result.</param>
    public static double Of(IEnumerable<Tensor> gradients)
    {
        using var scope = NewDisposeScope();
        using var noGraph = no_grad();
        double sum = 0;
        List<Tensor> elsewhere = [];
        foreach (var gradient in gradients)
        {
            if (gradient.device_type == DeviceType.CPU && gradient.dtype is ScalarType.Float32 or ScalarType.BFloat16)
                sum += SumOfSquares(gradient);
            else
                elsewhere.Add(gradient);
        }

        if (elsewhere.Count > 0)
            sum += SumOfSquaresWithTorch(elsewhere);
        return Math.Sqrt(sum);
    }

    /// <summary>The same in torch operations, on any device: all squares are gathered before the one wait.</summary>
    internal static double SumOfSquaresWithTorch(IEnumerable<Tensor> gradients)
    {
        using var scope = NewDisposeScope();
        using var noGraph = no_grad();
        Tensor? total = null;
        foreach (var gradient in gradients)
        {
            var squares = gradient.detach().to(ScalarType.Float32).square().sum(ScalarType.Float64);
            total = total is null ? squares : total.Plus(squares.to(total.device));
        }

        return total?.item<double>() ?? 0;
    }

    private static double SumOfSquares(Tensor gradient)
    {
        if (gradient.NumberOfElements == 0)
            return 0;
        using var plain = gradient.is_contiguous() ? gradient.alias() : gradient.contiguous();
        double[] partial = new double[(plain.NumberOfElements + Chunk - 1) / Chunk];
        fixed (double* sums = partial)
            Ranges.Run(new Kernel(plain, sums), plain.NumberOfElements, Chunk);
        double sum = 0;
        foreach (double value in partial)
            sum += value;
        return sum;
    }

    /// <summary>One contiguous CPU tensor in one register width.</summary>
    internal static double SumOfSquaresAtWidth<TFloats>(Tensor gradient)
        where TFloats : struct, IFloats<TFloats>
    {
        double[] partial = new double[(gradient.NumberOfElements + Chunk - 1) / Chunk];
        fixed (double* sums = partial)
            Ranges.Run<Kernel, TFloats>(new Kernel(gradient, sums), gradient.NumberOfElements, Chunk);
        GC.KeepAlive(gradient);
        return partial.Sum();
    }

    private readonly struct Kernel(Tensor gradient, double* partial) : IRangeKernel
    {
        private readonly bool _isHalf = gradient.dtype == ScalarType.BFloat16;
        private readonly void* _gradient = TensorMemory.Address(gradient);
        private readonly double* _partial = partial;

        public void Run<TFloats>(long start, long end)
            where TFloats : struct, IFloats<TFloats>
        {
            const int Block = 1024;
            float* widened = stackalloc float[Block];
            double sum = 0;
            for (long block = start; block < end; block += Block)
            {
                int count = (int)Math.Min(Block, end - block);
                float* values = widened;
                if (_isHalf)
                    Widen<TFloats>((ushort*)_gradient + block, widened, count);
                else
                    values = (float*)_gradient + block;
                sum += Squares<TFloats>(values, count);
            }

            _partial[start / Chunk] = sum;
        }

        private static void Widen<TFloats>(ushort* source, float* target, int count)
            where TFloats : struct, IFloats<TFloats>
        {
            int index = 0;
            for (; index <= count - TFloats.Count; index += TFloats.Count)
                TFloats.LoadBFloat16(source + index).Store(target + index);
            for (; index < count; index++)
                Floats1.LoadBFloat16(source + index).Store(target + index);
        }

        // Squares of float32 in double: exact, and they neither overflow nor underflow.
        private static double Squares<TFloats>(float* values, int count)
            where TFloats : struct, IFloats<TFloats>
        {
            int index = 0;
            double sum = 0;
            if (typeof(TFloats) == typeof(Floats512))
            {
                var (even, odd) = (Vector512<double>.Zero, Vector512<double>.Zero);
                for (; index <= count - 16; index += 16)
                {
                    var (lower, upper) = Vector512.Widen(Vector512.Load(values + index));
                    (even, odd) = (even + lower * lower, odd + upper * upper);
                }

                sum = Vector512.Sum(even + odd);
            }
            else if (typeof(TFloats) == typeof(Floats256))
            {
                var (even, odd) = (Vector256<double>.Zero, Vector256<double>.Zero);
                for (; index <= count - 8; index += 8)
                {
                    var (lower, upper) = Vector256.Widen(Vector256.Load(values + index));
                    (even, odd) = (even + lower * lower, odd + upper * upper);
                }

                sum = Vector256.Sum(even + odd);
            }
            else if (typeof(TFloats) == typeof(Floats128))
            {
                var (even, odd) = (Vector128<double>.Zero, Vector128<double>.Zero);
                for (; index <= count - 4; index += 4)
                {
                    var (lower, upper) = Vector128.Widen(Vector128.Load(values + index));
                    (even, odd) = (even + lower * lower, odd + upper * upper);
                }

                sum = Vector128.Sum(even + odd);
            }

            for (; index < count; index++)
                sum += (double)values[index] * values[index];
            return sum;
        }
    }
}
