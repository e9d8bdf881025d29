using System.CommandLine;
using System.Text.Json;
using Perenos.Models;
using Perenos.Recipes;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Cli;

/// <summary><c>perenos merge</c>: an adapter becomes part of its base.</summary>
internal static class MergeCommand
{
    private static readonly JsonSerializerOptions JsonOptions = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower, WriteIndented = true };

    public static Command Create()
    {
        var model = new Option<string>("--model") { Description = "The base: folder in Hugging Face's layout, a GGUF file, or \"base\".", Required = true, HelpName = "path" };
        var adapter = new Option<string>("--adapter") { Description = "PEFT folder, such as runs/NAME/adapter.", Required = true, HelpName = "folder" };
        var output = new Option<string>("--output") { Description = "New folder for the merged model.", Required = true, HelpName = "folder" };
        var type = new Option<string?>("--type") { Description = "f32, f16 or bf16 (default: as the base's config.json says).", HelpName = "name" };
        var json = new Option<bool>("--json") { Description = "Print the result as JSON." };
        var command = new ExampledCommand("merge", "Make a LoRA part of its base, and compare the logits of both forms.",
            "perenos merge --model base --adapter runs/NAME/adapter --output ./merged",
            "perenos merge --model ./SmolLM2-135M-Instruct --adapter ./adapter --output ./merged --type f32")
        { model, adapter, output, type, json };
        command.SetAction(parsed =>
        {
            var merged = MergeAdapters.Run(Pretrained.Resolve(parsed.GetValue(model)!), parsed.GetValue(adapter)!, parsed.GetValue(output)!, TypeNamed(parsed.GetValue(type)));
            if (parsed.GetValue(json))
            {
                Console.WriteLine(JsonSerializer.Serialize(merged, JsonOptions));
                return 0;
            }

            Console.WriteLine($"{merged.Output}: merged, {merged.Type}");
            Console.WriteLine($"On {merged.Tokens} tokens, base with adapter against merged weights: largest difference of a logit {merged.Difference:G3}; as stored in {merged.Type}, {merged.StoredDifference:G3}. The adapter itself moves logits by up to {merged.Effect:G3}.");
            return 0;
        });
        return command;
    }

    private static ScalarType? TypeNamed(string? name) => name?.ToLowerInvariant() switch
    {
        null => null,
        "f32" => ScalarType.Float32,
        "f16" => ScalarType.Float16,
        "bf16" => ScalarType.BFloat16,
        _ => throw new PerenosException($"--type {name} is no type that a merged model is stored in.", "Use f32, f16 or bf16."),
    };
}
