using static TorchSharp.torch;

namespace Perenos.Training;

/// <summary>
/// A moving average of the weights, which is what is validated and kept (Polyak and Juditsky 1992, https://doi.org/10.1137/0330046): smoother than
/// the last weights where the rate stays high. Early steps count more, as in timm: the decay is at most (1 + steps) / (10 + steps).
/// </summary>
internal sealed class WeightAverage : IDisposable
{
    private readonly IReadOnlyList<Trainable> _trainables;
    private readonly double _decay;
    private readonly List<Tensor> _averages = [];

    /// <summary>Begins at the present weights, in float32.</summary>
    public WeightAverage(IReadOnlyList<Trainable> trainables, double decay)
    {
        (_trainables, _decay) = (trainables, decay);
        using var quiet = no_grad();
        foreach (var trainable in trainables)
            _averages.Add(trainable.Tensor.detach().to(ScalarType.Float32, copy: true).DetachFromDisposeScope());
    }

    /// <summary>Takes in the weights after a step.</summary>
    public void Add(int stepsTaken)
    {
        using var quiet = no_grad();
        double decay = Math.Min(_decay, (1.0 + stepsTaken) / (10.0 + stepsTaken));
        foreach (var (average, trainable) in _averages.Zip(_trainables))
        {
            using var scope = NewDisposeScope();
            average.Scale(decay).Increase(trainable.Tensor.to(ScalarType.Float32), 1 - decay);
        }
    }

    /// <summary>Makes the averages the weights for good.</summary>
    public void Apply()
    {
        using var quiet = no_grad();
        foreach (var (average, trainable) in _averages.Zip(_trainables))
            trainable.Tensor.copy_(average);
    }

    /// <summary>Makes the averages the weights while <paramref name="look"/> runs.</summary>
    public void Show(Action look)
    {
        using var quiet = no_grad();
        var kept = _trainables.Select(trainable => trainable.Tensor.detach().clone().DetachFromDisposeScope()).ToList();
        try
        {
            Apply();
            look();
        }
        finally
        {
            foreach (var (own, trainable) in kept.Zip(_trainables))
            {
                trainable.Tensor.copy_(own);
                own.Dispose();
            }
        }
    }

    /// <summary>What a later step depends on, by name.</summary>
    public IEnumerable<(string Name, Tensor Tensor)> State() => _averages.Zip(_trainables, (average, trainable) => ($"average.{trainable.Name}", average));

    public void Dispose()
    {
        foreach (var average in _averages)
            average.Dispose();
    }
}
