using System.Runtime.CompilerServices;
using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Kernels;

/// <summary>
/// silu(gate) · up, the middle of a SwiGLU block (Shazeer 2020, https://arxiv.org/abs/2002.05202), forward and backward in one pass
/// each; keeps only its two inputs. Computes in float32 and rounds once.
/// </summary>
public static unsafe class GatedActivation
{
    private const long Chunk = 1 << 15;

    /// <summary>Float32 and bfloat16 on the CPU take the fused kernel, anything else <see cref="ApplyWithTorch"/>.</summary>
    /// <param name="gate">Any shape.</param>
    /// <param name="up">Same shape and type.</param>
    public static Tensor Apply(Tensor gate, Tensor up)
    {
        if (!gate.shape.AsSpan().SequenceEqual(up.shape))
            throw new ArgumentException($"A gate of shape ({string.Join(", ", gate.shape)}) met ({string.Join(", ", up.shape)}).");
        if (gate.device_type != DeviceType.CPU || gate.dtype != up.dtype || gate.dtype is not (ScalarType.Float32 or ScalarType.BFloat16))
            return ApplyWithTorch(gate, up);
        using var scope = NewDisposeScope();
        return Node.apply(gate, up).MoveToOuterDisposeScope();
    }

    /// <summary>The same in separate torch operations: any device and type.</summary>
    public static Tensor ApplyWithTorch(Tensor gate, Tensor up)
    {
        using var scope = NewDisposeScope();
        return (nn.functional.silu(gate) * up).MoveToOuterDisposeScope();
    }

    /// <summary>Forward in one register width; with a gradient backward, into both outputs.</summary>
    internal static void RunAtWidth<TFloats>(Tensor gate, Tensor up, Tensor first, Tensor? gradient = null, Tensor? second = null)
        where TFloats : struct, IFloats<TFloats>
    {
        if (gate.dtype == ScalarType.BFloat16)
            Ranges.Run<Kernel<ushort>, TFloats>(new(gate, up, first, gradient, second), gate.NumberOfElements, Chunk);
        else
            Ranges.Run<Kernel<float>, TFloats>(new(gate, up, first, gradient, second), gate.NumberOfElements, Chunk);
        GC.KeepAlive((gate, up, first, gradient, second));
    }

    private static void Run(Tensor gate, Tensor up, Tensor first, Tensor? gradient = null, Tensor? second = null)
    {
        if (gate.dtype == ScalarType.BFloat16)
            Ranges.Run(new Kernel<ushort>(gate, up, first, gradient, second), gate.NumberOfElements, Chunk);
        else
            Ranges.Run(new Kernel<float>(gate, up, first, gradient, second), gate.NumberOfElements, Chunk);
        GC.KeepAlive((gate, up, first, gradient, second));
    }

    private sealed class Node : autograd.SingleTensorFunction<Node>
    {
        public override string Name => nameof(GatedActivation);

        public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
        {
            using var scope = NewDisposeScope();
            var (gate, up) = (((Tensor)vars[0]).contiguous(), ((Tensor)vars[1]).contiguous());
            var output = empty_like(gate);
            Run(gate, up, output);
            ctx.save_for_backward([gate.MoveToOuterDisposeScope(), up.MoveToOuterDisposeScope()]);
            return output.MoveToOuterDisposeScope();
        }

        public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
        {
            using var scope = NewDisposeScope();
            var kept = ctx.get_saved_variables();
            var (gateGradient, upGradient) = (empty_like(kept[0]), empty_like(kept[1]));
            Run(kept[0], kept[1], gateGradient, grad_output.to(kept[0].dtype).contiguous(), upGradient);
            return [gateGradient.MoveToOuterDisposeScope(), upGradient.MoveToOuterDisposeScope()];
        }
    }

    private readonly struct Kernel<TStored>(Tensor gate, Tensor up, Tensor first, Tensor? gradient, Tensor? second) : IRangeKernel
        where TStored : unmanaged
    {
        private readonly TStored* _gate = (TStored*)TensorMemory.Address(gate);
        private readonly TStored* _up = (TStored*)TensorMemory.Address(up);
        private readonly TStored* _first = (TStored*)TensorMemory.Address(first);
        private readonly TStored* _gradient = gradient is null ? null : (TStored*)TensorMemory.Address(gradient);
        private readonly TStored* _second = second is null ? null : (TStored*)TensorMemory.Address(second);

        public void Run<TFloats>(long start, long end)
            where TFloats : struct, IFloats<TFloats>
        {
            long index = start;
            if (_gradient is null)
            {
                for (; index <= end - TFloats.Count; index += TFloats.Count)
                    Forward<TFloats>(index);
                for (; index < end; index++)
                    Forward<Floats1>(index);
                return;
            }

            for (; index <= end - TFloats.Count; index += TFloats.Count)
                Backward<TFloats>(index);
            for (; index < end; index++)
                Backward<Floats1>(index);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Forward<TFloats>(long index)
            where TFloats : struct, IFloats<TFloats>
        {
            var x = Stored.Load<TStored, TFloats>(_gate + index);
            Stored.Save(x * Sigmoid(x) * Stored.Load<TStored, TFloats>(_up + index), _first + index);
        }

        // With s = sigmoid(gate): dgate = g·up·s·(1 + gate·(1 − s)), dup = g·gate·s.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Backward<TFloats>(long index)
            where TFloats : struct, IFloats<TFloats>
        {
            var x = Stored.Load<TStored, TFloats>(_gate + index);
            var sigmoid = Sigmoid(x);
            var scaled = Stored.Load<TStored, TFloats>(_gradient + index) * sigmoid;
            var one = TFloats.Broadcast(1);
            var slope = TFloats.MultiplyAdd(x, one - sigmoid, one);
            Stored.Save(scaled * Stored.Load<TStored, TFloats>(_up + index) * slope, _first + index);
            Stored.Save(scaled * x, _second + index);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static TFloats Sigmoid<TFloats>(TFloats x)
            where TFloats : struct, IFloats<TFloats>
        {
            var one = TFloats.Broadcast(1);
            return one / (one + Exponential.Of(TFloats.Broadcast(0) - x));
        }
    }
}
