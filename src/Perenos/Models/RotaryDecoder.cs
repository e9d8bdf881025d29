using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>What a family puts into a <see cref="RotaryDecoder"/>.</summary>
internal sealed record RotaryDecoderDesign
{
    /// <summary>Sizes of the blocks.</summary>
    public required BlockSizes Sizes { get; init; }

    /// <summary>Positions.</summary>
    public required RotaryEmbedding Rotary { get; init; }

    /// <summary>Positions of the layers that see a window, where these have their own.</summary>
    public RotaryEmbedding? LocalRotary { get; init; }

    /// <summary>Builds the block of an index.</summary>
    public required Func<WeightScope, int, IDecoderLayer> Layer { get; init; }

    /// <summary>Factor of the embedding's rows that belongs to the embedding: virtual tokens do not get it.</summary>
    public double EmbeddingScale { get; init; } = 1;

    /// <summary>Factor of what enters the first block.</summary>
    public double EmbeddingMultiplier { get; init; } = 1;

    /// <summary>Factor of the logits.</summary>
    public double LogitMultiplier { get; init; } = 1;

    /// <summary>c in c · tanh(logit / c); none by default.</summary>
    public double? LogitCap { get; init; }

    /// <summary>Weight of the experts' balance in the training loss.</summary>
    public double BalanceWeight { get; init; }
}

/// <summary>The common whole: token embedding, blocks with rotary positions, a norm, a head that may share the embedding's weight.</summary>
internal sealed class RotaryDecoder : CausalModel
{
    private readonly RotaryDecoderDesign _design;
    private readonly IDecoderLayer[] _layers;
    private readonly Func<Tensor, Tensor> _norm;

    public RotaryDecoder(ModelConfig config, WeightSource source, RotaryDecoderDesign design)
        : base(config, new ModelParts())
    {
        _design = design;
        var root = new WeightScope(source, Parts);
        var weights = root["model"];
        Embedding = new TokenEmbedding(weights["embed_tokens"], config.VocabularySize, config.Width, design.Sizes.InitialSpread, design.EmbeddingScale);
        _layers = [.. Enumerable.Range(0, config.LayerCount).Select(index => design.Layer(weights["layers"][$"{index}"], index))];
        _norm = design.Sizes.Norm(weights["norm"]);
        Head = Projection.Head(root["lm_head"], Embedding, config.IsTied, initialSpread: design.Sizes.InitialSpread);
    }

    public override TokenEmbedding Embedding { get; }

    public override Projection Head { get; }

    public override IReadOnlyList<IDecoderLayer> Layers => _layers;

    public override double LogitMultiplier => _design.LogitMultiplier;

    public override double? LogitCap => _design.LogitCap;

    public override double BalanceWeight => _design.BalanceWeight;

    public override bool KeepsCache(long past, long length) => !_design.Rotary.Outgrows(past, length);

    public override Tensor Embed(Tensor tokens, ForwardContext context)
    {
        context.Rotary = _design.Rotary.At(context.Positions);
        context.LocalRotary = _design.LocalRotary?.At(context.Positions);
        var hidden = Embedding.Forward(tokens, context);
        return _design.EmbeddingMultiplier == 1 ? hidden : hidden.Times(_design.EmbeddingMultiplier);
    }

    public override Tensor FinalNorm(Tensor hidden) => _norm(hidden);
}
