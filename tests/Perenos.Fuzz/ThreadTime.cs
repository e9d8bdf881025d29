using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Perenos.Fuzz;

/// <summary>Time that the processor spent on this thread: what other programs do meanwhile does not count. Wall time where the system does not tell.</summary>
public static partial class ThreadTime
{
    private const int ThreadClock = 3; // CLOCK_THREAD_CPUTIME_ID

    /// <summary>Seconds since some moment.</summary>
    public static double Seconds() =>
        OperatingSystem.IsLinux() && Read(ThreadClock, out var time) == 0
            ? time.Seconds + time.Nanoseconds / 1e9
            : (double)Stopwatch.GetTimestamp() / Stopwatch.Frequency;

    private struct Time
    {
        public long Seconds;
        public long Nanoseconds;
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int Read(int clock, out Time time);
}
