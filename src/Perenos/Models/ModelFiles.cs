using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Perenos.Models;

/// <summary>Small files of a saved model, as transformers expects them.</summary>
internal static class ModelFiles
{
    public static JsonSerializerOptions Indented { get; } = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The tokenizer's configuration as it came, completed; the class is the one that trusts tokenizer.json.</summary>
    public static JsonObject TokenizerConfig(Pretrained pretrained)
    {
        var config = (JsonObject)pretrained.TokenizerConfig.DeepClone();
        // The template goes into its own file.
        config.Remove("chat_template");
        config["tokenizer_class"] ??= pretrained.Tokenizer.Facts().TransformersClass;
        config["model_max_length"] ??= pretrained.Model.Config.MaximumLength;
        config["clean_up_tokenization_spaces"] ??= false;
        config["eos_token"] ??= pretrained.Tokenizer.TokenOf(pretrained.StopTokens[0]);
        return config;
    }
}
