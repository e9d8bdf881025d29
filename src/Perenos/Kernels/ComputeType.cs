using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using System.Text.Json;
using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Kernels;

/// <summary>The type to compute in, and why.</summary>
/// <param name="Type">Float32 or BFloat16.</param>
/// <param name="Float32GigaFlops">Measured rate of matrix multiplication in 10⁹ operations per second; 0 where nothing was measured.</param>
/// <param name="BFloat16GigaFlops">Likewise.</param>
/// <param name="Reason">One sentence for reports.</param>
public sealed record ComputeTypeChoice(ScalarType Type, double Float32GigaFlops, double BFloat16GigaFlops, string Reason);

/// <summary>
/// Chooses the compute type by measurement: instruction-set flags mislead (there are processors with bfloat16 instructions
/// that run slower than float32). Never float16, which is slow on processors and overflows.
/// </summary>
public static class ComputeType
{
    // bfloat16 costs precision: it must pay for it.
    private const double NeededGain = 1.2;
    private const double MillisecondsPerType = 50;

    // Of the processor time that could be had while measuring.
    private const double QuietShare = 0.75;
    private const long ProbeRows = 16;

    // Under 5 GFLOP/s on a CPU.
    private const double HopelessSeconds = 0.25;

    // Far more than an entry needs; a larger file is not ours.
    private const long LargestCache = 64 * 1024;

    /// <summary>
    /// The choice for a device. The processor is measured for about 50 ms per type, once per machine: the figures are kept in
    /// <c>$XDG_CACHE_HOME/perenos/compute-type.json</c> (or <c>~/.cache/perenos</c>) until processor, cores or engine change.
    /// Figures measured beside other work are used, but not kept.
    /// </summary>
    /// <param name="device">Null for the CPU. A CUDA device is measured at every start: it takes no longer than reading the cache.</param>
    public static ComputeTypeChoice Measure(Device? device = null) =>
        device is { type: DeviceType.CUDA }
            ? Choose(Rate(ScalarType.Float32, device), RateOrZero(ScalarType.BFloat16, device))
            : Measure(CacheFile(), Undisturbed);

    /// <summary>The choice on the CPU, with the cache and the measurement given: rates by type, and whether they are worth keeping.</summary>
    internal static ComputeTypeChoice Measure(string cacheFile, Func<(double Float32, double BFloat16, bool IsQuiet)> measure)
    {
        string machine = Machine();
        if (Cached(cacheFile, machine) is { } known)
            return known;
        var (float32, bfloat16, isQuiet) = measure();
        var choice = Choose(float32, bfloat16);
        if (isQuiet)
            Keep(cacheFile, machine, choice);
        return choice;
    }

    // Whoever shares the cores with others gets figures of the moment.
    private static (double Float32, double BFloat16, bool IsQuiet) Undisturbed()
    {
        using var process = Process.GetCurrentProcess();
        var (watch, before) = (Stopwatch.StartNew(), process.TotalProcessorTime);
        var (float32, bfloat16) = (Rate(ScalarType.Float32), Rate(ScalarType.BFloat16));
        process.Refresh();
        double share = (process.TotalProcessorTime - before) / watch.Elapsed / torch.get_num_threads();
        return (float32, bfloat16, share > QuietShare);
    }

    internal static ComputeTypeChoice Choose(double float32, double bfloat16)
    {
        string rates = string.Create(
            CultureInfo.InvariantCulture, $"float32 {float32:F1} and bfloat16 {bfloat16:F1} GFLOP/s measured on this device");
        return bfloat16 > NeededGain * float32
            ? new(ScalarType.BFloat16, float32, bfloat16, $"bfloat16: {rates}.")
            : new(ScalarType.Float32, float32, bfloat16, $"float32: {rates}.");
    }

    /// <summary>Best rate of several products of 512 × 1024 × 1024 (on CUDA 4096 cubed), in 10⁹ operations per second.</summary>
    internal static double Rate(ScalarType type, Device? device = null)
    {
        using var scope = NewDisposeScope();
        using var noGraph = no_grad();
        bool onCuda = device is { type: DeviceType.CUDA };
        // A GPU finishes the small product before its launch is paid for.
        var (rows, width) = onCuda ? (4096L, 4096L) : (512L, 1024L);
        var left = Arithmetic.Filled([rows, width], 0.5, type, device);
        var right = Arithmetic.Filled([width, width], 0.25, type, device);
        double Seconds(Tensor factor)
        {
            var watch = Stopwatch.StartNew();
            factor.mm(right).Dispose();
            if (onCuda)
                cuda.synchronize(device);
            return watch.Elapsed.TotalSeconds;
        }

        double Flops(double count, double seconds) => 2.0 * count * width * width / seconds / 1e9;

        // A few rows first: they start threads and choose kernels, and show a type that is only emulated without waiting for it.
        var probe = left.narrow(0, 0, ProbeRows);
        Seconds(probe);
        double probed = Seconds(probe);
        if (probed * rows / ProbeRows > HopelessSeconds)
            return Flops(ProbeRows, probed);
        Seconds(left);
        double best = Seconds(left);
        for (var total = Stopwatch.StartNew(); total.Elapsed.TotalMilliseconds < MillisecondsPerType;)
            best = Math.Min(best, Seconds(left));
        return Flops(rows, best);
    }

    private static double RateOrZero(ScalarType type, Device device)
    {
        try
        {
            return Rate(type, device);
        }
        catch (ExternalException)
        {
            // The engine has no kernel of this type for this device.
            return 0;
        }
    }

    private static string CacheFile() => Path.Combine(Runs.CacheFolder.Root, "compute-type.json");

    // Everything that the figures depend on.
    private static string Machine() => string.Join(
        " | ", Processor(), $"{torch.get_num_threads()} of {Environment.ProcessorCount} cores", $"libtorch {torch.__version__}");

    private static string Processor()
    {
        string name = $"{RuntimeInformation.ProcessArchitecture} {Environment.GetEnvironmentVariable("PROCESSOR_IDENTIFIER")}";
        if (X86Base.IsSupported)
        {
            // Family, model and stepping tell processors apart whose names a virtual machine hides; flags, what it lets through.
            var (signature, _, features, _) = X86Base.CpuId(1, 0);
            var (_, extended, more, _) = X86Base.CpuId(7, 0);
            var (bfloat16, _, _, _) = X86Base.CpuId(7, 1);
            name += $" {signature:x8} {features:x8} {extended:x8} {more:x8} {bfloat16:x8}";
        }

        const string Linux = "/proc/cpuinfo";
        try
        {
            return $"{name} {(File.Exists(Linux) ? File.ReadLines(Linux).FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal)) : "")}";
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return name;
        }
    }

    private static ComputeTypeChoice? Cached(string file, string machine)
    {
        try
        {
            if (!File.Exists(file) || new FileInfo(file).Length > LargestCache)
                return null;
            var entry = JsonSerializer.Deserialize<Entry>(File.ReadAllBytes(file));
            bool usable = entry?.Machine == machine && IsRate(entry.Float32GigaFlops) && IsRate(entry.BFloat16GigaFlops);
            // The rule is applied again: only figures are kept.
            return usable ? Choose(entry!.Float32GigaFlops, entry.BFloat16GigaFlops) : null;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or JsonException)
        {
            return null;
        }
    }

    private static bool IsRate(double value) => double.IsFinite(value) && value > 0;

    private static void Keep(string file, string machine, ComputeTypeChoice choice)
    {
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(file)!);
            // A rename, so that a second process never reads half an entry.
            string temporary = $"{file}.{Environment.ProcessId}";
            File.WriteAllBytes(temporary, JsonSerializer.SerializeToUtf8Bytes(new Entry(machine, choice.Float32GigaFlops, choice.BFloat16GigaFlops)));
            File.Move(temporary, file, overwrite: true);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            // Only a convenience: the next start measures again.
        }
    }

    private sealed record Entry(string? Machine, double Float32GigaFlops, double BFloat16GigaFlops);
}
