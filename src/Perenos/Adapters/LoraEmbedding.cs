using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>
/// LoRA on a table of vectors, E + s · (B A)ᵀ with A [rank, vocabulary] and B [width, rank]; with DoRA's magnitudes, one for each
/// dimension over the whole vocabulary. A starts at 0 and B at random, the reverse of a linear layer.
/// </summary>
internal sealed class LoraEmbedding : AdapterPart, IEmbeddingAdapter
{
    private readonly TokenEmbedding _target;
    private readonly KeptWeight _kept;
    private readonly Tensor _down;
    private readonly Tensor _up;
    private readonly Tensor? _magnitude;
    private readonly double _scale;
    private readonly bool _isShared;

    public LoraEmbedding(PeftConfig config, AdapterWeights weights, TokenEmbedding target, ModelParts parts)
    {
        if (Pissa.IsAskedFor(config))
            throw config.NotImplemented("init_lora_weights");
        if (config.Flag("lora_bias"))
            throw config.NotImplemented("lora_bias");
        int rank = config.RankOf(target.Path);
        (_target, _kept, _scale) = (target, new KeptWeight(target.Weight), Lora.ScaleOf(config, target.Path));
        _isShared = ReferenceEquals(target, parts.Embeddings[0]) && parts.Projections.Any(projection => projection.IsTied);
        if (_isShared && config.Flag("ensure_weight_tying"))
            throw config.NotImplemented("ensure_weight_tying");
        _down = weights.Take(target.Path, "lora_embedding_A", [rank, target.Vocabulary], target.Weight, _ => zeros([rank, target.Vocabulary]));
        _up = weights.Take(target.Path, "lora_embedding_B", [target.Width, rank], target.Weight, generator => randn([target.Width, rank], generator: generator));
        _magnitude = config.Flag("use_dora")
            ? weights.Take(target.Path, "lora_magnitude_vector", [target.Width], target.Weight, _ => Dora.Norms(target.Weight.to(ScalarType.Float32).t()))
            : null;
        _down.DetachFromDisposeScope();
        _up.DetachFromDisposeScope();
        _magnitude?.DetachFromDisposeScope();
    }

    public override string Path => _target.Path;

    /// <summary>A, [rank, vocabulary].</summary>
    public Tensor Down => _down;

    /// <summary>B, [width, rank].</summary>
    public Tensor Up => _up;

    public double Scale => _scale;

    public bool HasMagnitude => _magnitude is not null;

    public TokenEmbedding Target => _target;

    public override IEnumerable<(string Name, Tensor Tensor)> Weights
    {
        get
        {
            yield return (PeftNames.OnDisk(Path, "lora_embedding_A"), _down);
            yield return (PeftNames.OnDisk(Path, "lora_embedding_B"), _up);
            if (_magnitude is not null)
                yield return (PeftNames.OnDisk(Path, "lora_magnitude_vector"), _magnitude);
        }
    }

    public override string? WhyNotMerged => _isShared ? "the head shares its weight, and would change too" : null;

    public Tensor Apply(Tensor tokens, Func<Tensor, Tensor> inner)
    {
        using var scope = NewDisposeScope();
        var vectors = inner(tokens);
        var narrow = TokenEmbedding.Rows(_down.t(), tokens); // (B, T, rank)
        var update = narrow.matmul(_up.t()).Times(_scale).to(vectors.dtype); // (B, T, width)
        if (_magnitude is null)
            return vectors.Plus(update).MoveToOuterDisposeScope();
        return vectors.Plus(update).mul(_magnitude.div(Norm()).to(vectors.dtype)).MoveToOuterDisposeScope();
    }

    public override void Attach() => _target.Attach(this);

    public override void Detach() => _target.Detach(this);

    public override void Merge()
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        var sum = Sum();
        _kept.Replace(_magnitude is null ? sum : sum.mul(_magnitude.div(Dora.Norms(sum.t()))));
        Detach();
    }

    public override void Unmerge()
    {
        _kept.Restore();
        Attach();
    }

    public override void Dispose()
    {
        _down.Dispose();
        _up.Dispose();
        _magnitude?.Dispose();
        _kept.Dispose();
    }

    // E + s · (B A)ᵀ, [vocabulary, width], float32.
    private Tensor Sum() => _target.Weight.to(ScalarType.Float32).Plus(_up.matmul(_down).t().Times(_scale));

    // A constant in the backward pass, as for linear layers.
    private Tensor Norm()
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        return Dora.Norms(Sum().t()).MoveToOuterDisposeScope();
    }
}
