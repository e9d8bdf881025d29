using System.Diagnostics;

namespace Perenos.Benchmarks;

/// <summary>Wall time of <c>perenos --help</c>: what every command costs before it does anything.</summary>
internal static class StartUp
{
    private const double MostMilliseconds = 250;

    internal static int Run(Options options)
    {
        // Built beside this program: artifacts/bin/PROJECT/release.
        string program = options.Text("cli", Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "../../Perenos.Cli/release/Perenos.Cli")));
        int runs = options.Number("runs", 20);
        List<double> times = [];
        for (int run = 0; run < runs; run++)
        {
            var watch = Stopwatch.StartNew();
            using var process = Process.Start(new ProcessStartInfo(program, "--help") { RedirectStandardOutput = true })!;
            string help = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            times.Add(watch.Elapsed.TotalMilliseconds);
            if (process.ExitCode != 0 || !help.Contains("tune", StringComparison.Ordinal))
                throw new InvalidOperationException($"{program} --help did not work.");
        }

        var result = new Result("start-up");
        result.Fact($"{runs} runs of perenos --help, the first included");
        result.Table(["", "ms"], [["median", $"{Result.Median(times):F0}"], ["least", $"{times.Min():F0}"], ["most", $"{times.Max():F0}"]]);
        result.Bar($"the median is below {MostMilliseconds:F0} ms", Result.Median(times) < MostMilliseconds);
        return result.Finish(options);
    }
}
