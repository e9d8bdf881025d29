using System.CommandLine;
using Perenos.Testing;
using Xunit;

namespace Perenos.Cli.Tests;

/// <summary>What each command says of itself, as committed texts; asked of the real program.</summary>
public sealed class HelpTests
{
    private const string GoldenFolder = "tests/Perenos.Cli.Tests/Help";

    public static TheoryData<string> Commands => [.. Below(CommandLine.Root())];

    [Theory]
    [MemberData(nameof(Commands))]
    public void Help_is_as_committed(string command)
    {
        string[] words = command.Split(' ')[1..];
        using var process = new CliProcess([.. words, "--help"]);
        var (code, output, error) = process.End();
        Assert.Equal((0, ""), (code, error));
        Golden.Equal($"{GoldenFolder}/{FileOf(command)}", string.Join('\n', output.ReplaceLineEndings("\n").Split('\n').Select(line => line.TrimEnd())));
    }

    [Fact]
    public void Every_committed_help_belongs_to_a_command() => Assert.Equal(
        Below(CommandLine.Root()).Select(FileOf).Order(StringComparer.Ordinal),
        Directory.EnumerateFiles(Path.Combine(Shared.Checkout, GoldenFolder)).Select(file => Path.GetFileName(file)).Order(StringComparer.Ordinal));

    [Theory]
    [InlineData(false, "--help")]
    [InlineData(false, "tune", "--help")]
    [InlineData(false, "runs")]
    [InlineData(false, "inspect-model", "base")]
    [InlineData(false, "tune", "--model", "base", "--dat", "x")]
    // That the look-out sees the engine where it is loaded.
    [InlineData(true, "evaluate", "--model", "base")]
    public void The_native_engine_is_loaded_only_where_something_is_computed(bool isLoaded, params string[] arguments)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "asks the loader of glibc");
        string folder = Directory.CreateTempSubdirectory("perenos-loader-").FullName;
        try
        {
            using var process = new CliProcess(arguments, new Dictionary<string, string> { ["LD_DEBUG"] = "files", ["LD_DEBUG_OUTPUT"] = Path.Combine(folder, "loader") });
            process.End();
            string log = string.Concat(Directory.EnumerateFiles(folder).Select(File.ReadAllText));
            Assert.Contains("libcoreclr", log, StringComparison.Ordinal);
            Assert.Equal(isLoaded, log.Contains("libtorch", StringComparison.OrdinalIgnoreCase));
            Assert.DoesNotContain("libSkiaSharp", log, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static IEnumerable<string> Below(Command command, string prefix = "")
    {
        string name = $"{prefix}{command.Name}";
        return [name, .. command.Subcommands.SelectMany(inner => Below(inner, name + " "))];
    }

    private static string FileOf(string command) => command.Replace(' ', '-') + ".txt";
}
