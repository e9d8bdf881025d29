using System.CommandLine;
using Xunit;

namespace Perenos.Cli.Tests;

public sealed class CommandLineTests
{
    [Fact]
    public void Help_names_every_command_and_ends_well()
    {
        var output = new StringWriter();
        int code = CommandLine.Root().Parse(["--help"]).Invoke(new InvocationConfiguration { Output = output });
        Assert.Equal(0, code);
        var commands = CommandLine.Root().Subcommands;
        Assert.NotEmpty(commands);
        Assert.All(commands, command => Assert.Contains(command.Name, output.ToString(), StringComparison.Ordinal));
    }
}
