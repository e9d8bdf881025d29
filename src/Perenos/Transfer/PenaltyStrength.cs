using Perenos.Runs.Config;
using Perenos.Training;
using static TorchSharp.torch;

namespace Perenos.Transfer;

/// <summary>λ of a penalty: as the settings give it, or as a budget steers it from there.</summary>
internal sealed class PenaltyStrength(PenaltyConfig settings) : IDisposable
{
    private readonly ForgettingBudget? _budget = settings.Budget is { } most ? new ForgettingBudget(most) : null;
    private readonly Tensor _value = Arithmetic.Filled([1], settings.Strength, ScalarType.Float64).DetachFromDisposeScope();

    /// <summary>λ of the next step.</summary>
    public double Value => _value.item<double>();

    /// <summary>What a later step depends on, by name.</summary>
    public IEnumerable<(string Name, Tensor Tensor)> State => [("penalty.strength", _value)];

    /// <summary>Says what the step came to, and moves on to the next step's strength.</summary>
    /// <param name="energy">½ Σ F Δ² of the moved weights.</param>
    public PullReport EndStep(double energy)
    {
        var report = new PullReport(settings is EwcConfig ? energy : null, Value);
        if (_budget is not null)
            _value.Scale(_budget.Next(Value, energy) / Value);
        return report;
    }

    /// <summary>Frees the number.</summary>
    public void Dispose() => _value.Dispose();
}
