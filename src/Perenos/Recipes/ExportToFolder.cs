using System.Text.Json.Nodes;
using Perenos.Checkpoints;
using Perenos.Models;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Recipes;

/// <summary>Writes a model as a folder in Hugging Face's layout; the folder appears only after it was read back and compared.</summary>
public static class ExportToFolder
{
    /// <summary>What <c>--type</c> may name.</summary>
    public static IReadOnlyList<string> Types => [.. Known.Keys];

    private static readonly Dictionary<string, (ScalarType Type, string Name)> Known = new()
    {
        ["f32"] = (ScalarType.Float32, "float32"),
        ["f16"] = (ScalarType.Float16, "float16"),
        ["bf16"] = (ScalarType.BFloat16, "bfloat16"),
    };

    // What else a folder may hold that belongs to the model and is text.
    private static readonly string[] Companions = ["LICENSE", "LICENSE.txt", "README.md", "special_tokens_map.json"];

    /// <summary>Converts a model of any form that can be opened; one tensor at a time is in memory.</summary>
    /// <param name="source">The model.</param>
    /// <param name="folder">The new folder.</param>
    /// <param name="type">One of <see cref="Types"/>; null keeps each tensor's own, and makes float32 of quantised ones.</param>
    /// <param name="mostShardBytes">Where a new file begins.</param>
    /// <param name="progress">Is told how far it is.</param>
    /// <exception cref="PerenosException">The folder is not empty, or what was written does not read back as it was.</exception>
    public static Conversion Run(
        ModelSource source, string folder, string? type = null, long mostShardBytes = SafetensorsWriter.DefaultShardBytes, ConversionProgress? progress = null)
    {
        if (Directory.Exists(folder) && Directory.EnumerateFileSystemEntries(folder).Any())
            throw new PerenosException($"{folder} is not empty.", "Give a new folder: --output NAME.");
        if (type is not null && !Known.ContainsKey(type))
            throw new PerenosException($"safetensors are not written in \"{type}\" here.", $"Use {string.Join(", ", Known.Keys)}.");
        var weights = ModelCatalogue.Outline(source.Config, source.ConfigLocation, source.Tensors);
        ScalarType TypeOf(string file) => type is not null ? Known[type].Type : source.Tensors.Tensors[file].Type ?? ScalarType.Float32;
        var sums = new ReadBack();
        int done = 0;
        AtomicFile.WriteFolder(folder, temporary =>
        {
            SafetensorsWriter.WriteShards(temporary, weights.Select(weight => new SafetensorsEntry(
                weight.Key, TypeOf(weight.Value), source.Tensors.Tensors[weight.Value].Shape, () =>
                {
                    progress?.Invoke("writing", ++done, weights.Count);
                    var tensor = source.Tensors.Read(weight.Value, TypeOf(weight.Value));
                    WeightCheck.RefuseNotFinite($"{source.Location}: {weight.Value}", tensor);
                    return tensor;
                })), maximumShardBytes: mostShardBytes);
            WriteCompanions(source, weights, temporary, type);
            Check(source, weights, temporary, sums, progress);
        });
        long parameters = weights.Values.Sum(file => source.Tensors.Tensors[file].Shape.Aggregate(1L, (product, size) => product * size));
        return new Conversion(folder, Directory.EnumerateFiles(folder).Sum(file => new FileInfo(file).Length), parameters, sums.Types,
        [
            $"{weights.Count} tensors read back: names, shapes, every value within what its type can hold",
            "tokenizer: test texts cut alike",
            source.ChatTemplate is null ? "no chat template" : "chat template: equal",
        ], []);
    }

    private static void WriteCompanions(ModelSource source, IReadOnlyDictionary<string, string> weights, string folder, string? type)
    {
        var config = (JsonObject)source.Config.DeepClone();
        var family = ModelCatalogue.FamilyOf(config, source.ConfigLocation);
        config["tie_word_embeddings"] = !weights.ContainsKey(family.HeadName);
        bool isQuantised = weights.Values.Any(file => source.Tensors.Tensors[file].Type is null);
        if ((type ?? (isQuantised ? "f32" : null)) is { } stored)
        {
            config["torch_dtype"] = Known[stored].Name; // transformers 4, which 5 reads too
            config.Remove("dtype");
        }

        ModelFiles.Write(folder, config, source.ConfigLocation, source.Tokenizer, source.TokenizerConfig, source.StopTokens, BeginToken(source), source.ChatTemplate);
        foreach (string name in Companions.Where(name => File.Exists(Path.Combine(source.Folder, name))))
            File.Copy(Path.Combine(source.Folder, name), Path.Combine(folder, name));
    }

    private static int? BeginToken(ModelSource source) =>
        source.Config["bos_token_id"] is JsonValue value && value.TryGetValue(out int id) && source.Tokenizer.TokenOf(id) is not null ? id : null;

    private static void Check(ModelSource source, IReadOnlyDictionary<string, string> weights, string folder, ReadBack sums, ConversionProgress? progress)
    {
        using var written = ModelSource.Open(folder);
        int done = 0;
        if (ModelCatalogue.Outline(written.Config, folder, written.Tensors).Count != weights.Count)
            throw new PerenosException($"{folder} would hold other tensors than {source.Location}.", "This is a mistake of the program.");
        foreach (var (name, file) in weights)
        {
            progress?.Invoke("comparing", ++done, weights.Count);
            using var before = source.Tensors.Read(file, ScalarType.Float32);
            using var after = written.Tensors.Read(name, ScalarType.Float32);
            sums.Compare(name, written.Tensors.Tensors[name].DType, before, after);
        }

        SameText.Refuse(source.Tokenizer, written.Tokenizer, source.Location);
        if (written.ChatTemplate != source.ChatTemplate || !written.StopTokens.SequenceEqual(source.StopTokens))
            throw new PerenosException($"{source.Location}: template or stop tokens do not read back as they were.", "This is a mistake of the program.");
    }
}
