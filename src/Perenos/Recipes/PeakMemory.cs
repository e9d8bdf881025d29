using System.Diagnostics;

namespace Perenos.Recipes;

/// <summary>Most memory that this process has held, in bytes.</summary>
public static class PeakMemory
{
    /// <summary>The operating system's own account.</summary>
    public static long OfProcess()
    {
        using var process = Process.GetCurrentProcess();
        return process.PeakWorkingSet64;
    }
}
