using Perenos.Layers;
using Perenos.Models;
using Perenos.Runs.Config;
using Perenos.Training;
using static TorchSharp.torch;

namespace Perenos.Transfer;

/// <summary>
/// The usual loss, and beside it weight · T² · D(teacher, student) on the same tokens: the frozen base as the teacher keeps the
/// student's distributions near what they were (Li and Hoiem 2016, "learning without forgetting", https://arxiv.org/abs/1606.09282).
/// </summary>
/// <param name="student">The model that learns.</param>
/// <param name="teacher">The frozen base; the student itself where an adapter can be taken off.</param>
/// <param name="settings">Weight, temperature, divergence.</param>
/// <param name="asTeacher">Makes the teacher of what it is called on, until it is disposed: takes the student's adapter off.</param>
public sealed class Distillation(CausalModel student, CausalModel teacher, DistillationConfig settings, Func<IDisposable?> asTeacher)
{
    // Rows of logits of both models, in float32, that are held at once.
    private const int RowsAtOnce = 128;

    /// <summary>The objective for the loop.</summary>
    public Tensor Backward(Batch batch, double scale)
    {
        using var scope = NewDisposeScope();
        var reference = TeacherStates(batch);
        using var balance = student.BalanceWeight == 0 ? null : new RouterBalance(tensor(batch.IsReal, [batch.Rows, batch.Width], device: student.Device));
        var hidden = BatchLoss.LearntStates(student, batch, balance); // (N, C)
        // Apart from the graph below it, so that the logits of a chunk are gone before the next one's.
        var states = hidden.detach().requires_grad_();
        var loss = BatchLoss.Sum(student, states, batch, scale);
        loss.backward();
        var total = loss.detach();
        foreach (var (ours, theirs) in states.split(RowsAtOnce).Zip(reference.split(RowsAtOnce)))
            total = total.Plus(Diverge(ours, theirs, scale));
        // What the states' gradient says goes on below them, and with it the experts' balance.
        var below = (hidden * states.grad!).sum();
        if (balance is not null)
        {
            var evenness = balance.Loss().Times(student.BalanceWeight * batch.Targets.Length * scale);
            (below, total) = (below.Plus(evenness), total.Plus(evenness.detach()));
        }

        if (below.requires_grad)
            below.backward();
        return total.MoveToOuterDisposeScope();
    }

    private Tensor Diverge(Tensor ours, Tensor theirs, double scale)
    {
        using var scope = NewDisposeScope();
        Tensor wanted;
        using (asTeacher())
        using (no_grad())
            wanted = teacher.Logits(theirs);
        double factor = settings.Weight * settings.Temperature * settings.Temperature * scale;
        var divergence = Divergence.Sum(student.Logits(ours), wanted, settings.Divergence, settings.Temperature).Times(factor);
        // The rows are a view of the states: their gradients add up there.
        divergence.backward();
        return divergence.detach().MoveToOuterDisposeScope();
    }

    private Tensor TeacherStates(Batch batch)
    {
        using var quiet = no_grad();
        using var off = asTeacher();
        return BatchLoss.LearntStates(teacher, batch);
    }
}
