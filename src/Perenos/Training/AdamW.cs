using Perenos.Kernels;
using Perenos.Runs.Config;
using static TorchSharp.torch;

namespace Perenos.Training;

/// <summary>A tensor that learns, whether weight decay reaches it, and by how much its learning rate differs.</summary>
public sealed record Trainable(string Name, Tensor Tensor, bool Decays)
{
    /// <summary>Multiplies the schedule's rate.</summary>
    public double RateFactor { get; init; } = 1;

    /// <summary>Hugging Face's rule: norms and names with "bias" do not decay; embeddings and adapters do.</summary>
    public static Trainable Of(string name, Tensor tensor, bool isNorm = false) =>
        new(name, tensor, !isNorm && !name.Contains("bias", StringComparison.OrdinalIgnoreCase));
}

/// <summary>AdamW with decoupled decay (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101), one fused pass a tensor.</summary>
public sealed class AdamW : IDisposable
{
    private readonly TrainingConfig _settings;
    private readonly IReadOnlyList<Trainable> _trainables;
    private readonly OrderedDictionary<string, Slot> _slots = [];

    /// <summary>Moments start at 0. A tensor held in bfloat16 gets a float32 master copy, which is what is updated.</summary>
    public AdamW(IReadOnlyList<Trainable> trainables, TrainingConfig settings)
    {
        (_trainables, _settings) = (trainables, settings);
        using var quiet = no_grad();
        foreach (var trainable in trainables)
        {
            using var scope = NewDisposeScope();
            var like = trainable.Tensor;
            Tensor Zeros() => zeros(like.shape, ScalarType.Float32, like.device).DetachFromDisposeScope();
            var master = like.dtype == ScalarType.Float32 ? null : like.detach().to(ScalarType.Float32).DetachFromDisposeScope();
            _slots.Add(trainable.Name, new Slot(Zeros(), Zeros(), master));
        }
    }

    /// <summary>Steps taken.</summary>
    public long StepCount { get; set; }

    /// <summary>Updates every tensor from its gradient times <paramref name="gradientScale"/>, then forgets the gradient.</summary>
    public void Step(double learningRate, double gradientScale)
    {
        StepCount++;
        using var quiet = no_grad();
        foreach (var trainable in _trainables)
        {
            using var gradient = trainable.Tensor.grad;
            if (gradient is null)
                continue;
            var slot = _slots[trainable.Name];
            var settings = new AdamWStep(learningRate * trainable.RateFactor, _settings.Beta1, _settings.Beta2, _settings.Epsilon,
                trainable.Decays ? _settings.WeightDecay : 0, StepCount, gradientScale);
            if (slot.Master is null)
                FusedAdamW.Step(trainable.Tensor, gradient, slot.First, slot.Second, settings);
            else
                FusedAdamW.Step(slot.Master, gradient, slot.First, slot.Second, settings, trainable.Tensor);
            trainable.Tensor.grad = null;
        }
    }

    /// <summary>Everything that a later step depends on beside the weights themselves, by name.</summary>
    public IEnumerable<(string Name, Tensor Tensor)> State()
    {
        foreach (var (name, slot) in _slots)
        {
            yield return ($"exp_avg.{name}", slot.First);
            yield return ($"exp_avg_sq.{name}", slot.Second);
            if (slot.Master is not null)
                yield return ($"master.{name}", slot.Master);
        }
    }

    /// <summary>Frees moments and master copies.</summary>
    public void Dispose()
    {
        foreach (var slot in _slots.Values)
        {
            slot.First.Dispose();
            slot.Second.Dispose();
            slot.Master?.Dispose();
        }
    }

    private sealed record Slot(Tensor First, Tensor Second, Tensor? Master);
}
