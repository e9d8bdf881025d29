using System.Text.Json.Nodes;

namespace Perenos.Runs.Import;

/// <summary>Recipes of LLaMA-Factory (https://github.com/hiyouga/LlamaFactory, src/llamafactory/hparams): its arguments and their defaults.</summary>
internal static class LlamaFactoryRecipe
{
    private const string DatasetInfo = "dataset_info.json";

    public static void Translate(Translation translation, string folder)
    {
        if (!translation.Has("model_name_or_path"))
            throw translation.Missing("model_name_or_path", "Name the model there.");
        translation.Set("start.kind", "pretrained");
        translation.Map("model_name_or_path", "start.model", translation.Text("model_name_or_path"));
        Stage(translation);
        Method(translation);
        Data(translation, folder);
        SharedKeys.HeldOut(translation, "val_size");
        SharedKeys.Batch(translation, "per_device_train_batch_size", 8);
        translation.Number("learning_rate", "training.learning_rate", 5e-5);
        SharedKeys.Schedule(translation, "lr_scheduler_type", "linear", 0);
        SharedKeys.Length(translation, "num_train_epochs", 3);
        SharedKeys.Optimizer(translation, "optim");
        SharedKeys.ComputeType(translation);
        translation.Whole("max_new_tokens", "evaluation.generation.max_new_tokens", null);
        translation.Number("temperature", "evaluation.generation.temperature", null);
        translation.Number("top_p", "evaluation.generation.top_p", null);
        translation.Whole("top_k", "evaluation.generation.top_k", null);
        if (translation.Has("run_name"))
            translation.Map("run_name", "name", translation.Text("run_name"));
        translation.Needless("perenos tune trains, judges before and after, and reports", "do_train", "do_eval", "do_predict", "predict_with_generate", "compute_accuracy", "do_sample");
        SharedKeys.Rest(translation);
    }

    private static void Stage(Translation translation)
    {
        string stage = translation.Has("stage") ? translation.Text("stage") : "sft";
        if (stage is not ("sft" or "pt"))
            throw translation.Impossible("stage", "only sft and pt can be run here", "For dpo write a recipe by hand with objective.kind: dpo (docs/methods/dpo.md); rewards are not learnt here.");
        if (translation.Has("stage"))
            translation.Report("stage", KeyFate.Needless, stage == "sft" ? "replies are learnt" : "text is learnt, where records have a field \"text\"");
    }

    private static void Method(Translation translation)
    {
        string type = translation.Has("finetuning_type") ? translation.Text("finetuning_type") : "lora";
        if (type is not ("lora" or "full"))
            throw translation.Impossible("finetuning_type", "only lora and full can be run here", "Change it there, or write a recipe by hand (docs/recipes.md).");
        translation.Set("method.kind", type);
        if (translation.Has("finetuning_type"))
            translation.Report("finetuning_type", KeyFate.Mapped, $"method.kind = {type}");
        if (type == "full")
        {
            translation.Needless("all weights are trained", "lora_rank", "lora_alpha", "lora_dropout", "lora_target", "use_rslora", "use_dora", "loraplus_lr_ratio", "pissa_init", "additional_target");
            return;
        }

        int rank = translation.Has("lora_rank") ? translation.Integer("lora_rank") : 8;
        translation.Whole("lora_rank", "method.rank", 8);
        translation.Number("lora_alpha", "method.alpha", 2 * rank);
        translation.Number("lora_dropout", "method.dropout", null);
        if (translation.Has("lora_target"))
        {
            var targets = translation.Texts("lora_target");
            translation.Map("lora_target", "method.targets", new JsonArray([.. (targets is ["all"] ? ["all-linear"] : targets).Select(target => (JsonNode)target)]));
        }

        if (translation.Has("use_rslora"))
            translation.Map("use_rslora", "method.is_rank_stabilized", translation.Flag("use_rslora"));
        SharedKeys.BeyondLora(translation, "use_dora", "additional_target");
    }

    private static void Data(Translation translation, string folder)
    {
        translation.Whole("cutoff_len", "data.maximum_length", 2048);
        if (translation.Has("template"))
        {
            if (translation.Text("template") is "empty")
                translation.Map("template", "data.template", "none");
            else
                translation.Report("template", KeyFate.Needless, "the checkpoint's own chat template is used (data.template = auto); a base model without one gets prompt and completion side by side");
        }

        string datasets = translation.Has("dataset_dir") ? translation.Text("dataset_dir") : "data";
        translation.Needless($"{DatasetInfo} is looked for there", "dataset_dir");
        if (!translation.Has("dataset"))
            throw translation.Missing("dataset", "Name a data set there.");
        var names = translation.Texts("dataset");
        string found = Register(translation, names[0], folder, datasets, isTraining: true);
        translation.Report("dataset", names.Count == 1 ? KeyFate.Mapped : KeyFate.Lost,
            names.Count == 1 ? found : $"{found}; {string.Join(", ", names.Skip(1))} left out: give each its share of the learnt tokens under data.mix, or join them into one file");
        if (translation.Has("eval_dataset"))
            translation.Report("eval_dataset", KeyFate.Mapped, Register(translation, translation.Texts("eval_dataset")[0], folder, datasets, isTraining: false));
        translation.Lost("all records are read; cut the file instead", "max_samples");
        translation.Lost("only replies are learnt", "train_on_prompt");
        translation.Lost("every reply is learnt", "mask_history");
        if (translation.Has("streaming"))
            translation.Map("streaming", "data.streaming", translation.Flag("streaming"));
        translation.Lost("several data sets are mixed by their shares of the learnt tokens: data.mix", "mix_strategy", "interleave_probs");
        translation.Needless("all records are shuffled, streamed ones too", "buffer_size");
    }

    // A name of the data set, by the tool's own register; without one only the name is known.
    private static string Register(Translation translation, string name, string folder, string datasets, bool isTraining)
    {
        string key = isTraining ? "data.path" : "data.validation";
        string register = new[] { Path.Combine(datasets, DatasetInfo), Path.Combine(folder, datasets, DatasetInfo) }.FirstOrDefault(File.Exists) ?? "";
        if (register.Length == 0 || (ConfigFile.ReadDocument(register).Root as JsonObject)?[name] is not JsonObject entry)
        {
            translation.Set(key, $"{datasets}/{name}.json");
            translation.Differs($"{DatasetInfo}: {name}", $"not found, so {key} is a guess: {datasets}/{name}.json, with its fields as they are");
            return $"{key} = {datasets}/{name}.json";
        }

        string source = (entry["hf_hub_url"] ?? entry["file_name"])?.ToString() is { } named && entry["hf_hub_url"] is null ? Path.Combine(Path.GetDirectoryName(register)!, named)
            : entry["hf_hub_url"]?.ToString() ?? throw new PerenosException($"{register}: {name} has neither file_name nor hf_hub_url.", "Scripts and other hubs are not read; name a file there.");
        translation.Set(key, source);
        if (isTraining && entry["formatting"]?.ToString() is null or "alpaca")
        {
            string Column(string column, string theirDefault) => entry["columns"]?[column]?.ToString() ?? theirDefault;
            string query = entry["columns"] is JsonObject columns && columns["query"] is null ? "" : $"\n{{{Column("query", "input")}}}";
            translation.Set("data.prompt", $"{{{Column("prompt", "instruction")}}}{query}");
            translation.Set("data.completion", $"{{{Column("response", "output")}}}");
            translation.Differs($"{DatasetInfo}: {name}", "an empty second part of the prompt leaves its line break here");
        }
        else if (isTraining && (entry["columns"]?["messages"]?.ToString() ?? "conversations") is not ("conversations" or "messages") and var column)
        {
            translation.Differs($"{DatasetInfo}: {name}", $"conversations are read from \"messages\" or \"conversations\" here, not from \"{column}\"");
        }

        return $"{key} = {source}";
    }
}
