using System.Diagnostics;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace Perenos.Kernels;

/// <summary>
/// Work on the engine's own OpenMP threads. After each of the engine's operations they spin for up to a millisecond in wait for
/// the next one, so threads of .NET would find every other core taken.
/// </summary>
internal static unsafe class EngineThreads
{
    // void GOMP_parallel(void (*fn)(void *), void *data, unsigned num_threads, unsigned flags) of GCC's OpenMP library, which the
    // Linux builds of libtorch bring along; elsewhere .NET's threads serve.
    private static readonly delegate* unmanaged<delegate* unmanaged<void*, void>, void*, uint, uint, void> InParallel = Find();

    /// <summary>Calls <paramref name="work"/> once on each of the engine's threads, and returns when all have returned.</summary>
    internal static void Run(Action work)
    {
        int threads = Math.Max(1, get_num_threads());
        if (InParallel is null)
        {
            Parallel.For(0, threads, new ParallelOptions { MaxDegreeOfParallelism = threads }, _ => work());
            return;
        }

        var call = new Call(work);
        var handle = GCHandle.Alloc(call);
        InParallel(&Enter, (void*)GCHandle.ToIntPtr(handle), (uint)threads, 0);
        handle.Free();
        call.Failure?.Throw();
    }

    [UnmanagedCallersOnly]
    private static void Enter(void* data)
    {
        var call = (Call)GCHandle.FromIntPtr((nint)data).Target!;
        try
        {
            call.Work();
        }
#pragma warning disable CA1031 // An exception must not cross native frames: it is thrown again behind them.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            call.Failure = ExceptionDispatchInfo.Capture(failure);
        }
    }

    private static delegate* unmanaged<delegate* unmanaged<void*, void>, void*, uint, uint, void> Find()
    {
        // The library is loaded once the engine has counted its threads.
        _ = get_num_threads();
        using var process = Process.GetCurrentProcess();
        string? path = OperatingSystem.IsLinux()
            ? process.Modules.Cast<ProcessModule>().FirstOrDefault(module => module.ModuleName.StartsWith("libgomp", StringComparison.Ordinal))?.FileName
            : null;
        return path is not null && NativeLibrary.TryLoad(path, out nint library) && NativeLibrary.TryGetExport(library, "GOMP_parallel", out nint entry)
            ? (delegate* unmanaged<delegate* unmanaged<void*, void>, void*, uint, uint, void>)entry
            : null;
    }

    private sealed class Call(Action work)
    {
        public Action Work => work;

        public ExceptionDispatchInfo? Failure { get; set; }
    }
}
