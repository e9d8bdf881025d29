using System.Reflection;
using System.Runtime.InteropServices;

namespace Perenos.Runs;

/// <summary>The machine and the software that a run used, kept in <c>environment.json</c>; nothing that names a person or a host.</summary>
public sealed record RunEnvironment
{
    /// <summary>Operating system with its version.</summary>
    public required string System { get; init; }

    /// <summary>Model name of the processor, as it reports itself.</summary>
    public required string Processor { get; init; }

    /// <summary>Logical cores that this process may use.</summary>
    public required int Cores { get; init; }

    /// <summary>Bytes of memory available to this process (a container's limit counts).</summary>
    public required long Memory { get; init; }

    /// <summary>.NET version.</summary>
    public required string Runtime { get; init; }

    /// <summary>Version of Perenos and of the libraries that compute, by name.</summary>
    public required IReadOnlyDictionary<string, string> Libraries { get; init; }

    /// <summary>Compute type of the run, such as <c>bf16</c>; null where nothing is computed.</summary>
    public string? ComputeType { get; init; }

    /// <summary>Why that type: the measured speeds, or the user's wish.</summary>
    public string? ComputeReason { get; init; }

    /// <summary>Looks at this machine; <paramref name="libraries"/> adds versions that the caller knows (use <see cref="VersionOf"/>).</summary>
    public static RunEnvironment Capture(string? computeType, string? computeReason, IReadOnlyDictionary<string, string>? libraries = null)
    {
        var versions = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var (name, version) in libraries ?? new Dictionary<string, string>())
            versions[name] = version;
        versions["Perenos"] = VersionOf(typeof(RunEnvironment).Assembly);
        return new RunEnvironment
        {
            System = $"{OperatingSystemName()} ({RuntimeInformation.OSArchitecture})",
            Processor = ProcessorName(),
            Cores = Environment.ProcessorCount,
            Memory = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes,
            Runtime = RuntimeInformation.FrameworkDescription,
            Libraries = versions,
            ComputeType = computeType,
            ComputeReason = computeReason,
        };
    }

    /// <summary>An assembly's version as its package states it, without the commit.</summary>
    public static string VersionOf(Assembly assembly)
    {
        string version = assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion
            ?? assembly.GetName().Version?.ToString()
            ?? "unknown";
        int commit = version.IndexOf('+', StringComparison.Ordinal);
        return commit < 0 ? version : version[..commit];
    }

    /// <summary>Writes <c>environment.json</c> in one atomic step.</summary>
    /// <exception cref="PerenosException">The folder cannot be written to, or the disk is full.</exception>
    public void Write(RunFolder folder) => ConfigFile.Write(folder.Environment, this);

    /// <summary>Reads what <see cref="Write"/> wrote.</summary>
    /// <exception cref="PerenosException">The file is missing or malformed.</exception>
    public static RunEnvironment Read(RunFolder folder) => ConfigFile.Read<RunEnvironment>(folder.Environment);

    private static string OperatingSystemName() =>
        LineValue("/etc/os-release", "PRETTY_NAME", '=')?.Trim('"') ?? RuntimeInformation.OSDescription;

    private static string ProcessorName()
    {
        string? name = OperatingSystem.IsWindows()
            ? Environment.GetEnvironmentVariable("PROCESSOR_IDENTIFIER")
            : LineValue("/proc/cpuinfo", "model name", ':');
        return name ?? RuntimeInformation.ProcessArchitecture.ToString();
    }

    private static string? LineValue(string path, string key, char separator)
    {
        try
        {
            return File.ReadLines(path)
                .Where(line => line.StartsWith(key, StringComparison.Ordinal))
                .Select(line => line[(line.IndexOf(separator, StringComparison.Ordinal) + 1)..].Trim())
                .FirstOrDefault();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;   // Not Linux, or a container that hides it.
        }
    }
}
