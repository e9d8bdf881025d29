using static TorchSharp.torch;

namespace Perenos.Layers;

/// <summary>x / rms(x) · w over the last axis (Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467).</summary>
public sealed class RootMeanSquareNorm
{
    private readonly Tensor _weight;
    private readonly double _epsilon;
    private readonly bool _isStoredLessOne;

    /// <summary>Takes <c>weight</c> [width].</summary>
    /// <param name="weights">The place of the norm.</param>
    /// <param name="width">Width of the last axis.</param>
    /// <param name="epsilon">Added to the mean of squares.</param>
    /// <param name="isStoredLessOne">Gemma: the weight lies as w − 1.</param>
    public RootMeanSquareNorm(WeightScope weights, long width, double epsilon, bool isStoredLessOne = false)
    {
        _weight = weights.Take("weight", [width], isStoredLessOne ? new Initialization.Zeros() : new Initialization.Ones());
        (_epsilon, _isStoredLessOne) = (epsilon, isStoredLessOne);
        weights.Parts.NormWeights.Add(weights.Path + ".weight");
    }

    /// <summary>(…, width) -> (…, width).</summary>
    public Tensor Forward(Tensor input)
    {
        if (!_isStoredLessOne)
            return Kernels.RootMeanSquareNorm.Apply(input, _weight, _epsilon);
        using var scope = NewDisposeScope();
        // float32: next to 1, bfloat16 keeps two digits of the difference.
        var wide = _weight.dtype == ScalarType.Float64 ? _weight : _weight.to(ScalarType.Float32);
        return Kernels.RootMeanSquareNorm.Apply(input, wide.Plus(1), _epsilon).MoveToOuterDisposeScope();
    }
}

/// <summary>(x − mean) / deviation · w + b over the last axis (Ba et al. 2016, https://arxiv.org/abs/1607.06450).</summary>
public sealed class LayerNormalization
{
    private readonly Tensor? _weight;
    private readonly Tensor? _bias;
    private readonly double _epsilon;

    /// <summary>Takes <c>weight</c> and <c>bias</c> [width], or what there is of them.</summary>
    public LayerNormalization(WeightScope weights, long width, double epsilon, bool hasBias = true, bool hasWeight = true)
    {
        _weight = hasWeight ? weights.Take("weight", [width], new Initialization.Ones()) : null;
        _bias = hasBias ? weights.Take("bias", [width], new Initialization.Zeros()) : null;
        _epsilon = epsilon;
        if (hasWeight)
            weights.Parts.NormWeights.Add(weights.Path + ".weight");
    }

    /// <summary>(…, width) -> (…, width).</summary>
    public Tensor Forward(Tensor input) => nn.functional.layer_norm(input, [input.shape[^1]], _weight, _bias, _epsilon);
}
