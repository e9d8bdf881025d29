using System.CommandLine;
using Perenos.Models;
using Perenos.Text.Tokenization;
using Spectre.Console;

namespace Perenos.Cli;

/// <summary><c>perenos tokenizer show</c>: what a tokenizer is, and how it cuts a text.</summary>
internal static class TokenizerShow
{
    private const int MostListed = 24;

    // Neighbours differ; the order means nothing.
    private static readonly string[] Colours = ["black on aqua", "black on yellow", "black on lime", "black on fuchsia", "black on silver"];

    public static ExampledCommand Create()
    {
        var file = new Argument<string>("tokenizer") { Description = "A tokenizer.json, a model's folder, a GGUF file, or \"base\"." };
        var sample = new Argument<string?>("text") { Description = "Text to cut.", Arity = ArgumentArity.ZeroOrOne };
        var json = TokenizerCommand.JsonOption();
        var show = new ExampledCommand("show", "Show what a tokenizer is, and how it cuts a text.",
            "perenos tokenizer show ./SmolLM2-135M-Instruct", "perenos tokenizer show tokenizer.json \"Partly cloudy.\" --json") { file, sample, json };
        show.SetAction(parsed =>
        {
            var tokenizer = Pretrained.OpenTokenizer(parsed.GetValue(file)!);
            var facts = tokenizer.Facts();
            var encoding = parsed.GetValue(sample) is { } text ? tokenizer.EncodeWithOffsets(text) : null;
            if (parsed.GetValue(json))
                WriteJson(facts, encoding);
            else
                Write(facts, encoding);
            return 0;
        });
        return show;
    }

    private static void Write(TokenizerFacts facts, TokenEncoding? encoding)
    {
        var table = new Table().Border(TableBorder.None).HideHeaders().AddColumns("", "");
        void Row(string name, string value) => table.AddRow(Markup.Escape(name), Markup.Escape(value));
        Row("kind", facts.Kind);
        Row("entries", $"{facts.Entries:N0}");
        if (facts.Merges > 0)
            Row("merges", $"{facts.Merges:N0}");
        var special = facts.Added.Where(token => token.IsSpecial).ToList();
        Row("special tokens", List(special.Select(token => $"{token.Content} {token.Id}")));
        Row("other added tokens", List(facts.Added.Except(special).Select(token => $"{token.Content} {token.Id}")));
        Row("unknown token", facts.UnknownToken ?? "none");
        if (facts.MissingBytes is { } missing)
            Row("bytes without a token", missing.Count == 0 ? "none" : $"{missing.Count}, which vanish or become unknown: {string.Join(' ', missing.Select(value => $"{value:X2}"))}");
        AnsiConsole.Write(table);
        if (encoding is null)
            return;
        Console.WriteLine();
        AnsiConsole.MarkupLine(string.Concat(encoding.Tokens.Select((token, index) => $"[{Colours[index % Colours.Length]}]{Markup.Escape(token)}[/]")));
        for (int index = 0; index < encoding.Ids.Length; index++)
            Console.WriteLine($"{encoding.Ids[index],8}  {encoding.Offsets[index].Start,4}–{encoding.Offsets[index].End,-4}  {encoding.Tokens[index]}");
    }

    private static string List(IEnumerable<string> entries)
    {
        string[] all = [.. entries];
        return all.Length == 0 ? "none" : $"{string.Join(", ", all.Take(MostListed))}{(all.Length > MostListed ? $" and {all.Length - MostListed:N0} more" : "")}";
    }

    private static void WriteJson(TokenizerFacts facts, TokenEncoding? encoding) => JsonOutput.Write(new
    {
        facts.Kind,
        facts.Entries,
        facts.Merges,
        Added = facts.Added.Select(token => new { token.Id, token.Content, special = token.IsSpecial }),
        facts.UnknownToken,
        MissingBytes = facts.MissingBytes?.Select(value => (int)value),
        Encoding = encoding is null ? null : new
        {
            encoding.Ids,
            encoding.Tokens,
            Offsets = encoding.Offsets.Select(place => new[] { place.Start, place.End }),
        },
    });
}
