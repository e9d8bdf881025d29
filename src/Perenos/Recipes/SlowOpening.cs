using Perenos.Models;

namespace Perenos.Recipes;

/// <summary>Progress of what comes before a run's first step (opening the model, reading streamed data, estimating a Fisher file), kept back where it is quick.</summary>
/// <param name="clock">Measures how long it takes.</param>
/// <param name="tell">Told what is going on, and how many megabytes or pieces of how many are done.</param>
public sealed class SlowOpening(TimeProvider clock, Action<string, int, int> tell) : IProgress<OpenProgress>
{
    private static readonly TimeSpan Quick = TimeSpan.FromSeconds(1);

    private readonly long _start = clock.GetTimestamp();
    private (string What, int Megabytes) _last;

    /// <inheritdoc/>
    public void Report(OpenProgress value) => Report("opening the model", value.Read, value.Total);

    /// <summary>Tells how many pieces of how many are done.</summary>
    public void ReportPiece(string what, int done, int total)
    {
        if (clock.GetElapsedTime(_start) > Quick)
            tell(what, done, total);
    }

    /// <summary>Tells how many bytes of how many were read, each megabyte once.</summary>
    public void Report(string what, long read, long total)
    {
        var now = (what, (int)(read >> 20));
        if (now == _last || clock.GetElapsedTime(_start) <= Quick)
            return;
        _last = now;
        tell($"{what}, MB", now.Item2, Math.Max(1, (int)(total >> 20)));
    }
}
