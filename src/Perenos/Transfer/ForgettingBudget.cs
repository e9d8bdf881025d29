namespace Perenos.Transfer;

/// <summary>
/// The strength of a penalty found on the way: it rises while the forecast of forgetting is above the budget and falls while it is
/// below, by a factor of at most e^0.2 a step, tenfold in a dozen.
/// </summary>
/// <param name="Most">Forgetting that is allowed, in nats per token.</param>
public sealed record ForgettingBudget(double Most)
{
    private const double Gain = 0.2;

    // Beyond these ends the strength says nothing any more, and float32 ends.
    private const double Least = 1e-2, Greatest = 1e12;

    /// <summary>The strength of the next step.</summary>
    public double Next(double strength, double forecast) =>
        Math.Clamp(strength * Math.Exp(Gain * Math.Clamp((forecast - Most) / Most, -1, 1)), Least, Greatest);
}
