using System.CommandLine;
using Perenos.Recipes;
using Perenos.Text.Tokenization;

namespace Perenos.Cli;

/// <summary><c>perenos tokenizer</c>: train one, or see how one cuts a text.</summary>
internal static class TokenizerCommand
{
    public static Command Create()
    {
        var defaults = new BpeTrainerSettings();
        var data = new Argument<string>("data") { Description = "Text: a .txt file, or records with a field \"text\"." };
        var size = new Option<int>("--vocabulary-size") { Description = "Entries.", DefaultValueFactory = _ => defaults.VocabularySize, HelpName = "number" };
        var output = new Option<string>("--output") { Description = "Where the tokenizer.json goes.", DefaultValueFactory = _ => "tokenizer.json", HelpName = "file" };
        var train = new ExampledCommand("train", "Train a byte-level BPE tokenizer.", "perenos tokenizer train corpus.jsonl --vocabulary-size 8192 --output tokenizer.json") { data, size, output };
        train.SetAction(parsed =>
        {
            var texts = ReferenceText.Read(parsed.GetValue(data)!);
            var tokenizer = BpeTrainer.Train(texts, defaults with { VocabularySize = parsed.GetValue(size) });
            tokenizer.Save(parsed.GetValue(output)!);
            long bytes = texts.Sum(text => (long)System.Text.Encoding.UTF8.GetByteCount(text)), tokens = texts.Sum(text => (long)tokenizer.Encode(text).Length);
            Console.WriteLine($"{tokenizer.VocabularySize:N0} entries, {(double)bytes / Math.Max(1, tokens):F2} bytes a token on this text: {parsed.GetValue(output)}");
            return 0;
        });

        var file = new Argument<string>("tokenizer") { Description = "A tokenizer.json." };
        var sample = new Argument<string>("text") { Description = "Text to cut." };
        var show = new ExampledCommand("show", "Show how a tokenizer cuts a text.", "perenos tokenizer show tokenizer.json \"Partly cloudy.\"") { file, sample };
        show.SetAction(parsed =>
        {
            var tokenizer = Tokenizer.Load(parsed.GetValue(file)!);
            foreach (int id in tokenizer.Encode(parsed.GetValue(sample)!))
                Console.WriteLine($"{id,8}  {tokenizer.TokenOf(id)}");
            return 0;
        });
        return new Command("tokenizer", "Train a tokenizer, or look into one.") { train, show };
    }
}
