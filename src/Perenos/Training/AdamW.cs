using Perenos.Kernels;
using Perenos.Runs.Config;
using static TorchSharp.torch;

namespace Perenos.Training;

/// <summary>AdamW with decoupled decay (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101), one fused pass a tensor.</summary>
internal sealed class AdamW(AdamWConfig settings) : IUpdateRule
{
    public IReadOnlyList<(string Name, Tensor Tensor)> Start(Trainable trainable) => Moments(trainable.Tensor);

    public void Update(Tensor weight, Tensor gradient, IReadOnlyList<Tensor> state, in UpdateStep step, Tensor? computeCopy) =>
        FusedAdamW.Step(weight, gradient, state[0], state[1], StepOf(settings.Beta1, settings.Beta2, settings.Epsilon, step), computeCopy);

    /// <summary>Both moments in float32, at 0.</summary>
    public static IReadOnlyList<(string Name, Tensor Tensor)> Moments(Tensor like) =>
    [
        ("exp_avg", zeros(like.shape, ScalarType.Float32, like.device)),
        ("exp_avg_sq", zeros(like.shape, ScalarType.Float32, like.device)),
    ];

    public static AdamWStep StepOf(double beta1, double beta2, double epsilon, in UpdateStep step) =>
        new(step.LearningRate, beta1, beta2, epsilon, step.WeightDecay, step.Step, step.GradientScale) { RoundingSeed = step.RoundingSeed };
}
