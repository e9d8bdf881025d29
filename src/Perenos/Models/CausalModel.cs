using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>
/// A decoder-only language model in separately callable parts: embedding, layers, final norm, head. The head is apart so that a
/// loss can see hidden states and never hold logits of all tokens; the layers are enumerable so that a loop can drive them one by one.
/// </summary>
public abstract class CausalModel : IDisposable
{
    /// <summary>Takes over the parts that the family's constructor has built.</summary>
    protected CausalModel(ModelConfig config, ModelParts parts)
    {
        (Config, Parts) = (config, parts);
        parts.FindKeyValueShapes = FindKeyValueShapes;
    }

    /// <summary>Sizes and kinds, as on disk.</summary>
    public ModelConfig Config { get; }

    /// <summary>Weights by name, and the places where adapters attach.</summary>
    public ModelParts Parts { get; }

    /// <summary>The blocks, first to last.</summary>
    public abstract IReadOnlyList<IDecoderLayer> Layers { get; }

    /// <summary>Where tokens become vectors.</summary>
    public abstract TokenEmbedding Embedding { get; }

    /// <summary>From the last hidden state to logits.</summary>
    public abstract Projection Head { get; }

    /// <summary>Factor of the logits; 1 in most families.</summary>
    public virtual double LogitMultiplier => 1;

    /// <summary>c in c · tanh(logit / c), by which logits stay below c; none in most families.</summary>
    public virtual double? LogitCap => null;

    /// <summary>Weight of <see cref="RouterBalance.Loss"/> in the training loss; 0 where there are no experts or none is asked for.</summary>
    public virtual double BalanceWeight => 0;

    /// <summary>Whether cached keys and values of a text of <paramref name="past"/> tokens still serve when it has <paramref name="length"/>.</summary>
    public virtual bool KeepsCache(long past, long length) => true;

    /// <summary>Device of the weights.</summary>
    public Device Device => Embedding.Weight.device;

    /// <summary>Type in which the weights are held and the model computes.</summary>
    public ScalarType ComputeType => Embedding.Weight.dtype;

    /// <summary>Most tokens of text: what the model was made for, less the virtual tokens that are attached.</summary>
    public long MaximumLength => Config.MaximumLength - Parts.VirtualTokens;

    /// <summary>(B, T) int64 -> (B, T, C), virtual tokens included, and fills in what the layers share.</summary>
    public abstract Tensor Embed(Tensor tokens, ForwardContext context);

    /// <summary>(B, T, C) -> (B, T, C).</summary>
    public abstract Tensor FinalNorm(Tensor hidden);

    /// <summary>(B, T) int64 -> hidden states of the text after the final norm (B, T, C).</summary>
    /// <param name="tokens">(B, T) int64.</param>
    /// <param name="attentionMask">(B, K) int64 over cached and given tokens, 0 for padding; needed only for padding on the left.</param>
    /// <param name="positions">(B, T); 0, 1, 2 … by default.</param>
    /// <param name="cache">Keys and values of earlier tokens; grows by T.</param>
    /// <param name="balance">Learns how evenly the tokens spread over experts, where there are any.</param>
    /// <param name="texts">(B, T) int64: numbers of the texts that share a row and must not see each other.</param>
    public Tensor Hidden(
        Tensor tokens, Tensor? attentionMask = null, Tensor? positions = null, KeyValueCache? cache = null, RouterBalance? balance = null, Tensor? texts = null)
    {
        using var scope = NewDisposeScope();
        var hidden = HiddenOfAll(tokens, attentionMask, positions, cache, balance, texts);
        long ahead = hidden.shape[1] - tokens.shape[1];
        return (ahead == 0 ? hidden : hidden.narrow(1, ahead, tokens.shape[1]).contiguous()).MoveToOuterDisposeScope();
    }

    /// <summary>As <see cref="Hidden"/>, the virtual tokens of a first call before the text, (B, N + T, C).</summary>
    internal Tensor HiddenOfAll(Tensor tokens, Tensor? attentionMask, Tensor? positions, KeyValueCache? cache, RouterBalance? balance = null, Tensor? texts = null)
    {
        using var scope = NewDisposeScope();
        var context = ForwardContext.For(tokens, attentionMask, positions, cache, ComputeType, Parts);
        context.Balance = balance;
        if (texts is not null)
            context.Separate(texts, ComputeType);
        var hidden = Embed(tokens, context);
        foreach (var layer in Layers)
            hidden = layer.Forward(hidden, context);
        cache?.Advance(tokens.shape[1]);
        return FinalNorm(hidden).MoveToOuterDisposeScope();
    }

    /// <summary>Prepares a call on (B, T) tokens whose layers the caller drives one by one; positions and texts as for <see cref="Hidden"/>.</summary>
    internal ForwardContext Begin(Tensor tokens, Tensor? positions, Tensor? texts)
    {
        var context = ForwardContext.For(tokens, attentionMask: null, positions, cache: null, ComputeType, Parts);
        if (texts is not null)
            context.Separate(texts, ComputeType);
        return context;
    }

    /// <summary>What the head sees of hidden states (…, C): the factor of the logits stands before it, so that a loss from hidden states needs no other.</summary>
    public Tensor HeadInput(Tensor hidden) => LogitMultiplier == 1 ? hidden : hidden.Times(LogitMultiplier);

    /// <summary>Hidden states (…, C) -> logits (…, V).</summary>
    public Tensor Logits(Tensor hidden)
    {
        using var scope = NewDisposeScope();
        var logits = Head.Forward(HeadInput(hidden));
        if (LogitCap is { } cap)
            logits = logits.Times(1 / cap).tanh().Times(cap);
        return logits.MoveToOuterDisposeScope();
    }

    /// <summary>Frees the weights.</summary>
    public void Dispose()
    {
        foreach (var weight in Parts.Weights.Values)
            weight.Dispose();
        GC.SuppressFinalize(this);
    }

    // Families name and fuse their projections differently; what arrives in the cache is the same for all.
    private KeyValueShape[] FindKeyValueShapes()
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        using var cache = new KeyValueCache(Layers.Count, capacity: 1);
        Hidden(zeros([1, 1], ScalarType.Int64, Device), cache: cache);
        return [.. Enumerable.Range(0, Layers.Count).Select(layer => cache.Keys(layer).shape).Select(shape => new KeyValueShape(shape[1], shape[3]))];
    }
}

/// <summary>One block of a model.</summary>
public interface IDecoderLayer
{
    /// <summary>(B, T, C) -> (B, T, C).</summary>
    Tensor Forward(Tensor hidden, ForwardContext context);
}
