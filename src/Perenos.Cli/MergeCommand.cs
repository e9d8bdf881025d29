using System.CommandLine;
using Perenos.Adapters;
using Perenos.Hub;
using Perenos.Recipes;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Cli;

/// <summary><c>perenos merge</c>: an adapter becomes part of its base.</summary>
internal static class MergeCommand
{
    private static readonly Dictionary<string, MergeKind> Methods = new()
    {
        ["cat"] = MergeKind.Cat,
        ["linear"] = MergeKind.Linear,
        ["svd"] = MergeKind.Svd,
        ["ties"] = MergeKind.Ties,
        ["magnitude_prune"] = MergeKind.MagnitudePrune,
    };

    public static Command Create()
    {
        var model = new Option<string>("--model") { Description = "The base: folder in Hugging Face's layout, a GGUF file, a name on the hub (owner/name), or \"base\".", Required = true, HelpName = "path" };
        var adapter = new Option<string[]>("--adapter") { Description = "Folder of an adapter (PEFT or mlx-lm), such as runs/NAME/adapter, or a name on the hub; several times for several.", Required = true, HelpName = "folder" };
        var weight = new Option<double[]>("--weight") { Description = "Weight of each adapter, in their order (default: 1).", HelpName = "number" };
        var method = new Option<string>("--method") { Description = $"How several LoRA adapters become one: {string.Join(", ", Methods.Keys)}.", DefaultValueFactory = _ => "cat", HelpName = "name" };
        var density = new Option<double>("--density") { Description = "ties, magnitude_prune: share of the numbers that is kept.", DefaultValueFactory = _ => 1, HelpName = "number" };
        var rank = new Option<int?>("--rank") { Description = "svd: rank of the result (default: the largest of the adapters').", HelpName = "number" };
        var output = new Option<string>("--output") { Description = "New folder for the merged model.", Required = true, HelpName = "folder" };
        var type = new Option<string?>("--type") { Description = "f32, f16 or bf16 (default: as the base's config.json says).", HelpName = "name" };
        var json = new Option<bool>("--json") { Description = "Print the result as JSON." };
        var command = new ExampledCommand("merge", "Make an adapter, or several weighted ones, part of their base, and compare the logits of both forms.",
            "perenos merge --model base --adapter runs/NAME/adapter --output ./merged",
            "perenos merge --model ./SmolLM2-135M-Instruct --adapter ./adapter --output ./merged --type f32",
            "perenos merge --model base --adapter ./a --weight 0.7 --adapter ./b --weight 0.3 --method svd --output ./merged")
        { model, adapter, weight, method, density, rank, output, type, json };
        var hub = new HubOptions(command);
        command.SetAction(parsed =>
        {
            string[] folders = parsed.GetValue(adapter)!;
            double[] weights = parsed.GetValue(weight) is { Length: > 0 } given ? given : [.. folders.Select(_ => 1.0)];
            if (weights.Length != folders.Length)
                throw new PerenosException($"There are {folders.Length} adapters and {weights.Length} weights.", "Give --weight once for each --adapter, or not at all.");
            var settings = new MergeSettings
            {
                Kind = Methods.TryGetValue(parsed.GetValue(method)!, out var kind) ? kind : throw new PerenosException($"--method {parsed.GetValue(method)} is not known.", $"Use {string.Join(", ", Methods.Keys)}."),
                Density = parsed.GetValue(density),
                Rank = parsed.GetValue(rank),
                Type = TypeNamed(parsed.GetValue(type)),
            };
            var merged = MergeAdapters.Run(
                hub.Model(parsed, parsed.GetValue(model)!),
                [.. folders.Select(folder => hub.Path(parsed, folder, HubKind.Model)).Zip(weights)],
                parsed.GetValue(output)!, settings);
            if (parsed.GetValue(json))
            {
                JsonOutput.Write(merged);
                return 0;
            }

            Console.WriteLine($"{merged.Output}: merged, {merged.Type}");
            Console.WriteLine($"On {merged.Tokens} tokens, base with adapter against merged weights: the largest difference of a logit {merged.Difference:G3}; as stored in {merged.Type}, {merged.StoredDifference:G3}. The adapter itself moves logits by up to {merged.Effect:G3}.");
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
