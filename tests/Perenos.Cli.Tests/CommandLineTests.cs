using System.CommandLine;
using Xunit;

namespace Perenos.Cli.Tests;

public sealed class CommandLineTests
{
    [Fact]
    public void An_unknown_option_ends_with_exit_code_2() =>
        Assert.Equal(Failure.ExitCode, CommandLine.Run(["tune", "--modle", "x"]));

    [Fact]
    public void Help_names_every_command_and_ends_well()
    {
        var output = new StringWriter();
        int code = CommandLine.Root().Parse(["--help"]).Invoke(new InvocationConfiguration { Output = output });
        Assert.Equal(0, code);
        foreach (string name in new[] { "quickstart", "tune", "pretrain", "evaluate", "generate", "runs", "tokenizer" })
            Assert.Contains(name, output.ToString(), StringComparison.Ordinal);
    }
}
