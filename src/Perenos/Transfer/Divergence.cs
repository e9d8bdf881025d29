using Perenos.Runs.Config;
using static TorchSharp.torch;

namespace Perenos.Transfer;

/// <summary>How far a student's next-token distributions lie from a teacher's.</summary>
public static class Divergence
{
    /// <summary>Sum over rows of the divergence between softmax(logits / temperature) of both, in nats, without the factor temperature².</summary>
    /// <param name="student">(N, V) logits, in the graph.</param>
    /// <param name="teacher">(N, V) logits.</param>
    /// <param name="kind">Which divergence.</param>
    /// <param name="temperature">Above 1 the small probabilities count more (Hinton et al. 2015, https://arxiv.org/abs/1503.02531).</param>
    public static Tensor Sum(Tensor student, Tensor teacher, DivergenceKind kind, double temperature)
    {
        using var scope = NewDisposeScope();
        // float32: bfloat16 softmax loses mass for long rows. float64 stays.
        Tensor LogShares(Tensor logits) => logits.to(logits.dtype == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32).Times(1 / temperature).log_softmax(-1);
        var (ours, theirs) = (LogShares(student), LogShares(teacher));
        var sum = kind switch
        {
            DivergenceKind.ForwardKl => Kl(theirs, ours),
            DivergenceKind.ReverseKl => Kl(ours, theirs),
            DivergenceKind.JensenShannon => JensenShannon(ours, theirs),
            _ => throw new InvalidOperationException($"Unknown divergence {kind}."),
        };
        return sum.MoveToOuterDisposeScope();
    }

    // Σ p (ln p − ln q) from logarithms.
    private static Tensor Kl(Tensor logP, Tensor logQ) => (logP.exp() * (logP - logQ)).sum();

    private static Tensor JensenShannon(Tensor ours, Tensor theirs)
    {
        var middle = logaddexp(ours, theirs).Plus(-Math.Log(2));
        return Kl(theirs, middle).Plus(Kl(ours, middle)).Times(0.5);
    }
}
