using Perenos.Models;
using static TorchSharp.torch;

namespace Perenos.Training;

/// <summary>What training minimises: adds a micro-batch's share to the gradients and gives its share of the loss.</summary>
/// <param name="batch">The micro-batch; it has something to learn.</param>
/// <param name="scale">One over the units (<see cref="Batch.Units"/>) of the whole step.</param>
/// <returns>Detached, in the caller's dispose scope: a scalar, or where preferences are learnt (3): loss, reward margin, reward accuracy.</returns>
public delegate Tensor Objective(Batch batch, double scale);

/// <summary>The usual objective.</summary>
public static class CrossEntropy
{
    /// <summary>Mean −ln p of the learnt tokens, and the experts' balance where the model asks for it.</summary>
    public static Objective Of(CausalModel model) => (batch, scale) =>
    {
        using var scope = NewDisposeScope();
        var loss = BatchLoss.Training(model, batch, scale);
        loss.backward();
        return loss.detach().MoveToOuterDisposeScope();
    };
}
