using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Training;

/// <summary>
/// NEFTune: uniform noise within ±α / √(T · C) on the embedded tokens (B, T, C) in training (Jain et al. 2023,
/// https://arxiv.org/abs/2310.05914). T is the width of the batch, padding included, as in the authors' code. Off unless a step has named its seed.
/// </summary>
public sealed class EmbeddingNoise : IEmbeddingAdapter, IDisposable
{
    private readonly TokenEmbedding _embedding;
    private readonly double _alpha;
    private Generator? _generator;

    /// <summary>Puts the noise on an embedding.</summary>
    public EmbeddingNoise(TokenEmbedding embedding, double alpha)
    {
        (_embedding, _alpha) = (embedding, alpha);
        embedding.Attach(this);
    }

    /// <summary>Whether it is off for a while, without ending the step: the frozen base sees none.</summary>
    public bool IsSilent { get; set; }

    /// <summary>Switches it on for one step, with its own named seed; null switches it off.</summary>
    public void Renew(ulong? seed)
    {
        _generator?.Dispose();
        _generator = seed is { } value ? new Generator(value) : null;
    }

    /// <inheritdoc/>
    public Tensor Apply(Tensor tokens, Func<Tensor, Tensor> inner)
    {
        var vectors = inner(tokens);
        if (_generator is null || IsSilent)
            return vectors;
        using var scope = NewDisposeScope();
        double most = _alpha / Math.Sqrt(vectors.shape[1] * vectors.shape[2]);
        var noise = rand(vectors.shape, generator: _generator).Scale(2 * most).Increase(-most);
        return vectors.Plus(noise.to(vectors.device).to(vectors.dtype)).MoveToOuterDisposeScope();
    }

    /// <summary>Takes the noise off.</summary>
    public void Dispose()
    {
        _embedding.Detach(this);
        _generator?.Dispose();
    }
}
