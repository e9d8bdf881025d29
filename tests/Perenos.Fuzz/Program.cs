using System.Diagnostics;
using System.Globalization;
using Perenos.Fuzz;

// Perenos.Fuzz [--reader NAME] [--seed N] [--count N] [--from N]: damaged files for every reader, the same for the same numbers.
var options = new Dictionary<string, string>();
for (int i = 0; i < args.Length; i += 2)
{
    if (i + 1 == args.Length || args[i] is not ("--reader" or "--seed" or "--count" or "--from"))
        return Usage();
    options[args[i]] = args[i + 1];
}

string reader = options.GetValueOrDefault("--reader", "all");
var targets = FuzzTarget.All.Where(target => reader == "all" || target.Name == reader).ToList();
if (targets.Count == 0 || !ulong.TryParse(options.GetValueOrDefault("--seed", "1"), CultureInfo.InvariantCulture, out ulong seed)
    || !long.TryParse(options.GetValueOrDefault("--count", "10000"), CultureInfo.InvariantCulture, out long count)
    || !long.TryParse(options.GetValueOrDefault("--from", "0"), CultureInfo.InvariantCulture, out long from))
{
    return Usage();
}

const string InMemory = "/dev/shm";
string folder = Directory.CreateDirectory(Path.Combine(Directory.Exists(InMemory) ? InMemory : Path.GetTempPath(), $"perenos-fuzz-{Environment.ProcessId}")).FullName;
int findings = 0;
try
{
    foreach (var target in targets)
        findings += Run(target).Findings.Count;
}
finally
{
    Directory.Delete(folder, recursive: true);
}

Console.WriteLine($"{targets.Count * count:N0} inputs, {findings} findings; peak of the process {Process.GetCurrentProcess().PeakWorkingSet64 >> 20} MB");
return findings == 0 ? 0 : 1;

FuzzReport Run(FuzzTarget target)
{
    using var watchdog = new Watchdog(number => $"{target.Name}: input {number} does not end. {Again(target, number)}");
    long start = Stopwatch.GetTimestamp();
    var report = FuzzRun.Run(target, seed, from, count, folder, watchdog.Begin);
    double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
        $"{target.Name,-12} {count,10:N0} inputs {report.Accepted,9:N0} accepted {report.Findings.Count,3} findings  slowest {report.Slowest * 1000,6:F0} ms  most memory {report.LargestAllocation / 1e6,7:F1} MB  {seconds,6:F0} s"));
    foreach (var finding in report.Findings)
    {
        string kept = Path.Combine(Path.GetTempPath(), $"perenos-fuzz-{target.Name}-{seed}-{finding.Input}");
        File.WriteAllBytes(kept, FuzzRun.Bytes(target, seed, finding.Input));
        Console.WriteLine($"  {finding.Kind}\n  {Again(target, finding.Input)}\n  input: {kept}\n  {finding.Text}");
    }

    return report;
}

string Again(FuzzTarget target, long number) => $"again: Perenos.Fuzz --reader {target.Name} --seed {seed} --from {number} --count 1";

static int Usage()
{
    Console.Error.WriteLine($"Perenos.Fuzz [--reader all|{string.Join('|', FuzzTarget.All.Select(target => target.Name))}] [--seed N] [--count N] [--from N]");
    return 2;
}
