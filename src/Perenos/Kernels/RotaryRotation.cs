using System.Runtime.CompilerServices;
using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Kernels;

/// <summary>
/// Rotary position embedding (Su et al. 2021, https://arxiv.org/abs/2104.09864) in the halves layout of Llama: channel i turns with
/// channel i + R/2. One pass forward, and the same pass with opposite angles backward; keeps only the tables.
/// </summary>
public static unsafe class RotaryRotation
{
    /// <summary>Float32 and bfloat16 on the CPU take the fused kernel, anything else <see cref="ApplyWithTorch"/>.</summary>
    /// <param name="input">(B, T, H, D): before heads and time change places. Channels from R on stay as they are.</param>
    /// <param name="cosine">(T, R/2), or (B, T, R/2) where the sequences' positions differ, float32.</param>
    /// <param name="sine">Likewise.</param>
    public static Tensor Apply(Tensor input, Tensor cosine, Tensor sine)
    {
        CheckShapes(input, cosine, sine);
        bool fused = input.device_type == DeviceType.CPU && input.dtype is ScalarType.Float32 or ScalarType.BFloat16
            && TensorMemory.IsPlain(cosine, ScalarType.Float32) && TensorMemory.IsPlain(sine, ScalarType.Float32);
        if (!fused)
            return ApplyWithTorch(input, cosine, sine);
        using var scope = NewDisposeScope();
        return Node.apply(input, cosine, sine).MoveToOuterDisposeScope();
    }

    /// <summary>The same in separate torch operations: any device and type.</summary>
    public static Tensor ApplyWithTorch(Tensor input, Tensor cosine, Tensor sine)
    {
        using var scope = NewDisposeScope();
        long half = cosine.shape[^1];
        // (…, T, R/2) -> (…, T, 1, R/2), the same for all heads
        var (cos, sin) = (cosine.unsqueeze(-2), sine.unsqueeze(-2));
        var wide = input.dtype == ScalarType.Float64 ? input : input.to(ScalarType.Float32);
        var (left, right) = (wide.narrow(-1, 0, half), wide.narrow(-1, half, half));
        List<Tensor> parts = [left * cos - right * sin, (right * cos).Plus(left * sin)];
        if (input.shape[^1] > 2 * half)
            parts.Add(wide.narrow(-1, 2 * half, input.shape[^1] - 2 * half));
        return cat(parts, -1).to(input.dtype).MoveToOuterDisposeScope();
    }

    /// <summary>One register width; <paramref name="direction"/> −1 turns back.</summary>
    internal static void RunAtWidth<TFloats>(Tensor input, Tensor cosine, Tensor sine, Tensor output, float direction)
        where TFloats : struct, IFloats<TFloats>
    {
        if (input.dtype == ScalarType.BFloat16)
            Ranges.Run<Kernel<ushort>, TFloats>(new(input, cosine, sine, output, direction), Rows(input), RowsPerTask(input));
        else
            Ranges.Run<Kernel<float>, TFloats>(new(input, cosine, sine, output, direction), Rows(input), RowsPerTask(input));
        GC.KeepAlive((input, cosine, sine, output));
    }

    private static void Run(Tensor input, Tensor cosine, Tensor sine, Tensor output, float direction)
    {
        if (input.dtype == ScalarType.BFloat16)
            Ranges.Run(new Kernel<ushort>(input, cosine, sine, output, direction), Rows(input), RowsPerTask(input));
        else
            Ranges.Run(new Kernel<float>(input, cosine, sine, output, direction), Rows(input), RowsPerTask(input));
        GC.KeepAlive((input, cosine, sine, output));
    }

    private static long Rows(Tensor input) => input.shape[0] * input.shape[1];

    private static long RowsPerTask(Tensor input) => Math.Max(1, (1 << 15) / Math.Max(1, input.shape[2] * input.shape[3]));

    private static void CheckShapes(Tensor input, Tensor cosine, Tensor sine)
    {
        bool fits = input.dim() == 4 && cosine.shape.AsSpan().SequenceEqual(sine.shape) && 2 * cosine.shape[^1] <= input.shape[3]
            && cosine.shape[^2] == input.shape[1]
            && (cosine.dim() == 2 || (cosine.dim() == 3 && cosine.shape[0] == input.shape[0]));
        if (!fits)
            throw new ArgumentException($"Expected (B, T, H, D) with tables (T, R/2) or (B, T, R/2), R <= D; got ({string.Join(", ", input.shape)}) with ({string.Join(", ", cosine.shape)}).");
    }

    private sealed class Node : autograd.SingleTensorFunction<Node>
    {
        public override string Name => nameof(RotaryRotation);

        public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
        {
            var (cosine, sine) = ((Tensor)vars[1], (Tensor)vars[2]);
            ctx.save_for_backward([cosine, sine]);
            return Turn((Tensor)vars[0], cosine, sine, 1);
        }

        public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
        {
            using var scope = NewDisposeScope();
            var tables = ctx.get_saved_variables();
            return [Turn(grad_output, tables[0], tables[1], -1).MoveToOuterDisposeScope(), null!, null!];
        }

        private static Tensor Turn(Tensor given, Tensor cosine, Tensor sine, float direction)
        {
            using var scope = NewDisposeScope();
            var input = given.contiguous();
            var output = empty_like(input);
            Run(input, cosine, sine, output, direction);
            return output.MoveToOuterDisposeScope();
        }
    }

    // A row is one position of one sequence: H heads of D channels.
    private readonly struct Kernel<TStored>(Tensor input, Tensor cosine, Tensor sine, Tensor output, float direction) : IRangeKernel
        where TStored : unmanaged
    {
        private readonly TStored* _input = (TStored*)TensorMemory.Address(input);
        private readonly TStored* _output = (TStored*)TensorMemory.Address(output);
        private readonly float* _cosine = (float*)TensorMemory.Address(cosine);
        private readonly float* _sine = (float*)TensorMemory.Address(sine);
        private readonly long _heads = input.shape[2];
        private readonly long _width = input.shape[3];
        private readonly long _half = cosine.shape[^1];
        private readonly long _tableRows = cosine.NumberOfElements / Math.Max(1, cosine.shape[^1]);
        private readonly float _direction = direction;

        public void Run<TFloats>(long start, long end)
            where TFloats : struct, IFloats<TFloats>
        {
            for (long row = start; row < end; row++)
            {
                long table = row % _tableRows * _half;
                for (long head = 0; head < _heads; head++)
                    Head<TFloats>((row * _heads + head) * _width, _cosine + table, _sine + table);
            }
        }

        private void Head<TFloats>(long offset, float* cosine, float* sine)
            where TFloats : struct, IFloats<TFloats>
        {
            long index = 0;
            for (; index <= _half - TFloats.Count; index += TFloats.Count)
                Turn<TFloats>(offset + index, cosine + index, sine + index);
            for (; index < _half; index++)
                Turn<Floats1>(offset + index, cosine + index, sine + index);
            for (index = 2 * _half; index < _width; index++)
                _output[offset + index] = _input[offset + index];
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Turn<TFloats>(long at, float* cosine, float* sine)
            where TFloats : struct, IFloats<TFloats>
        {
            var left = Stored.Load<TStored, TFloats>(_input + at);
            var right = Stored.Load<TStored, TFloats>(_input + at + _half);
            var cos = TFloats.Load(cosine);
            var sin = TFloats.Load(sine) * TFloats.Broadcast(_direction);
            Stored.Save(left * cos - right * sin, _output + at);
            Stored.Save(right * cos + left * sin, _output + at + _half);
        }
    }
}
