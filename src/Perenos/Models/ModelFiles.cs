using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Perenos.Runs;
using Perenos.Text.Tokenization;

namespace Perenos.Models;

/// <summary>The small files of a saved model, as transformers expects them.</summary>
internal static class ModelFiles
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Writes everything but the weights into a folder.</summary>
    /// <param name="folder">Where to.</param>
    /// <param name="config">The configuration; the class that opens it is filled in.</param>
    /// <param name="location">Where the configuration came from, for messages.</param>
    /// <param name="tokenizer">The tokenizer.</param>
    /// <param name="tokenizerConfig">Its configuration as it came; it is completed.</param>
    /// <param name="stopTokens">Tokens that end a text.</param>
    /// <param name="beginToken">Token that begins one, if any.</param>
    /// <param name="chatTemplate">The chat template, if any.</param>
    public static void Write(
        string folder, JsonObject config, string location, Tokenizer tokenizer, JsonObject tokenizerConfig, IReadOnlyList<int> stopTokens, int? beginToken, string? chatTemplate)
    {
        var family = ModelCatalogue.FamilyOf(config, location);
        config = (JsonObject)config.DeepClone();
        config["architectures"] = new JsonArray(family.Architecture);
        Write(folder, "config.json", config);
        var stops = new JsonArray([.. stopTokens.Select(id => (JsonNode)id)]);
        var generation = new JsonObject { ["eos_token_id"] = stopTokens.Count == 1 ? stopTokens[0] : stops };
        if (beginToken is { } begin)
            generation["bos_token_id"] = begin;
        Write(folder, "generation_config.json", generation);
        tokenizer.SaveTo(folder);
        tokenizerConfig = (JsonObject)tokenizerConfig.DeepClone();
        // The template goes into its own file; the class is the one that trusts tokenizer.json.
        tokenizerConfig.Remove("chat_template");
        tokenizerConfig["tokenizer_class"] ??= tokenizer.Facts().TransformersClass;
        tokenizerConfig["model_max_length"] ??= family.Read(config, location).MaximumLength;
        tokenizerConfig["clean_up_tokenization_spaces"] ??= false;
        tokenizerConfig["eos_token"] ??= tokenizer.TokenOf(stopTokens[0]);
        Write(folder, "tokenizer_config.json", tokenizerConfig);
        if (chatTemplate is not null)
            AtomicFile.WriteText(Path.Combine(folder, "chat_template.jinja"), chatTemplate);
    }

    private static void Write(string folder, string name, JsonObject json) => AtomicFile.WriteText(Path.Combine(folder, name), json.ToJsonString(Indented));
}
