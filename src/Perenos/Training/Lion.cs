using Perenos.Kernels;
using Perenos.Runs.Config;
using static TorchSharp.torch;

namespace Perenos.Training;

/// <summary>Lion: a step of the rate's size along the sign of an interpolated momentum (Chen et al. 2023, https://arxiv.org/abs/2302.06675).</summary>
internal sealed class Lion(LionConfig settings) : IUpdateRule
{
    public IReadOnlyList<(string Name, Tensor Tensor)> Start(Trainable trainable) =>
        [("exp_avg", zeros(trainable.Tensor.shape, ScalarType.Float32, trainable.Tensor.device))];

    public void Update(Tensor weight, Tensor gradient, IReadOnlyList<Tensor> state, in UpdateStep step, Tensor? computeCopy) =>
        FusedMomentum.Step(weight, gradient, state[0], new Rule(settings, step), step.GradientScale, computeCopy);

    private readonly struct Rule(LionConfig settings, UpdateStep step) : IMomentumRule
    {
        private readonly float _keep = (float)(1 - step.LearningRate * step.WeightDecay);
        private readonly float _rate = (float)step.LearningRate;
        private readonly float _beta1 = (float)settings.Beta1, _rest1 = (float)(1 - settings.Beta1);
        private readonly float _beta2 = (float)settings.Beta2, _rest2 = (float)(1 - settings.Beta2);

        public TFloats Apply<TFloats>(TFloats weight, TFloats gradient, ref TFloats momentum)
            where TFloats : struct, IFloats<TFloats>
        {
            var direction = TFloats.Broadcast(_beta1) * momentum + TFloats.Broadcast(_rest1) * gradient;
            momentum = TFloats.Broadcast(_beta2) * momentum + TFloats.Broadcast(_rest2) * gradient;
            return weight * TFloats.Broadcast(_keep) - TFloats.Broadcast(_rate) * TFloats.Sign(direction);
        }

        public void ApplyWithTorch(Tensor weight, Tensor gradient, Tensor momentum)
        {
            var direction = momentum.Times(settings.Beta1).Increase(gradient, 1 - settings.Beta1).sign();
            momentum.Scale(settings.Beta2).Increase(gradient, 1 - settings.Beta2);
            weight.Scale(1 - step.LearningRate * step.WeightDecay).Increase(direction, -step.LearningRate);
        }
    }
}
