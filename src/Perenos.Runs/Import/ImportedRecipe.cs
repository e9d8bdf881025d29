using System.Text;
using System.Text.Json.Nodes;
using Perenos.Runs.Config;

namespace Perenos.Runs.Import;

/// <summary>What became of a key of another tool's recipe.</summary>
public enum KeyFate
{
    /// <summary>A key of ours says the same.</summary>
    Mapped,

    /// <summary>It changes nothing here: speed, logging, or what is done anyway.</summary>
    Needless,

    /// <summary>It is not done here, and the result will differ.</summary>
    Lost,
}

/// <summary>One key of another tool's recipe.</summary>
/// <param name="Key">Its name there; "(absent)" stands for a default of that tool which is not ours.</param>
/// <param name="Value">Its value there, as JSON.</param>
/// <param name="Fate">What became of it.</param>
/// <param name="Explanation">Our key and value, or why there is none and what comes nearest.</param>
public sealed record KeyReport(string Key, string Value, KeyFate Fate, string Explanation);

/// <summary>A recipe of another tool in our words, with an account of every key.</summary>
/// <param name="Tool">The tool whose recipe it was.</param>
/// <param name="Recipe">The recipe, checked; only keys that the other recipe or its tool's defaults decide.</param>
/// <param name="Keys">Every key of the other recipe, in its order.</param>
public sealed record ImportedRecipe(string Tool, JsonObject Recipe, IReadOnlyList<KeyReport> Keys)
{
    // A recipe that names neither is neither's.
    private static readonly string[] KeysOfLlamaFactory = ["model_name_or_path", "finetuning_type", "stage", "dataset_dir", "cutoff_len"];
    private static readonly string[] KeysOfAxolotl = ["base_model", "datasets", "sequence_len", "micro_batch_size", "lora_r"];

    /// <summary>Reads a recipe of LLaMA-Factory or axolotl (YAML or JSON).</summary>
    /// <exception cref="PerenosException">It is neither's, a value is of the wrong kind, or it asks for something that cannot be run here at all.</exception>
    public static ImportedRecipe Read(string path)
    {
        var document = ConfigFile.ReadDocument(path);
        if (document.Root is not JsonObject theirs)
            throw new PerenosException($"{document.Name} holds {StrictShape.Show(document.Root)} instead of keys.", "Give a recipe of LLaMA-Factory or axolotl.");
        bool isLlamaFactory = KeysOfLlamaFactory.Count(theirs.ContainsKey) > KeysOfAxolotl.Count(theirs.ContainsKey);
        if (!isLlamaFactory && !KeysOfAxolotl.Any(theirs.ContainsKey))
        {
            throw new PerenosException($"{document.Name} is a recipe neither of LLaMA-Factory (model_name_or_path) nor of axolotl (base_model).",
                theirs.ContainsKey("start") ? "It looks like one of Perenos: perenos tune reads it as it is." : "Other tools' recipes are not read.");
        }

        var translation = new Translation(document, theirs);
        if (isLlamaFactory)
            LlamaFactoryRecipe.Translate(translation, Path.GetDirectoryName(Path.GetFullPath(path))!);
        else
            AxolotlRecipe.Translate(translation);
        // Ranges and kinds are ours to check: what comes out must be a recipe.
        ConfigFile.Parse<RunConfig>(translation.Ours.DeepClone(), $"the recipe made of {document.Name}");
        return new ImportedRecipe(isLlamaFactory ? "LLaMA-Factory" : "axolotl", translation.Ours, translation.Reports());
    }

    /// <summary>The recipe as YAML; what was lost stands above it.</summary>
    public string ToYaml()
    {
        var text = new StringBuilder($"# Made of a recipe of {Tool} by perenos import-recipe.\n");
        foreach (var lost in Keys.Where(key => key.Fate == KeyFate.Lost))
            text.Append($"# Not as there: {lost.Key} = {lost.Value}: {lost.Explanation}\n");
        YamlText.Append(text, Recipe, indent: 0);
        return text.ToString();
    }
}
