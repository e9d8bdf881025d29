using static TorchSharp.torch;

namespace Perenos.Kernels;

/// <summary>
/// Rows of logits to losses, and in the same visit to gradients: loss = log Σ exp(x) − x[target], and
/// dx = (softmax(x) − onehot(target)) · scale written over x. Softmax and loss are float32 or better whatever the logits are.
/// </summary>
internal static unsafe class CrossEntropyRows
{
    /// <summary>
    /// Fills <paramref name="losses"/> and, where a scale is given, turns the logits into gradients in place.
    /// </summary>
    /// <param name="logits">(rows, vocabulary), contiguous.</param>
    /// <param name="targets">(rows) int64, each below the vocabulary: the caller has checked.</param>
    /// <param name="losses">(rows), float32; float64 for float64 logits.</param>
    /// <param name="gradientScale">Null leaves the logits as they are.</param>
    internal static void Run(Tensor logits, Tensor targets, Tensor losses, double? gradientScale)
    {
        bool plain = TensorMemory.IsPlain(targets, ScalarType.Int64) && TensorMemory.IsPlain(losses, ScalarType.Float32);
        if (plain && TensorMemory.IsPlain(logits, ScalarType.Float32))
            Ranges.Run(new Kernel<float>(logits, targets, losses, gradientScale), logits.shape[0], RowsPerTask(logits));
        else if (plain && TensorMemory.IsPlain(logits, ScalarType.BFloat16))
            Ranges.Run(new Kernel<ushort>(logits, targets, losses, gradientScale), logits.shape[0], RowsPerTask(logits));
        else
            RunWithTorch(logits, targets, losses, gradientScale);
        GC.KeepAlive((logits, targets, losses));
    }

    /// <summary>The kernel in one register width, whatever the processor has.</summary>
    internal static void RunAtWidth<TFloats>(Tensor logits, Tensor targets, Tensor losses, double? gradientScale)
        where TFloats : struct, IFloats<TFloats>
    {
        if (logits.dtype == ScalarType.BFloat16)
            Ranges.Run<Kernel<ushort>, TFloats>(new(logits, targets, losses, gradientScale), logits.shape[0], RowsPerTask(logits));
        else
            Ranges.Run<Kernel<float>, TFloats>(new(logits, targets, losses, gradientScale), logits.shape[0], RowsPerTask(logits));
        GC.KeepAlive((logits, targets, losses));
    }

    /// <summary>The same in torch operations: any device and type.</summary>
    internal static void RunWithTorch(Tensor logits, Tensor targets, Tensor losses, double? gradientScale)
    {
        using var scope = NewDisposeScope();
        // float32: bfloat16 softmax loses mass for long rows.
        var wide = logits.to(losses.dtype);
        var logSum = wide.logsumexp(1, keepdim: true);
        var column = targets.unsqueeze(1);
        losses.copy_((logSum - wide.gather(1, column)).squeeze(1));
        if (gradientScale is not { } scale)
            return;
        var gradient = (wide - logSum).exp_();
        gradient.scatter_add_(1, column, Arithmetic.Filled(logSum.shape, -1, logSum.dtype, logSum.device));
        logits.copy_(gradient.Scale(scale));
    }

    // About 64 Ki logits at a time.
    private static long RowsPerTask(Tensor logits) => Math.Max(1, (1 << 16) / Math.Max(1, logits.shape[1]));

    private readonly struct Kernel<TStored>(Tensor logits, Tensor targets, Tensor losses, double? gradientScale) : IRangeKernel
        where TStored : unmanaged
    {
        // A block's exponentials are added in float32, the blocks in double.
        private const long Block = 1024;

        private readonly TStored* _logits = (TStored*)TensorMemory.Address(logits);
        private readonly long* _targets = (long*)TensorMemory.Address(targets);
        private readonly float* _losses = (float*)TensorMemory.Address(losses);
        private readonly long _vocabulary = logits.shape[1];
        private readonly bool _wantsGradient = gradientScale is not null;
        private readonly double _scale = gradientScale ?? 0;

        public void Run<TFloats>(long start, long end)
            where TFloats : struct, IFloats<TFloats>
        {
            for (long row = start; row < end; row++)
            {
                var values = _logits + row * _vocabulary;
                float target = At(values + _targets[row]);
                float largest = Largest<TFloats>(values);
                double sum = SumOfExponentials<TFloats>(values, largest);
                _losses[row] = (float)(Math.Log(sum) + ((double)largest - target));
                if (_wantsGradient)
                    WriteGradient<TFloats>(values, _targets[row], largest, target, sum);
            }
        }

        private float Largest<TFloats>(TStored* values)
            where TFloats : struct, IFloats<TFloats>
        {
            var lanes = TFloats.Broadcast(float.NegativeInfinity);
            long index = 0;
            for (; index <= _vocabulary - TFloats.Count; index += TFloats.Count)
                lanes = TFloats.Maximum(lanes, Stored.Load<TStored, TFloats>(values + index));
            float largest = lanes.LargestLane();
            for (; index < _vocabulary; index++)
                largest = MathF.Max(largest, At(values + index));
            return largest;
        }

        private double SumOfExponentials<TFloats>(TStored* values, float largest)
            where TFloats : struct, IFloats<TFloats>
        {
            double sum = 0;
            long index = 0;
            while (index <= _vocabulary - TFloats.Count)
            {
                long end = Math.Min(_vocabulary, index + Block);
                var lanes = TFloats.Broadcast(0);
                for (; index <= end - TFloats.Count; index += TFloats.Count)
                    lanes += Exponential.Of(Stored.Load<TStored, TFloats>(values + index) - TFloats.Broadcast(largest));
                sum += lanes.Sum();
            }

            for (; index < _vocabulary; index++)
                sum += Exponential.Of(Stored.Load<TStored, Floats1>(values + index) - Floats1.Broadcast(largest)).Sum();
            return sum;
        }

        private void WriteGradient<TFloats>(TStored* values, long targetIndex, float largest, float target, double sum)
            where TFloats : struct, IFloats<TFloats>
        {
            float factor = (float)(_scale / sum);
            long index = 0;
            for (; index <= _vocabulary - TFloats.Count; index += TFloats.Count)
                Write<TFloats>(values + index, largest, factor);
            for (; index < _vocabulary; index++)
                Write<Floats1>(values + index, largest, factor);
            // In double: 1 - p of a sure prediction keeps its digits.
            Stored.Save(Floats1.Broadcast((float)((Math.Exp((double)target - largest) / sum - 1) * _scale)), values + targetIndex);
        }

        private static void Write<TFloats>(TStored* values, float largest, float factor)
            where TFloats : struct, IFloats<TFloats> =>
            Stored.Save(
                Exponential.Of(Stored.Load<TStored, TFloats>(values) - TFloats.Broadcast(largest)) * TFloats.Broadcast(factor), values);

        private static float At(TStored* value) => (float)Stored.Load<TStored, Floats1>(value).Sum();
    }
}
