using System.Runtime.CompilerServices;
using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Kernels;

/// <summary>
/// y = x / √(mean(x²) + ε) · w over the last dimension (Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467), forward and
/// backward in one visit to memory each. Computes in float32 and rounds once to the input's type.
/// </summary>
public static unsafe class RootMeanSquareNorm
{
    /// <summary>
    /// Float32 and bfloat16 on the CPU take the fused kernel, anything else <see cref="ApplyWithTorch"/>. Backward reaches both
    /// tensors.
    /// </summary>
    /// <param name="input">(…, C).</param>
    /// <param name="weight">(C), of any floating type.</param>
    /// <param name="epsilon">Added to the mean of squares.</param>
    public static Tensor Apply(Tensor input, Tensor weight, double epsilon)
    {
        if (weight.dim() != 1 || input.dim() == 0 || input.shape[^1] != weight.shape[0])
            throw new ArgumentException($"A norm of shape ({string.Join(", ", weight.shape)}) met ({string.Join(", ", input.shape)}).");
        if (input.device_type != DeviceType.CPU || input.dtype is not (ScalarType.Float32 or ScalarType.BFloat16))
            return ApplyWithTorch(input, weight, epsilon);
        using var scope = NewDisposeScope();
        return Node.apply(input, weight, new Call(epsilon, input.requires_grad, weight.requires_grad)).MoveToOuterDisposeScope();
    }

    /// <summary>The same in separate torch operations: any device and type.</summary>
    public static Tensor ApplyWithTorch(Tensor input, Tensor weight, double epsilon)
    {
        using var scope = NewDisposeScope();
        // float32: the mean of squares loses digits in bfloat16.
        var wide = input.dtype == ScalarType.Float64 ? input : input.to(ScalarType.Float32);
        var scaled = wide * wide.square().mean([-1L], keepdim: true).Plus(epsilon).rsqrt();
        return (scaled * weight.to(wide.dtype)).to(input.dtype).MoveToOuterDisposeScope();
    }

    /// <summary>Forward without a graph in one register width; fills the reciprocal roots of the rows.</summary>
    internal static void ForwardAtWidth<TFloats>(Tensor input, Tensor weight, Tensor output, Tensor roots, double epsilon)
        where TFloats : struct, IFloats<TFloats> =>
        Run<TFloats>(input.dtype, new(input, weight, output, roots, null, null, epsilon), roots.NumberOfElements);

    /// <summary>Backward in one register width; the rows of <paramref name="weightParts"/> add up to the weight's gradient.</summary>
    internal static void BackwardAtWidth<TFloats>(
        Tensor input, Tensor weight, Tensor roots, Tensor gradient, Tensor inputGradient, Tensor weightParts)
        where TFloats : struct, IFloats<TFloats> =>
        Run<TFloats>(input.dtype, new(input, weight, inputGradient, roots, gradient, weightParts, 0), roots.NumberOfElements);

    /// <summary>Rows that one task visits: fixed, so that the weight's gradient is added up in a fixed order.</summary>
    internal static long RowsPerTask(long channels) => Math.Max(1, (1 << 15) / Math.Max(1, channels));

    private static void Run<TFloats>(ScalarType type, Arguments arguments, long rows)
        where TFloats : struct, IFloats<TFloats>
    {
        if (type == ScalarType.BFloat16)
            Ranges.Run<Kernel<ushort>, TFloats>(new(arguments), rows, RowsPerTask(arguments.Weight.shape[0]));
        else
            Ranges.Run<Kernel<float>, TFloats>(new(arguments), rows, RowsPerTask(arguments.Weight.shape[0]));
        GC.KeepAlive(arguments);
    }

    private static void Run(ScalarType type, Arguments arguments, long rows)
    {
        if (type == ScalarType.BFloat16)
            Ranges.Run(new Kernel<ushort>(arguments), rows, RowsPerTask(arguments.Weight.shape[0]));
        else
            Ranges.Run(new Kernel<float>(arguments), rows, RowsPerTask(arguments.Weight.shape[0]));
        GC.KeepAlive(arguments);
    }

    private sealed record Call(double Epsilon, bool WantsInput, bool WantsWeight);

    // With a gradient it is the backward pass, and Output the input's gradient.
    private sealed record Arguments(
        Tensor Input, Tensor Weight, Tensor Output, Tensor Roots, Tensor? Gradient, Tensor? WeightParts, double Epsilon);

    private sealed class Node : autograd.SingleTensorFunction<Node>
    {
        public override string Name => nameof(RootMeanSquareNorm);

        public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
        {
            using var scope = NewDisposeScope();
            var (given, weight, call) = ((Tensor)vars[0], (Tensor)vars[1], (Call)vars[2]);
            var input = given.contiguous();
            var output = empty_like(input);
            long rows = input.NumberOfElements / Math.Max(1, weight.shape[0]);
            var roots = empty(rows);
            Run(input.dtype, new(input, weight.to(ScalarType.Float32).contiguous(), output, roots, null, null, call.Epsilon), rows);
            ctx.save_for_backward([input.MoveToOuterDisposeScope(), weight, roots.MoveToOuterDisposeScope()]);
            ctx.save_data("call", call);
            return output.MoveToOuterDisposeScope();
        }

        public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
        {
            using var scope = NewDisposeScope();
            var kept = ctx.get_saved_variables();
            var (input, weight, roots) = (kept[0], kept[1], kept[2]);
            var call = (Call)ctx.get_data("call");
            long rows = roots.NumberOfElements;
            long tasks = (rows + RowsPerTask(weight.shape[0]) - 1) / RowsPerTask(weight.shape[0]);
            var inputGradient = empty_like(input);
            var weightParts = call.WantsWeight ? zeros(tasks, weight.shape[0]) : null;
            var gradient = grad_output.to(input.dtype).contiguous();
            Run(input.dtype, new(input, weight.detach().to(ScalarType.Float32).contiguous(), inputGradient, roots, gradient, weightParts, 0), rows);
            Tensor? weightGradient = weightParts?.sum(dim: 0).to(weight.dtype).MoveToOuterDisposeScope();
            return [call.WantsInput ? inputGradient.MoveToOuterDisposeScope() : null!, weightGradient!, null!];
        }
    }

    private readonly struct Kernel<TStored>(Arguments arguments) : IRangeKernel
        where TStored : unmanaged
    {
        private readonly TStored* _input = (TStored*)TensorMemory.Address(arguments.Input);
        private readonly float* _weight = (float*)TensorMemory.Address(arguments.Weight);
        private readonly TStored* _output = (TStored*)TensorMemory.Address(arguments.Output);
        private readonly float* _roots = (float*)TensorMemory.Address(arguments.Roots);
        private readonly TStored* _gradient = arguments.Gradient is null ? null : (TStored*)TensorMemory.Address(arguments.Gradient);
        private readonly float* _parts = arguments.WeightParts is null ? null : (float*)TensorMemory.Address(arguments.WeightParts);
        private readonly long _channels = arguments.Weight.shape[0];
        private readonly double _epsilon = arguments.Epsilon;

        public void Run<TFloats>(long start, long end)
            where TFloats : struct, IFloats<TFloats>
        {
            float* part = _parts is null ? null : _parts + start / RowsPerTask(_channels) * _channels;
            for (long row = start; row < end; row++)
            {
                if (_gradient is null)
                    Forward<TFloats>(row);
                else
                    Backward<TFloats>(row, part);
            }
        }

        private void Forward<TFloats>(long row)
            where TFloats : struct, IFloats<TFloats>
        {
            TStored* input = _input + row * _channels, output = _output + row * _channels;
            double squares = SumOfSquares<TFloats>(input);
            float root = (float)(1 / Math.Sqrt(squares / _channels + _epsilon));
            _roots[row] = root;
            long index = 0;
            for (; index <= _channels - TFloats.Count; index += TFloats.Count)
                Scale<TFloats>(input, output, index, root);
            for (; index < _channels; index++)
                Scale<Floats1>(input, output, index, root);
        }

        private double SumOfSquares<TFloats>(TStored* input)
            where TFloats : struct, IFloats<TFloats>
        {
            var (even, odd) = (TFloats.Broadcast(0), TFloats.Broadcast(0));
            long index = 0;
            for (; index <= _channels - 2 * TFloats.Count; index += 2 * TFloats.Count)
            {
                var first = Stored.Load<TStored, TFloats>(input + index);
                var second = Stored.Load<TStored, TFloats>(input + index + TFloats.Count);
                even = TFloats.MultiplyAdd(first, first, even);
                odd = TFloats.MultiplyAdd(second, second, odd);
            }

            double sum = even.Sum() + odd.Sum();
            for (; index < _channels; index++)
            {
                double value = Stored.Load<TStored, Floats1>(input + index).Sum();
                sum += value * value;
            }

            return sum;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Scale<TFloats>(TStored* input, TStored* output, long index, float root)
            where TFloats : struct, IFloats<TFloats> =>
            Stored.Save(
                Stored.Load<TStored, TFloats>(input + index) * TFloats.Broadcast(root) * TFloats.Load(_weight + index), output + index);

        // With r = 1 / √(mean(x²) + ε): dx = r·(g·w) − x·r³·mean(x·g·w), dw = Σ g·x·r.
        private void Backward<TFloats>(long row, float* part)
            where TFloats : struct, IFloats<TFloats>
        {
            TStored* input = _input + row * _channels, output = _output + row * _channels, gradient = _gradient + row * _channels;
            var lanes = TFloats.Broadcast(0);
            long index = 0;
            for (; index <= _channels - TFloats.Count; index += TFloats.Count)
                lanes += Product<TFloats>(input, gradient, index);
            double product = lanes.Sum();
            for (; index < _channels; index++)
                product += Product<Floats1>(input, gradient, index).Sum();
            float root = _roots[row];
            float pull = (float)(product * root * root * root / _channels);
            for (index = 0; index <= _channels - TFloats.Count; index += TFloats.Count)
                Gradients<TFloats>(input, output, gradient, part, index, root, pull);
            for (; index < _channels; index++)
                Gradients<Floats1>(input, output, gradient, part, index, root, pull);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private TFloats Product<TFloats>(TStored* input, TStored* gradient, long index)
            where TFloats : struct, IFloats<TFloats> =>
            Stored.Load<TStored, TFloats>(input + index) * Stored.Load<TStored, TFloats>(gradient + index) * TFloats.Load(_weight + index);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Gradients<TFloats>(TStored* input, TStored* output, TStored* gradient, float* part, long index, float root, float pull)
            where TFloats : struct, IFloats<TFloats>
        {
            var x = Stored.Load<TStored, TFloats>(input + index);
            var scaled = Stored.Load<TStored, TFloats>(gradient + index) * TFloats.Broadcast(root);
            Stored.Save(scaled * TFloats.Load(_weight + index) - x * TFloats.Broadcast(pull), output + index);
            if (part is not null)
                (TFloats.Load(part + index) + scaled * x).Store(part + index);
        }
    }
}
