using Perenos.Models;

namespace Perenos.Recipes;

/// <summary>Progress of opening a model, kept back where it is quick.</summary>
/// <param name="clock">Measures how long it takes.</param>
/// <param name="tell">Told what is going on, and how many megabytes of how many were read.</param>
public sealed class SlowOpening(TimeProvider clock, Action<string, int, int> tell) : IProgress<OpenProgress>
{
    private static readonly TimeSpan Quick = TimeSpan.FromSeconds(1);

    private readonly long _start = clock.GetTimestamp();

    /// <inheritdoc/>
    public void Report(OpenProgress value)
    {
        if (clock.GetElapsedTime(_start) > Quick)
            tell("opening the model", (int)(value.Read >> 20), Math.Max(1, (int)(value.Total >> 20)));
    }
}
