using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Perenos.Runs;

namespace Perenos.Cli;

/// <summary>The first mistake in the arguments, in words of our own: the parser's know no nearest name.</summary>
internal static class ArgumentMistake
{
    public static (string Message, string Hint)? Find(ParseResult parsed)
    {
        var chain = Chain(parsed.CommandResult).ToList();
        string command = string.Join(' ', chain.Select(result => result.Command.Name).Reverse());
        string help = $"{command} --help lists what it takes, with examples.";
        if (StrayOption(parsed) is { } option)
        {
            var known = parsed.CommandResult.Command.Options.Concat(chain.Skip(1).SelectMany(result => result.Command.Options.Where(inherited => inherited.Recursive)));
            return ($"{command} has no option {option}.", Suggest(option, known.Select(candidate => candidate.Name), help));
        }

        if (parsed.Errors.Count == 0)
            return null;
        if (NotANumber(parsed.Errors[0]) is { } wrong)
            return (wrong, help);
        var commands = parsed.CommandResult.Command.Subcommands.Select(candidate => candidate.Name).ToList();
        return parsed.UnmatchedTokens is [var word, ..] && commands.Count > 0
            ? ($"{command} has no command {word}.", Suggest(word, commands, help))
            : (parsed.Errors[0].Message.ReplaceLineEndings(" "), help);
    }

    // An unknown option is taken for an argument by the parser, where there is room for one.
    private static string? StrayOption(ParseResult parsed)
    {
        var beforeDashes = parsed.Tokens.TakeWhile(token => token.Type != TokenType.DoubleDash).Select(token => token.Value).Concat(parsed.UnmatchedTokens).ToHashSet();
        return parsed.CommandResult.Children.OfType<ArgumentResult>().SelectMany(argument => argument.Tokens.Select(token => token.Value))
            .Concat(parsed.UnmatchedTokens)
            .FirstOrDefault(value => beforeDashes.Contains(value) && LooksLikeOption(value));
    }

    private static bool LooksLikeOption(string value) =>
        value.StartsWith('-') && value.TrimStart('-') is [var first, ..] && char.IsAsciiLetter(first) && !value.Any(char.IsWhiteSpace);

    private static string? NotANumber(ParseError error)
    {
        if ((error.SymbolResult as OptionResult ?? error.SymbolResult?.Parent as OptionResult) is not { Tokens.Count: > 0 } result)
            return null;
        var type = Nullable.GetUnderlyingType(result.Option.ValueType) ?? result.Option.ValueType.GetElementType() ?? result.Option.ValueType;
        bool isWhole = type == typeof(int) || type == typeof(ulong);
        if (!isWhole && type != typeof(double))
            return null;
        bool IsNumber(Token token) => isWhole ? long.TryParse(token.Value, CultureInfo.InvariantCulture, out _) : double.TryParse(token.Value, CultureInfo.InvariantCulture, out _);
        // All may be numbers, and one too large.
        var wrong = result.Tokens.FirstOrDefault(token => !IsNumber(token)) ?? result.Tokens[^1];
        return $"{result.Option.Name} {wrong.Value} is not a {(isWhole ? "whole number" : "number")}.";
    }

    private static string Suggest(string word, IEnumerable<string> candidates, string help) =>
        NearestName.Of(word, candidates) is { } nearest ? $"Did you mean {nearest}? {help}" : help;

    private static IEnumerable<CommandResult> Chain(CommandResult result)
    {
        for (var current = result; current is not null; current = current.Parent as CommandResult)
            yield return current;
    }
}
