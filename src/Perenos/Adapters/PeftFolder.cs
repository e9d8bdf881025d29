using System.Text.Json;
using System.Text.Json.Nodes;
using Perenos.Checkpoints;
using Perenos.Layers;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>
/// An adapter as PEFT keeps it on disk: <c>adapter_config.json</c> and <c>adapter_model.safetensors</c>
/// (https://huggingface.co/docs/peft/developer_guides/checkpoint). Loading is strict: PEFT warns about names that match nothing
/// and runs the base unchanged; here that is an error. Folders of mlx-lm are opened too.
/// </summary>
public static class PeftFolder
{
    private const string ConfigName = "adapter_config.json";
    private const string WeightsName = "adapter_model.safetensors";

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    /// <summary>Attaches the adapter of <paramref name="folder"/> to the model with these parts.</summary>
    /// <exception cref="PerenosException">The adapter belongs to another model, or is incomplete, malformed or of a kind that is not implemented.</exception>
    public static Adapter Open(string folder, ModelParts parts)
    {
        var config = ReadConfig(folder);
        if (MlxFolder.IsOne(config))
            return MlxFolder.Open(folder, config, parts);
        using var file = SafetensorsFile.Open(Path.Combine(folder, WeightsName));
        return PeftMethods.Build(config, new FileWeights(file, config.Location), parts);
    }

    /// <summary>Writes the adapter so that PEFT opens it without a warning.</summary>
    /// <param name="folder">Where to; made if need be.</param>
    /// <param name="adapter">What.</param>
    /// <param name="baseModel">The base's folder or name, for the program that opens it.</param>
    public static void Save(string folder, Adapter adapter, string baseModel)
    {
        Directory.CreateDirectory(folder);
        using var scope = NewDisposeScope();
        SafetensorsWriter.Write(Path.Combine(folder, WeightsName), adapter.Saved);
        var json = (JsonObject)adapter.Config.DeepClone();
        json["base_model_name_or_path"] = baseModel;
        json["inference_mode"] = true;
        // Keys in PEFT's order.
        var sorted = new JsonObject(json.OrderBy(entry => entry.Key, StringComparer.Ordinal).Select(entry => KeyValuePair.Create(entry.Key, entry.Value?.DeepClone())));
        AtomicFile.WriteText(Path.Combine(folder, ConfigName), sorted.ToJsonString(Indented));
    }

    private static PeftConfig ReadConfig(string folder)
    {
        string path = Path.Combine(folder, ConfigName);
        if (!File.Exists(path))
            throw new PerenosException($"{folder} holds no {ConfigName}.", "Give the folder that training wrote: runs/NAME/adapter.");
        return new PeftConfig(JsonFile.ReadObject(path, "Copy the adapter's folder again."), path);
    }
}
