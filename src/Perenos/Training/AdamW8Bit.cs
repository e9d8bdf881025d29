using Perenos.Kernels;
using Perenos.Runs.Config;
using static TorchSharp.torch;

namespace Perenos.Training;

/// <summary>
/// AdamW whose moments take a byte each: 256 numbers share a scale, and a code of 256 steps that lie closer near 0 tells them apart
/// (Dettmers et al. 2021, https://arxiv.org/abs/2110.02861). Small tensors and embeddings keep float32 moments, as the paper advises.
/// </summary>
internal sealed class AdamW8Bit(AdamW8BitConfig settings) : IUpdateRule
{
    // Below this there is nothing to save; as in https://github.com/bitsandbytes-foundation/bitsandbytes, min_8bit_size.
    private const long LeastElements = 4096;

    public IReadOnlyList<(string Name, Tensor Tensor)> Start(Trainable trainable)
    {
        var like = trainable.Tensor;
        return trainable.IsEmbedding || like.numel() < LeastElements ? AdamW.Moments(like) : FusedAdamW8Bit.Zeros(like);
    }

    public void Update(Tensor weight, Tensor gradient, IReadOnlyList<Tensor> state, in UpdateStep step, Tensor? computeCopy)
    {
        var settingsOfStep = AdamW.StepOf(settings.Beta1, settings.Beta2, settings.Epsilon, step);
        if (state.Count == 2)
            FusedAdamW.Step(weight, gradient, state[0], state[1], settingsOfStep, computeCopy);
        else
            FusedAdamW8Bit.Step(weight, gradient, state, settingsOfStep, computeCopy);
    }
}
