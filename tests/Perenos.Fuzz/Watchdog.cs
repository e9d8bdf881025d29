namespace Perenos.Fuzz;

/// <summary>Ends the process where one input takes minutes: a reader that hangs cannot be stopped otherwise.</summary>
internal sealed class Watchdog : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly Func<long, string> _message;
    private readonly Timer _timer;
    private long _number;

    public Watchdog(Func<long, string> message)
    {
        _message = message;
        _timer = new Timer(_ => End(), null, Patience, Timeout.InfiniteTimeSpan);
    }

    public void Begin(long number)
    {
        _number = number;
        _timer.Change(Patience, Timeout.InfiniteTimeSpan);
    }

    public void Dispose() => _timer.Dispose();

    private void End()
    {
        Console.WriteLine(_message(_number));
        Environment.Exit(1);
    }
}
