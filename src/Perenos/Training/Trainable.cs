using static TorchSharp.torch;

namespace Perenos.Training;

/// <summary>A tensor that learns, whether weight decay reaches it, and by how much its learning rate differs.</summary>
public sealed record Trainable(string Name, Tensor Tensor, bool Decays)
{
    /// <summary>Multiplies the schedule's rate.</summary>
    public double RateFactor { get; init; } = 1;

    /// <summary>Whether it is a table of vectors, of which a step reaches a few rows only.</summary>
    public bool IsEmbedding { get; init; }

    /// <summary>Hugging Face's rule: norms and names with "bias" do not decay; embeddings and adapters do.</summary>
    public static Trainable Of(string name, Tensor tensor, bool isNorm = false) =>
        new(name, tensor, !isNorm && !name.Contains("bias", StringComparison.OrdinalIgnoreCase));
}
