using Perenos.Runs.Config;
using static TorchSharp.torch;

namespace Perenos.Training;

/// <summary>
/// Adafactor with a given rate: the second moment of a matrix is the product of its row and column means, and an update whose root
/// mean square is too large is scaled down (Shazeer and Stern 2018, https://arxiv.org/abs/1804.04235, algorithms 4 and 5, in the form
/// that transformers calls <c>relative_step=False, scale_parameter=False</c>). No first moment.
/// </summary>
internal sealed class Adafactor(AdafactorConfig settings) : IUpdateRule
{
    public IReadOnlyList<(string Name, Tensor Tensor)> Start(Trainable trainable)
    {
        var tensor = trainable.Tensor;
        Tensor Zeros(long[] shape) => zeros(shape, ScalarType.Float32, tensor.device);
        return tensor.dim() < 2
            ? [("exp_avg_sq", Zeros(tensor.shape))]
            : [("exp_avg_sq_row", Zeros(tensor.shape[..^1])), ("exp_avg_sq_col", Zeros([.. tensor.shape[..^2], tensor.shape[^1]]))];
    }

    public void Update(Tensor weight, Tensor gradient, IReadOnlyList<Tensor> state, in UpdateStep step, Tensor? computeCopy)
    {
        using var scope = NewDisposeScope();
        double keep = 1 - Math.Pow(step.Step, settings.DecayExponent);
        var scaled = gradient.to(ScalarType.Float32).Times(step.GradientScale);
        var squares = scaled.square().Increase(settings.Epsilon);
        var update = state.Count == 1 ? Whole(scaled, squares, state[0], keep) : Factored(scaled, squares, state[0], state[1], keep);

        // Waits for the device; on the CPU that costs nothing.
        double size = update.square().mean().sqrt().item<float>();
        weight.Scale(1 - step.LearningRate * step.WeightDecay);
        weight.Increase(update, -step.LearningRate / Math.Max(1, size / settings.ClipThreshold));
        computeCopy?.copy_(weight);
    }

    private static Tensor Whole(Tensor gradient, Tensor squares, Tensor mean, double keep)
    {
        mean.Scale(keep).Increase(squares, 1 - keep);
        return gradient * mean.rsqrt();
    }

    // (…, R, C): row means (…, R), column means (…, C).
    private static Tensor Factored(Tensor gradient, Tensor squares, Tensor rows, Tensor columns, double keep)
    {
        rows.Scale(keep).Increase(squares.mean([-1]), 1 - keep);
        columns.Scale(keep).Increase(squares.mean([-2]), 1 - keep);
        var rowFactor = (rows / rows.mean([-1], keepdim: true)).rsqrt().unsqueeze(-1); // (…, R, 1)
        return gradient * rowFactor * columns.rsqrt().unsqueeze(-2);
    }
}
