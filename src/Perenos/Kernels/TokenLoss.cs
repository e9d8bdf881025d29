using Perenos.Runs;
using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Kernels;

/// <summary>
/// Cross-entropy from hidden states and the head's weight. Logits exist for one chunk of positions at a time and are overwritten
/// by their gradients, so memory never grows with positions × vocabulary (as in Hsu et al. 2024, https://arxiv.org/abs/2410.10989).
/// N positions, C channels, V vocabulary.
/// </summary>
public static class TokenLoss
{
    // Large enough for an efficient product, small enough to be forgotten beside the activations.
    private const long ChunkBytes = 64L << 20;
    private const long MostRows = 512;
    private const long FewestRows = 64;

    // Rows of the head whose gradient is computed in a narrow type before it joins the float32 sum.
    private const long HeadRows = 4096;

    /// <summary>
    /// Σ −log p(target) · scale, a scalar whose backward reaches the hidden states, and the head and its bias if they are trained.
    /// Gradients are computed on the way forward: call it once per micro-batch, with one over the number of targets as scale.
    /// </summary>
    /// <param name="hidden">(N, C), labelled positions only; its type computes. N may be 0.</param>
    /// <param name="headWeight">(V, C), trained or frozen; cast to the hidden type where it differs.</param>
    /// <param name="bias">(V), or null.</param>
    /// <param name="targets">(N) int64.</param>
    /// <param name="scale">Multiplies value and gradients.</param>
    /// <param name="cap">c where logits enter the softmax as c · tanh(logit / c); none by default.</param>
    /// <returns>Float32 (float64 for float64 hidden states).</returns>
    /// <exception cref="PerenosException">A target lies outside the vocabulary.</exception>
    public static Tensor Sum(Tensor hidden, Tensor headWeight, Tensor? bias, Tensor targets, double scale = 1, double? cap = null)
    {
        using var scope = NewDisposeScope();
        CheckShapes(hidden, headWeight, bias, targets);
        bool Trained(Tensor? tensor) => is_grad_enabled() && tensor is { requires_grad: true };
        var wanted = new Wanted(Trained(hidden), Trained(headWeight), Trained(bias));
        if (wanted == default)
            return NegativeLogLikelihood(hidden, headWeight, bias, targets, cap).sum().Times(scale).MoveToOuterDisposeScope();
        var call = new Call(wanted, targets, scale, cap);
        var loss = bias is null ? Node.apply(hidden, headWeight, call) : Node.apply(hidden, headWeight, bias, call);
        return loss.MoveToOuterDisposeScope();
    }

    /// <summary>−log p(target) of each position, (N) in float32, without gradients: for evaluation.</summary>
    /// <inheritdoc cref="Sum"/>
    public static Tensor NegativeLogLikelihood(Tensor hidden, Tensor headWeight, Tensor? bias, Tensor targets, double? cap = null)
    {
        using var scope = NewDisposeScope();
        using var noGraph = no_grad();
        CheckShapes(hidden, headWeight, bias, targets);
        var losses = empty(hidden.shape[0], dtype: LossType(hidden), device: hidden.device);
        Run(hidden, headWeight, bias, targets, losses, null, null, cap);
        return losses.MoveToOuterDisposeScope();
    }

    /// <summary>Positions per chunk, evenly spread: about 64 MB of logits, at most 512 rows.</summary>
    internal static long RowsPerChunk(long positions, long vocabulary, long elementSize)
    {
        long most = Math.Clamp(ChunkBytes / Math.Max(1, vocabulary * elementSize), FewestRows, MostRows);
        long chunks = Math.Max(1, (positions + most - 1) / most);
        return Math.Max(1, (positions + chunks - 1) / chunks);
    }

    private static ScalarType LossType(Tensor hidden) =>
        hidden.dtype == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32;

    // One pass over all chunks; with gradients to fill, the logits of a chunk become its gradients.
    private static void Run(
        Tensor hidden, Tensor headWeight, Tensor? bias, Tensor targets, Tensor losses, Gradients? gradients, double? scale, double? cap)
    {
        using var scope = NewDisposeScope();
        var (positions, vocabulary) = (hidden.shape[0], headWeight.shape[0]);
        var weight = headWeight.detach().to(hidden.dtype);
        var addend = bias?.detach().to(hidden.dtype);
        var line = targets.contiguous();
        long rows = RowsPerChunk(positions, vocabulary, hidden.ElementSize);
        // One buffer for all chunks: fresh memory would be zeroed by the kernel each time.
        var buffer = empty(rows, vocabulary, dtype: hidden.dtype, device: hidden.device);
        for (long start = 0; start < positions; start += rows)
        {
            using var chunkScope = NewDisposeScope();
            long count = Math.Min(rows, positions - start);
            var chunk = hidden.detach().narrow(0, start, count);
            // (n, C) · (C, V) -> (n, V)
            var logits = buffer.narrow(0, 0, count);
            if (addend is not null)
                logits.copy_(addend.expand(count, vocabulary));
            logits.addmm_(chunk, weight.t(), beta: addend is null ? 0 : 1, alpha: 1);
            var slopes = cap is null ? null : Cap(logits, cap.Value, wantsSlopes: gradients is not null);
            CrossEntropyRows.Run(logits, line.narrow(0, start, count), losses.narrow(0, start, count), scale);
            if (slopes is not null)
                logits.mul_(slopes);
            gradients?.Add(start, chunk, weight, logits);
        }
    }

    // x becomes c · tanh(x / c), whose slope is 1 − tanh²(x / c).
    private static Tensor? Cap(Tensor logits, double cap, bool wantsSlopes)
    {
        logits.Scale(1 / cap).tanh_();
        var slopes = wantsSlopes ? logits.square().Scale(-1).Increase(1.0) : null;
        logits.Scale(cap);
        return slopes;
    }

    private static void CheckShapes(Tensor hidden, Tensor headWeight, Tensor? bias, Tensor targets)
    {
        if (hidden.dim() != 2 || headWeight.dim() != 2 || hidden.shape[1] != headWeight.shape[1]
            || targets.dim() != 1 || targets.shape[0] != hidden.shape[0] || targets.dtype != ScalarType.Int64
            || (bias is not null && (bias.dim() != 1 || bias.shape[0] != headWeight.shape[0])))
        {
            throw new ArgumentException(
                "Expected hidden states (N, C), a head (V, C), no bias or one of (V), and int64 targets (N); got "
                + string.Join(", ", new[] { hidden, headWeight, bias, targets }.Select(x => x is null ? "none" : $"({string.Join(", ", x.shape)})")) + ".");
        }

        if (targets.shape[0] == 0)
            return;
        var (smallest, largest) = (targets.min().item<long>(), targets.max().item<long>());
        if (smallest < 0 || largest >= headWeight.shape[0])
        {
            throw new PerenosException(
                $"A target token is {(smallest < 0 ? smallest : largest)}, but the model's head has {headWeight.shape[0]} tokens.",
                "use the tokenizer that was saved with this model, and select the labelled positions first.");
        }
    }

    private readonly record struct Wanted(bool Hidden, bool Weight, bool Bias);

    private sealed record Call(Wanted Wanted, Tensor Targets, double Scale, double? Cap);

    /// <summary>Sums of gradients over the chunks; null where nobody asked.</summary>
    private sealed class Gradients
    {
        private readonly Tensor? _weightSum, _biasSum;

        internal Gradients(Wanted wanted, Tensor hidden, Tensor headWeight)
        {
            // float32: many chunks are added up.
            var sumType = LossType(hidden);
            Hidden = wanted.Hidden ? empty_like(hidden) : null;
            _weightSum = wanted.Weight ? zeros(headWeight.shape, dtype: sumType, device: hidden.device) : null;
            _biasSum = wanted.Bias ? zeros(headWeight.shape[0], dtype: sumType, device: hidden.device) : null;
        }

        internal Tensor? Hidden { get; }

        internal Tensor? WeightAs(ScalarType type) => _weightSum?.to(type);

        internal Tensor? BiasAs(ScalarType type) => _biasSum?.to(type);

        internal void Add(long start, Tensor chunk, Tensor weight, Tensor logitGradient)
        {
            // (n, V) · (V, C) -> (n, C)
            Hidden?.narrow(0, start, chunk.shape[0]).addmm_(logitGradient, weight, beta: 0, alpha: 1);
            // (V, n) · (n, C) -> (V, C)
            if (_weightSum?.dtype == chunk.dtype)
                _weightSum.addmm_(logitGradient.t(), chunk, beta: 1, alpha: 1);
            else if (_weightSum is not null)
                AddInStretches(_weightSum, chunk, logitGradient);
            _biasSum?.Increase(logitGradient.sum(dim: 0, type: _biasSum.dtype));
        }
    }

    // A product of the whole head in the narrow type, and its float32 copy, would be the largest tensors of a step.
    private static void AddInStretches(Tensor weightSum, Tensor chunk, Tensor logitGradient)
    {
        for (long start = 0; start < weightSum.shape[0]; start += HeadRows)
        {
            using var scope = NewDisposeScope();
            long count = Math.Min(HeadRows, weightSum.shape[0] - start);
            // (v, n) · (n, C) -> (v, C)
            weightSum.narrow(0, start, count).Increase(logitGradient.narrow(1, start, count).t().mm(chunk));
        }
    }

    /// <summary>The scalar's place in the graph: forward has the gradients already, backward hands them on.</summary>
    private sealed class Node : autograd.SingleTensorFunction<Node>
    {
        public override string Name => nameof(TokenLoss);

        public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
        {
            using var scope = NewDisposeScope();
            var (hidden, headWeight, call) = ((Tensor)vars[0], (Tensor)vars[1], (Call)vars[^1]);
            var bias = vars.Length == 4 ? (Tensor)vars[2] : null;
            var losses = empty(hidden.shape[0], dtype: LossType(hidden), device: hidden.device);
            var gradients = new Gradients(call.Wanted, hidden, headWeight);
            Run(hidden, headWeight, bias, call.Targets, losses, gradients, call.Scale, call.Cap);
            List<Tensor?> kept = [gradients.Hidden, gradients.WeightAs(headWeight.dtype), bias is null ? null : gradients.BiasAs(bias.dtype)];
            foreach (var tensor in kept)
                tensor?.MoveToOuterDisposeScope();
            // The list's empty places are saved as undefined tensors; its element type only lacks the annotation.
            ctx.save_for_backward(kept!);
            ctx.save_data("inputs", vars.Length);
            return losses.sum().Times(call.Scale).MoveToOuterDisposeScope();
        }

        public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
        {
            using var scope = NewDisposeScope();
            int inputs = (int)ctx.get_data("inputs");
            var kept = ctx.get_saved_variables();
            List<Tensor?> result = [];
            for (int index = 0; index < inputs; index++)
            {
                var gradient = index < inputs - 1 ? kept[index] : null;
                result.Add(gradient is null || gradient.IsInvalid ? null : Scaled(gradient, grad_output).MoveToOuterDisposeScope());
            }

            return result!;
        }

        private static Tensor Scaled(Tensor gradient, Tensor factor) =>
            // On the CPU looking costs nothing, and the usual factor is 1.
            factor.device_type == DeviceType.CPU && factor.to(ScalarType.Float64).item<double>() == 1
                ? gradient
                : gradient * factor.to(gradient.dtype);
    }
}
