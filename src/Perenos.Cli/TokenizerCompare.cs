using System.CommandLine;
using Perenos.Models;
using Perenos.Recipes;
using Perenos.Text.Tokenization;
using Spectre.Console;

namespace Perenos.Cli;

/// <summary><c>perenos tokenizer compare</c>: how many tokens two tokenizers need for the same text.</summary>
internal static class TokenizerCompare
{
    public static ExampledCommand Create()
    {
        var first = new Argument<string>("a") { Description = "A tokenizer.json, a model's folder, a GGUF file, or \"base\"." };
        var second = new Argument<string>("b") { Description = "Another." };
        var data = new Option<string?>("--data") { Description = "Text: a .txt file, or records with a field \"text\"; without it, the paragraphs that come with the program.", HelpName = "file" };
        var json = TokenizerCommand.JsonOption();
        var compare = new ExampledCommand("compare", "Compare two tokenizers on a text.",
            "perenos tokenizer compare base ./SmolLM2-135M-Instruct --data corpus.jsonl") { first, second, data, json };
        compare.SetAction(parsed =>
        {
            var (left, right) = (Pretrained.OpenTokenizer(parsed.GetValue(first)!), Pretrained.OpenTokenizer(parsed.GetValue(second)!));
            var comparison = TokenizerComparison.Of(left, right, ReferenceText.Read(parsed.GetValue(data)));
            if (parsed.GetValue(json))
                JsonOutput.Write(comparison);
            else
                Write(comparison, parsed.GetValue(first)!, parsed.GetValue(second)!);
            return 0;
        });
        return compare;
    }

    private static void Write(TokenizerComparison comparison, string first, string second)
    {
        Console.WriteLine($"{comparison.Texts:N0} texts, {comparison.Words:N0} words, {comparison.Bytes:N0} bytes");
        var table = new Table().RoundedBorder().AddColumn("").AddColumn(Markup.Escape(first)).AddColumn(Markup.Escape(second));
        void Row(string name, Func<TokenizerFertility, string> value) => table.AddRow(name, value(comparison.First), value(comparison.Second));
        Row("tokens", fertility => $"{fertility.Tokens:N0}");
        Row("bytes a token", fertility => $"{fertility.BytesPerToken:F3}");
        Row("tokens a word", fertility => $"{fertility.TokensPerWord:F3}");
        Row("texts that do not come back", fertility => $"{fertility.LostTexts:N0}");
        AnsiConsole.Write(table);
        if (comparison.Differences.Count == 0)
            return;
        var words = new Table().RoundedBorder().AddColumns("word", "times").AddColumn(Markup.Escape(first)).AddColumn(Markup.Escape(second)).AddColumn("saved");
        foreach (var difference in comparison.Differences)
            words.AddRow(new[] { difference.Word, $"{difference.Count:N0}", string.Join(' ', difference.First), string.Join(' ', difference.Second), $"{difference.Saved:N0}" }.Select(Markup.Escape).ToArray());
        AnsiConsole.Write(words);
    }
}
