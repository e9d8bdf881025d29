using System.CommandLine;
using Perenos.Hub;
using Perenos.Models;
using Perenos.Runs;
using TorchSharp;

namespace Perenos.Cli;

/// <summary><c>perenos tokenizer extend</c>: a model with more tokens.</summary>
internal static class TokenizerExtend
{
    public static ExampledCommand Create()
    {
        var model = new Argument<string>("model") { Description = "Folder in Hugging Face's layout, a GGUF file, a name on the hub (owner/name), or \"base\"." };
        var tokens = new Option<string[]>("--token") { Description = "A token; may be given again.", HelpName = "text" };
        var file = new Option<string?>("--tokens") { Description = "A file with a token a line.", HelpName = "file" };
        var output = new Option<string>("--output") { Description = "Folder of the new model.", HelpName = "folder", Required = true };
        var special = new Option<bool>("--special") { Description = "Decoding leaves them out, as it does special tokens." };
        var words = new Option<bool>("--whole-words") { Description = "Find them only as words of their own." };
        var json = TokenizerCommand.JsonOption();
        var extend = new ExampledCommand("extend", "Give a model more tokens: its embeddings (and an untied head) get a row for each, the mean of the rows of the old pieces.",
            "perenos tokenizer extend ./SmolLM2-135M --token \"<gene>\" --token \"</gene>\" --special --output ./SmolLM2-135M-genes",
            "perenos tokenizer extend base --tokens terms.txt --whole-words --output ./base-terms") { model, tokens, file, output, special, words, json };
        var hub = new HubOptions(extend);
        extend.SetAction(parsed =>
        {
            string[] all = [.. parsed.GetValue(tokens) ?? [], .. parsed.GetValue(file) is { } path ? Lines(path) : []];
            string folder = parsed.GetValue(output)!;
            if (Path.Exists(folder))
                throw new PerenosException($"{folder} exists.", "Name a new folder with --output.");
            // float32 holds every stored type, so that the old rows are saved as they were.
            using var pretrained = Pretrained.Open(hub.Path(parsed, parsed.GetValue(model)!, HubKind.Model), torch.ScalarType.Float32);
            var extension = new VocabularyExtension(pretrained, all, parsed.GetValue(special), parsed.GetValue(words));
            extension.Save(folder);
            if (parsed.GetValue(json))
                JsonOutput.Write(new { folder, rows_before = pretrained.Model.Config.VocabularySize, rows = extension.Rows, extension.Tokens });
            else
                Write(extension, pretrained, folder);
            return 0;
        });
        return extend;
    }

    private static void Write(VocabularyExtension extension, Pretrained pretrained, string folder)
    {
        foreach (var token in extension.Tokens)
            Console.WriteLine($"{token.Id,8}  {token.Content}  (mean of {string.Join(' ', token.Pieces.Select(id => pretrained.Tokenizer.TokenOf(id)))})");
        Console.WriteLine($"{extension.Tokens.Count:N0} tokens; embeddings of {pretrained.Model.Config.VocabularySize:N0} rows have {extension.Rows:N0}: {folder}");
    }

    private static IEnumerable<string> Lines(string path) => File.Exists(path)
        ? File.ReadLines(path).Where(line => line.Length > 0)
        : throw new PerenosException($"There is no file {path}.", "--tokens names a text file with a token a line.");
}
