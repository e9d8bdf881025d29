using Perenos.Runs.Config;
using Perenos.Training;
using static TorchSharp.torch;

namespace Perenos.Transfer;

/// <summary>λ of a penalty, as the settings give it or as a budget steers it from there; and the forecast by which that is done.</summary>
internal sealed class PenaltyStrength : IDisposable
{
    // Steps from one comparison of the whole forecast with the diagonal's to the next; between them the ratio of the two hardly changes.
    private const int ComparedEvery = 10;

    private readonly PenaltyConfig _settings;
    private readonly ForgettingBudget? _budget;
    private readonly Tensor _state; // λ, forecast / energy, steps

    public PenaltyStrength(PenaltyConfig settings)
    {
        (_settings, _budget) = (settings, settings.Budget is { } most ? new ForgettingBudget(most) : null);
        _state = tensor(new[] { settings.Strength, 1, 0 }).DetachFromDisposeScope();
    }

    /// <summary>λ of the next step.</summary>
    public double Value => Number(0);

    /// <summary>What a later step depends on, by name.</summary>
    public IEnumerable<(string Name, Tensor Tensor)> State => [("penalty.strength", _state)];

    /// <summary>Says what the step came to, and moves on to the next step's strength.</summary>
    /// <param name="energy">½ Σ F Δ² of the moved weights.</param>
    /// <param name="forecast">What they are expected to come to, from the energy.</param>
    public PullReport EndStep(double energy, Func<double, double> forecast)
    {
        var (strength, ratio, steps) = (Number(0), Number(1), Number(2));
        if (energy is > 0 and < double.PositiveInfinity && steps % ComparedEvery == 0)
            ratio = forecast(energy) / energy;
        double expected = ratio * energy;
        using var next = tensor(new[] { _budget?.Next(strength, expected) ?? strength, ratio, steps + 1 });
        using var quiet = no_grad();
        _state.copy_(next);
        return new PullReport(_settings is EwcConfig ? expected : null, strength);
    }

    /// <summary>Frees the numbers.</summary>
    public void Dispose() => _state.Dispose();

    private double Number(int index) => _state.data<double>()[index];
}
