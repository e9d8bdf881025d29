using Perenos.Models;

namespace Perenos.Recipes;

/// <summary>Progress of opening a model and of reading streamed data, kept back where it is quick.</summary>
/// <param name="clock">Measures how long it takes.</param>
/// <param name="tell">Told what is going on, and how many megabytes of how many were read.</param>
public sealed class SlowOpening(TimeProvider clock, Action<string, int, int> tell) : IProgress<OpenProgress>
{
    private static readonly TimeSpan Quick = TimeSpan.FromSeconds(1);

    private readonly long _start = clock.GetTimestamp();
    private (string What, int Megabytes) _last;

    /// <inheritdoc/>
    public void Report(OpenProgress value) => Report("opening the model", value.Read, value.Total);

    /// <summary>Tells how many bytes of how many were read, each megabyte once.</summary>
    public void Report(string what, long read, long total)
    {
        var now = (what, (int)(read >> 20));
        if (now == _last || clock.GetElapsedTime(_start) <= Quick)
            return;
        _last = now;
        tell(what, now.Item2, Math.Max(1, (int)(total >> 20)));
    }
}
