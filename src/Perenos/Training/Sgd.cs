using Perenos.Kernels;
using Perenos.Runs.Config;
using static TorchSharp.torch;

namespace Perenos.Training;

/// <summary>Stochastic gradient descent with momentum, as torch.optim.SGD without dampening: g += decay · w; b = momentum · b + g; w −= rate · b.</summary>
internal sealed class Sgd(SgdConfig settings) : IUpdateRule
{
    public IReadOnlyList<(string Name, Tensor Tensor)> Start(Trainable trainable) =>
        [("momentum_buffer", zeros(trainable.Tensor.shape, ScalarType.Float32, trainable.Tensor.device))];

    public void Update(Tensor weight, Tensor gradient, IReadOnlyList<Tensor> state, in UpdateStep step, Tensor? computeCopy) =>
        FusedMomentum.Step(weight, gradient, state[0], new Rule(settings.Momentum, step), step.GradientScale, computeCopy);

    private readonly struct Rule(double momentumShare, UpdateStep step) : IMomentumRule
    {
        private readonly float _momentum = (float)momentumShare;
        private readonly float _decay = (float)step.WeightDecay;
        private readonly float _rate = (float)step.LearningRate;

        public TFloats Apply<TFloats>(TFloats weight, TFloats gradient, ref TFloats momentum)
            where TFloats : struct, IFloats<TFloats>
        {
            momentum = TFloats.Broadcast(_momentum) * momentum + (gradient + TFloats.Broadcast(_decay) * weight);
            return weight - TFloats.Broadcast(_rate) * momentum;
        }

        public void ApplyWithTorch(Tensor weight, Tensor gradient, Tensor momentum)
        {
            momentum.Scale(momentumShare).Increase(gradient).Increase(weight, step.WeightDecay);
            weight.Increase(momentum, -step.LearningRate);
        }
    }
}
