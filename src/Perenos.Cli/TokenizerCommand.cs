using System.CommandLine;
using System.Text;
using Perenos.Recipes;
using Perenos.Text.Tokenization;

namespace Perenos.Cli;

/// <summary><c>perenos tokenizer</c>: train one, look into one, compare two, give a model more tokens.</summary>
internal static class TokenizerCommand
{
    public static Command Create() => new("tokenizer", "Train a tokenizer, look into one, compare two, or give a model more tokens.")
    {
        Train(), TokenizerShow.Create(), TokenizerCompare.Create(), TokenizerExtend.Create(),
    };

    internal static Option<bool> JsonOption() => new("--json") { Description = "Print JSON." };

    private static ExampledCommand Train()
    {
        var defaults = new BpeTrainerSettings();
        var data = new Argument<string>("data") { Description = "Text: a .txt file, or records with a field \"text\"." };
        var size = new Option<int>("--vocabulary-size") { Description = "Entries.", DefaultValueFactory = _ => defaults.VocabularySize, HelpName = "number" };
        var output = new Option<string>("--output") { Description = "Where the tokenizer.json goes.", DefaultValueFactory = _ => "tokenizer.json", HelpName = "file" };
        var json = JsonOption();
        var train = new ExampledCommand("train", "Train a byte-level BPE tokenizer.", "perenos tokenizer train corpus.jsonl --vocabulary-size 8192 --output tokenizer.json") { data, size, output, json };
        train.SetAction(parsed =>
        {
            var texts = ReferenceText.Read(parsed.GetValue(data)!);
            var tokenizer = BpeTrainer.Train(texts, defaults with { VocabularySize = parsed.GetValue(size) });
            string file = parsed.GetValue(output)!;
            tokenizer.Save(file);
            long bytes = texts.Sum(text => (long)Encoding.UTF8.GetByteCount(text)), tokens = texts.Sum(text => (long)tokenizer.Encode(text).Length);
            double rate = (double)bytes / Math.Max(1, tokens);
            if (parsed.GetValue(json))
                JsonOutput.Write(new { file, entries = tokenizer.VocabularySize, bytes, tokens, bytes_per_token = rate });
            else
                Console.WriteLine($"{tokenizer.VocabularySize:N0} entries, {rate:F2} bytes a token on this text: {file}");
            return 0;
        });
        return train;
    }
}
