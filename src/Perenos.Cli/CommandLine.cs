using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace Perenos.Cli;

/// <summary>The table of contents: every command, one line each.</summary>
internal static class CommandLine
{
    /// <summary>Parses and runs; mistakes in the arguments are shown with a hint and end with exit code 2.</summary>
    public static int Run(string[] args)
    {
        var parsed = Root().Parse(args);
        if (parsed.Action is not ExampledHelp && ArgumentMistake.Find(parsed) is { } mistake)
            return Failure.Show(mistake.Message, mistake.Hint);

        return parsed.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
    }

    internal static Command Root() => Complete(new Command("perenos", "Transfer learning for large language models: adapt a pretrained model to a corpus, and see what it gained and what it forgot.")
    {
        QuickstartCommand.Create(),
        TuneCommand.Create(),
        PretrainCommand.Create(),
        SweepCommand.Create(),
        FindRateCommand.Create(),
        FisherCommand.Create(),
        EvaluateCommand.Create(),
        GenerateCommand.Create(),
        RunsCommand.Create(),
        InspectModelCommand.Create(),
        SelfTestCommand.Create(),
        ConvertCommand.Create(),
        MergeCommand.Create(),
        PullCommand.Create(),
        TokenizerCommand.Create(),
        ImportRecipeCommand.Create(),
    });

    private static Command Complete(Command root)
    {
        root.Add(new HelpOption { Action = new ExampledHelp(), Recursive = true });
        var version = new Option<bool>("--version") { Description = "Show the version." };
        root.Add(version);
        root.SetAction(parsed =>
        {
            if (parsed.GetValue(version))
            {
                Console.WriteLine(typeof(CommandLine).Assembly.GetName().Version!.ToString(3));
                return 0;
            }

            return Failure.Show("No command was given.", "perenos --help lists them; perenos quickstart shows the whole road in some minutes.");
        });
        return root;
    }
}

/// <summary>A command with examples at the end of its help.</summary>
internal sealed class ExampledCommand(string name, string description, params string[] examples) : Command(name, description)
{
    public IReadOnlyList<string> Examples => examples;
}

/// <summary>The usual help, then the command's examples.</summary>
internal sealed class ExampledHelp : SynchronousCommandLineAction
{
    private readonly HelpAction _usual = new();

    public override bool ClearsParseErrors => true;

    public override int Invoke(ParseResult parseResult)
    {
        int code = _usual.Invoke(parseResult);
        if (parseResult.CommandResult.Command is ExampledCommand { Examples.Count: > 0 } command)
        {
            var output = parseResult.InvocationConfiguration.Output;
            output.WriteLine("Examples:");
            foreach (string example in command.Examples)
                output.WriteLine($"  {example}");
        }

        return code;
    }
}
