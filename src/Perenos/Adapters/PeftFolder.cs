using System.Text.Json;
using System.Text.Json.Nodes;
using Perenos.Checkpoints;
using Perenos.Layers;
using Perenos.Runs;
using Perenos.Runs.Config;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>
/// A LoRA as PEFT keeps it on disk: <c>adapter_config.json</c> and <c>adapter_model.safetensors</c>
/// (https://huggingface.co/docs/peft/developer_guides/checkpoint). Loading is strict: PEFT warns about names that match nothing
/// and runs the base unchanged; here that is an error.
/// </summary>
public static class PeftFolder
{
    private const string ConfigName = "adapter_config.json";
    private const string WeightsName = "adapter_model.safetensors";
    private static readonly string[] Halves = ["lora_A", "lora_B"];
    private const string Prefix = "base_model.model.";
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    /// <summary>Attaches the adapter of <paramref name="folder"/> to the model with these parts.</summary>
    /// <exception cref="PerenosException">The adapter belongs to another model, or is incomplete or malformed.</exception>
    public static Lora Open(string folder, ModelParts parts)
    {
        var config = ReadConfig(folder);
        var placements = config.Place(parts);
        using var file = SafetensorsFile.Open(Path.Combine(folder, WeightsName));
        CheckNames(file, placements);
        RefuseOtherBase(file, placements);
        return Lora.Restore(placements, config.Dropout, placement =>
        {
            Tensor Take(string half, long[] shape)
            {
                string name = $"{Prefix}{placement.Target.Path}.{half}.weight";
                var info = file.Tensors[name];
                if (!info.Shape.SequenceEqual(shape))
                {
                    throw new PerenosException(
                        $"{file.Location}: {name} is [{string.Join(", ", info.Shape)}], but rank {placement.Rank} on this model asks for [{string.Join(", ", shape)}].",
                        "Take adapter_config.json and adapter_model.safetensors from the same training, and the base that it names.");
                }

                using var scope = NewDisposeScope();
                var tensor = file.Read(name, ScalarType.Float32);
                scope.Attach(tensor);
                WeightCheck.RefuseNotFinite(name, tensor);
                return tensor.to(placement.Target.Weight.device).MoveToOuterDisposeScope();
            }

            return (Take("lora_A", [placement.Rank, placement.Target.Inputs]), Take("lora_B", [placement.Target.Outputs, placement.Rank]));
        });
    }

    /// <summary>Why the adapter in a folder cannot be opened by this version, or null if it can.</summary>
    public static string? NotImplemented(string folder) => ReadConfig(folder).NotImplemented;

    /// <summary>Writes the adapter so that PEFT opens it without a warning.</summary>
    public static void Save(string folder, Lora lora, ModelParts parts, LoraConfig settings, string baseModel)
    {
        Directory.CreateDirectory(folder);
        SafetensorsWriter.Write(Path.Combine(folder, WeightsName), lora.Weights.Select(weight => (Prefix + weight.Key, weight.Value)));
        // Keys in PEFT's order (sorted); targets as names that match exactly these layers.
        var json = new JsonObject
        {
            ["auto_mapping"] = null,
            ["base_model_name_or_path"] = baseModel,
            ["bias"] = "none",
            ["fan_in_fan_out"] = lora.Placements.First().Target.IsTransposed,
            ["inference_mode"] = true,
            ["init_lora_weights"] = true,
            ["layers_pattern"] = null,
            ["layers_to_transform"] = null,
            ["lora_alpha"] = settings.Alpha == Math.Floor(settings.Alpha) ? (long)settings.Alpha : settings.Alpha,
            ["lora_dropout"] = settings.Dropout,
            ["modules_to_save"] = null,
            ["peft_type"] = "LORA",
            ["r"] = settings.Rank,
            ["revision"] = null,
            ["target_modules"] = new JsonArray([.. TargetNames(lora, parts).Select(name => (JsonNode)name)]),
            ["task_type"] = "CAUSAL_LM",
            ["use_dora"] = false,
            ["use_rslora"] = settings.IsRankStabilized,
        };
        AtomicFile.WriteText(Path.Combine(folder, ConfigName), json.ToJsonString(Indented));
    }

    private static PeftLoraConfig ReadConfig(string folder)
    {
        string path = Path.Combine(folder, ConfigName);
        if (!File.Exists(path))
            throw new PerenosException($"{folder} holds no {ConfigName}.", "Give the folder that training wrote: runs/NAME/adapter.");
        return new PeftLoraConfig(JsonFile.ReadObject(path, "Copy the adapter's folder again."), path);
    }

    // The ends of names where they mean exactly these layers, whole names otherwise.
    private static IEnumerable<string> TargetNames(Lora lora, ModelParts parts)
    {
        var paths = lora.Placements.Select(placement => placement.Target.Path).ToHashSet();
        var ends = paths.Select(path => path[(path.LastIndexOf('.') + 1)..]).Distinct().Order(StringComparer.Ordinal).ToList();
        bool areExact = parts.Projections
            .Where(projection => ends.Any(end => LoraTargets.MatchesName(projection.Path, end)))
            .All(projection => paths.Contains(projection.Path));
        return areExact ? ends : paths;
    }

    private static void CheckNames(SafetensorsFile file, IReadOnlyList<LoraPlacement> placements)
    {
        var wanted = placements
            .SelectMany(placement => Halves.Select(half => $"{Prefix}{placement.Target.Path}.{half}.weight"))
            .ToHashSet();
        var copies = placements.Select(BaseCopy).ToHashSet();
        var surplus = file.Tensors.Keys.Where(name => !wanted.Contains(name) && !copies.Contains(name)).ToList();
        var missing = wanted.Where(name => !file.Tensors.ContainsKey(name)).ToList();
        if (surplus.Count == 0 && missing.Count == 0)
            return;
        string Some(List<string> names) => names.Count == 0 ? "none" : string.Join(", ", names.Take(4)) + (names.Count > 4 ? $" and {names.Count - 4} more" : "");
        throw new PerenosException(
            $"{file.Location} does not fit this model: names without a layer: {Some(surplus)}; layers without weights: {Some(missing)}.",
            $"Use the base that the adapter was trained on; names must begin with {Prefix} and continue as in the base.");
    }

    // PEFT saves the head's own weight beside an update of the head; it may only repeat the base.
    private static void RefuseOtherBase(SafetensorsFile file, IReadOnlyList<LoraPlacement> placements)
    {
        foreach (var placement in placements.Where(placement => file.Tensors.ContainsKey(BaseCopy(placement))))
        {
            var weight = placement.Target.Weight;
            using var copy = file.Read(BaseCopy(placement), weight.dtype);
            using var here = weight.detach().cpu();
            using var equal = copy.shape.SequenceEqual(here.shape) ? copy.eq(here).all() : null;
            if (equal?.item<bool>() != true)
            {
                throw new PerenosException(
                    $"{file.Location}: {BaseCopy(placement)} is not the weight of this model's {placement.Target.Path}.",
                    "Use the base that the adapter was trained on.");
            }
        }
    }

    private static string BaseCopy(LoraPlacement placement) => $"{Prefix}{placement.Target.Path}.base_layer.weight";
}
