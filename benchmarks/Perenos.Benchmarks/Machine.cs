using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Benchmarks;

/// <summary>Where a figure was measured: without it a figure means nothing.</summary>
internal static partial class Machine
{
    private const int ProductRows = 1024;
    private const int ProductWidth = 2048;
    private const double SecondsPerType = 1;
    private const int ThreadClock = 3; // CLOCK_THREAD_CPUTIME_ID
    private static readonly string[] TellingFlags = ["avx2", "avx512f", "avx512_bf16", "amx_bf16"];

    /// <summary>The lines that open every result.</summary>
    internal static IReadOnlyList<string> Describe() =>
    [
        $"- processor: {Processor()}, {Environment.ProcessorCount} cores ({get_num_threads()} threads of the engine)",
        $"- engine: libtorch {torch.__version__}; {RuntimeInformation.FrameworkDescription}; {RuntimeInformation.RuntimeIdentifier}",
        $"- commit: {Git("rev-parse --short HEAD")}{(Git("status --porcelain -uno").Length > 0 ? " with uncommitted changes" : "")}",
        $"- date: {TimeProvider.System.GetUtcNow().ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture)} UTC; load average before the run: {LoadAverage()}",
    ];

    /// <summary>Best rate of a product (1024 × 2048) · (2048 × 2048) within a second, in 10⁹ operations per second.</summary>
    internal static double ProductRate(ScalarType type)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        var left = full([ProductRows, ProductWidth], 0.5, dtype: type);
        var right = full([ProductWidth, ProductWidth], 0.25, dtype: type);
        double best = double.MaxValue;
        for (var total = Stopwatch.StartNew(); total.Elapsed.TotalSeconds < SecondsPerType;)
        {
            var watch = Stopwatch.StartNew();
            left.mm(right).Dispose();
            best = Math.Min(best, watch.Elapsed.TotalSeconds);
        }

        return 2.0 * ProductRows * ProductWidth * ProductWidth / best / 1e9;
    }

    /// <summary>Processor time of the calling thread in seconds: what others do on the machine counts less than by the clock. The clock where the system is not Linux.</summary>
    internal static double ThreadSeconds()
    {
        if (!OperatingSystem.IsLinux() || GetTime(ThreadClock, out var time) != 0)
            return Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency;
        return time.Seconds + 1e-9 * time.Nanoseconds;
    }

    /// <summary>A field of Linux's account of this process in bytes, such as <c>VmRSS</c> or <c>VmHWM</c>.</summary>
    internal static long Memory(string field)
    {
        string line = File.ReadLines("/proc/self/status").First(line => line.StartsWith(field + ":", StringComparison.Ordinal));
        return 1024 * long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2], CultureInfo.InvariantCulture);
    }

    private static string Processor()
    {
        string Field(string name) => File.ReadLines("/proc/cpuinfo").First(line => line.StartsWith(name, StringComparison.Ordinal)).Split(':')[1].Trim();
        return $"{Field("model name")} ({string.Join(", ", Field("flags").Split(' ').Intersect(TellingFlags))})";
    }

    private static string LoadAverage() => string.Join(' ', File.ReadAllText("/proc/loadavg").Split(' ').Take(3));

    private static string Git(string arguments)
    {
        using var process = Process.Start(new ProcessStartInfo("git", arguments) { RedirectStandardOutput = true })!;
        string output = process.StandardOutput.ReadToEnd().Trim();
        process.WaitForExit();
        return output;
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int GetTime(int clock, out TimeSpecification time);

    private struct TimeSpecification
    {
        public nint Seconds;
        public nint Nanoseconds;
    }
}
