using System.Runtime.Intrinsics;

namespace Perenos.Kernels;

/// <summary>Work on the elements (or rows) from <c>start</c> to <c>end</c>, independent of all others.</summary>
internal interface IRangeKernel
{
    void Run<TFloats>(long start, long end)
        where TFloats : struct, IFloats<TFloats>;
}

/// <summary>
/// Runs a kernel over a long range, on as many threads as the engine uses. The range is cut at fixed places, so what a kernel
/// computes never depends on the number of threads.
/// </summary>
internal static class Ranges
{
    /// <summary>In the widest registers that this processor has.</summary>
    internal static void Run<TKernel>(TKernel kernel, long length, long chunk)
        where TKernel : struct, IRangeKernel
    {
        if (Vector512.IsHardwareAccelerated)
            Run<TKernel, Floats512>(kernel, length, chunk);
        else if (Vector256.IsHardwareAccelerated)
            Run<TKernel, Floats256>(kernel, length, chunk);
        else if (Vector128.IsHardwareAccelerated)
            Run<TKernel, Floats128>(kernel, length, chunk);
        else
            Run<TKernel, Floats1>(kernel, length, chunk);
    }

    internal static void Run<TKernel, TFloats>(TKernel kernel, long length, long chunk)
        where TKernel : struct, IRangeKernel
        where TFloats : struct, IFloats<TFloats>
    {
        long chunks = (length + chunk - 1) / chunk;
        if (chunks <= 1)
        {
            kernel.Run<TFloats>(0, length);
            return;
        }

        // Whoever is free takes the next chunk.
        long taken = -1;
        EngineThreads.Run(() =>
        {
            for (long index = Interlocked.Increment(ref taken); index < chunks; index = Interlocked.Increment(ref taken))
                kernel.Run<TFloats>(index * chunk, Math.Min(length, (index + 1) * chunk));
        });
    }
}
