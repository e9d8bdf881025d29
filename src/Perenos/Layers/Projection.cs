using static TorchSharp.torch;

namespace Perenos.Layers;

/// <summary>What may be put on a <see cref="Projection"/>: it sees the input and decides what becomes of it.</summary>
public interface IProjectionAdapter
{
    /// <summary>The adapted output (…, outputs) of an input (…, inputs).</summary>
    /// <param name="input">What the layer is given.</param>
    /// <param name="inner">The layer without this adapter: plain, or with the adapters that were attached before.</param>
    Tensor Apply(Tensor input, Func<Tensor, Tensor> inner);
}

/// <summary>A linear layer y = x Wᵀ + b with a slot for adapters.</summary>
public sealed class Projection
{
    private readonly List<IProjectionAdapter> _adapters = [];

    /// <summary>Takes <c>weight</c> and, if asked, <c>bias</c> from <paramref name="weights"/>.</summary>
    /// <param name="weights">The place of this layer in the tree of weights.</param>
    /// <param name="inputs">Width of the input.</param>
    /// <param name="outputs">Width of the output.</param>
    /// <param name="hasBias">Whether there is a bias.</param>
    /// <param name="isTransposed">GPT-2's Conv1D: the weight lies on disk as [inputs, outputs].</param>
    /// <param name="initialSpread">Standard deviation of the weight without a checkpoint.</param>
    public Projection(WeightScope weights, long inputs, long outputs, bool hasBias, bool isTransposed = false, double initialSpread = 0.02)
    {
        (Path, Inputs, Outputs, IsTransposed) = (weights.Path, inputs, outputs, isTransposed);
        Weight = weights.Take("weight", isTransposed ? [inputs, outputs] : [outputs, inputs], new Initialization.Normal(initialSpread));
        Bias = hasBias ? weights.Take("bias", [outputs], new Initialization.Zeros()) : null;
        weights.Parts.Add(this);
    }

    /// <summary>A head that shares its weight [outputs, inputs] with the token embedding.</summary>
    public Projection(WeightScope weights, Tensor tiedWeight, bool hasBias = false)
    {
        (Path, Weight, IsTied) = (weights.Path, tiedWeight, true);
        (Outputs, Inputs) = (tiedWeight.shape[0], tiedWeight.shape[1]);
        Bias = hasBias ? weights.Take("bias", [Outputs], new Initialization.Zeros()) : null;
        weights.Parts.Add(this);
    }

    /// <summary>The output head. Tied in the configuration but another tensor in the file: not tied.</summary>
    internal static Projection Head(WeightScope weights, TokenEmbedding embedding, bool isTied, bool hasBias = false, double initialSpread = 0.02) =>
        isTied && !weights.Has("weight")
            ? new Projection(weights, embedding.Weight, hasBias)
            : new Projection(weights, embedding.Weight.shape[1], embedding.Weight.shape[0], hasBias, initialSpread: initialSpread);

    /// <summary>The layer's name, such as <c>model.layers.0.self_attn.q_proj</c>.</summary>
    public string Path { get; }

    /// <summary>Width of the input.</summary>
    public long Inputs { get; }

    /// <summary>Width of the output.</summary>
    public long Outputs { get; }

    /// <summary>Whether the weight lies as [inputs, outputs] (GPT-2's Conv1D).</summary>
    public bool IsTransposed { get; }

    /// <summary>Whether the weight belongs to the token embedding.</summary>
    public bool IsTied { get; }

    /// <summary>[outputs, inputs], or [inputs, outputs] if <see cref="IsTransposed"/>.</summary>
    public Tensor Weight { get; }

    /// <summary>[outputs], or none.</summary>
    public Tensor? Bias { get; }

    /// <summary>Whether anything is attached here.</summary>
    public bool IsAdapted => _adapters.Count > 0;

    /// <summary>Puts an adapter on top of what is attached already.</summary>
    public void Attach(IProjectionAdapter adapter) => _adapters.Add(adapter);

    /// <summary>Takes an adapter off; the others stay.</summary>
    public void Detach(IProjectionAdapter adapter) => _adapters.Remove(adapter);

    /// <summary>(…, inputs) -> (…, outputs), through the adapters if there are any.</summary>
    public Tensor Forward(Tensor input) => Through(_adapters.Count - 1, input);

    /// <summary>(…, inputs) -> (…, outputs) by the layer's own weight and bias.</summary>
    public Tensor Plain(Tensor input)
    {
        if (!IsTransposed)
            return nn.functional.linear(input, Weight, Bias);
        var product = input.matmul(Weight);
        return Bias is null ? product : product.Plus(Bias);
    }

    private Tensor Through(int top, Tensor input) =>
        top < 0 ? Plain(input) : _adapters[top].Apply(input, below => Through(top - 1, below));
}
