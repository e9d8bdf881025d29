using static TorchSharp.torch;

namespace Perenos.Training;

/// <summary>What one update of one tensor needs besides the tensors.</summary>
/// <param name="LearningRate">Rate of this step for this tensor.</param>
/// <param name="WeightDecay">Decay per unit of rate; 0 where the tensor is exempt.</param>
/// <param name="Step">Counts from 1.</param>
/// <param name="GradientScale">Multiplies the gradient first.</param>
/// <param name="RoundingSeed">Seed of stochastic rounding, another one for each tensor and step.</param>
public readonly record struct UpdateStep(double LearningRate, double WeightDecay, long Step, double GradientScale, ulong RoundingSeed);

/// <summary>How one tensor moves by its gradient: an optimizer's formula, without the walk over tensors.</summary>
public interface IUpdateRule
{
    /// <summary>Fresh state of a tensor by PyTorch's names; the caller owns it.</summary>
    IReadOnlyList<(string Name, Tensor Tensor)> Start(Trainable trainable);

    /// <summary>Moves a weight and its state in place.</summary>
    /// <param name="weight">Float32 (a master copy where <paramref name="computeCopy"/> is given); bfloat16 where the settings keep no master.</param>
    /// <param name="gradient">Float32 or bfloat16; left as it is.</param>
    /// <param name="state">As <see cref="Start"/> gave it, in its order.</param>
    /// <param name="step">Rates and counters.</param>
    /// <param name="computeCopy">Bfloat16 weights that compute: they become the weight, rounded to nearest even.</param>
    void Update(Tensor weight, Tensor gradient, IReadOnlyList<Tensor> state, in UpdateStep step, Tensor? computeCopy);
}
