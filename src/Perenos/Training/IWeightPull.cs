using static TorchSharp.torch;

namespace Perenos.Training;

/// <summary>What a pull did in a step.</summary>
/// <param name="Forecast">Loss that the guarded text is expected to have gained so far, in nats per token; null where nothing is measured.</param>
/// <param name="Strength">λ of the step.</param>
public readonly record struct PullReport(double? Forecast, double Strength);

/// <summary>Something that keeps weights near where they started, beside the gradient of the loss.</summary>
public interface IWeightPull : IDisposable
{
    /// <summary>λ.</summary>
    double Strength { get; }

    /// <summary>½ Σ F (θ − θ*)² of the weights as they are.</summary>
    double Energy();

    /// <summary>What the guarded text is expected to have lost by the weights as they are, in nats per token: with a sketch of the Fisher information ½ Δᵀ F Δ, else the energy.</summary>
    double Forecast();

    /// <summary>Before clipping: adds its share to the gradients. Gives the penalty's value, in nats per token; 0 where it acts after the step.</summary>
    double AddToGradients();

    /// <summary>After the optimizer has moved a tensor.</summary>
    /// <param name="trainable">Which tensor.</param>
    /// <param name="held">The moved numbers: a float32 master copy, or the tensor itself.</param>
    /// <param name="computeCopy">The tensor that computes, where <paramref name="held"/> is its master.</param>
    /// <param name="rate">Learning rate of this tensor in this step.</param>
    /// <param name="roundingSeed">Seed of random rounding.</param>
    void AfterUpdate(Trainable trainable, Tensor held, Tensor? computeCopy, double rate, ulong roundingSeed);

    /// <summary>After all tensors have moved: what it came to.</summary>
    PullReport EndStep();

    /// <summary>What a later step depends on, by name.</summary>
    IEnumerable<(string Name, Tensor Tensor)> State();
}
