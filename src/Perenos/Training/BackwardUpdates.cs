using Perenos.Kernels;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Training;

/// <summary>
/// Updates while the way back goes on: as soon as a part of the model has its gradients it moves by them and they are freed, so that
/// never more than one layer's exist, beside those of the token embedding, which the head may share (Lv et al. 2023, https://arxiv.org/abs/2306.09782).
/// </summary>
/// <param name="trainables">What learns.</param>
/// <param name="embedding">The tensor whose gradient is complete at the end only.</param>
/// <param name="optimizer">What moves the weights.</param>
internal sealed class BackwardUpdates(IReadOnlyList<Trainable> trainables, Tensor embedding, Optimizer optimizer)
{
    private readonly HashSet<string> _moved = [];
    private double _squares, _rate;

    /// <summary>Global norm of the step's gradients.</summary>
    public double Norm => Math.Sqrt(_squares);

    /// <summary>A step begins.</summary>
    public void Begin(double rate)
    {
        optimizer.StepCount++;
        (_rate, _squares) = (rate, 0);
        _moved.Clear();
    }

    /// <summary>Moves what has a gradient by now.</summary>
    /// <exception cref="PerenosException">A gradient is not finite.</exception>
    public void Arrived(bool isLast)
    {
        using var scope = NewDisposeScope();
        foreach (var trainable in trainables.Where(trainable => isLast || !ReferenceEquals(trainable.Tensor, embedding)))
        {
            if (trainable.Tensor.grad is not { } gradient)
                continue;
            if (!_moved.Add(trainable.Name))
                throw new InvalidOperationException($"{trainable.Name} has gradients from two parts of the model.");
            double norm = GradientNorm.Of([gradient]);
            if (!double.IsFinite(norm))
            {
                throw new PerenosException($"Step {optimizer.StepCount}: the gradient of {trainable.Name} has the norm {norm:G4}.",
                    "The weights of the last checkpoint are kept. Lower training.learning_rate, or look at the rows of this step.");
            }

            _squares += norm * norm;
            optimizer.Update(trainable, _rate, gradientScale: 1);
        }
    }
}
