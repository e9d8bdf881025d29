using System.Text.Json.Nodes;

namespace Perenos.Runs.Import;

/// <summary>Recipes of axolotl (https://docs.axolotl.ai/docs/config-reference.html): its keys and their defaults.</summary>
internal static class AxolotlRecipe
{
    public static void Translate(Translation translation)
    {
        if (!translation.Has("base_model"))
            throw translation.Missing("base_model", "Name the model there.");
        translation.Set("start.kind", "pretrained");
        string revision = translation.Has("revision_of_model") ? "@" + translation.Text("revision_of_model") : "";
        translation.Map("base_model", "start.model", translation.Text("base_model") + revision);
        translation.Needless("part of start.model", "revision_of_model");
        if (translation.Has("rl"))
            throw translation.Impossible("rl", "preferences and rewards are not translated", "For dpo write a recipe by hand with objective.kind: dpo (docs/methods/dpo.md).");
        Method(translation);
        Data(translation);
        SharedKeys.HeldOut(translation, "val_set_size");
        SharedKeys.Batch(translation, "micro_batch_size", 1);
        translation.Lost("training.batch_size is micro_batch_size times gradient_accumulation_steps", "batch_size");
        if (!translation.Has("learning_rate"))
            throw translation.Missing("learning_rate", "It has no default there; write it.");
        translation.Number("learning_rate", "training.learning_rate", null);
        SharedKeys.Schedule(translation, "lr_scheduler", "cosine", 0.03);
        SharedKeys.Length(translation, "num_epochs", 1);
        PerEpoch(translation, "evals_per_epoch", "training.validate_every");
        PerEpoch(translation, "saves_per_epoch", "training.save_every");
        SharedKeys.Optimizer(translation, "optimizer");
        SharedKeys.ComputeType(translation);
        translation.Needless("it changes nothing here", "strict", "shuffle_merged_datasets", "skip_prepare_dataset", "loss_watchdog_threshold", "loss_watchdog_patience", "eval_sample_packing", "pad_to_sequence_len", "base_model_config", "base_model_ignore_patterns", "tokenizer_config");
        SharedKeys.Rest(translation);
    }

    private static void Method(Translation translation)
    {
        string? adapter = translation.Has("adapter") ? translation.Text("adapter") : null;
        if (adapter is not (null or "" or "lora" or "qlora"))
            throw translation.Impossible("adapter", "only lora, qlora and none can be run here", "Change it there, or write a recipe by hand (docs/recipes.md).");
        bool isLora = adapter is "lora" or "qlora";
        translation.Set("method.kind", isLora ? "lora" : "full");
        translation.Report("adapter", adapter == "qlora" ? KeyFate.Lost : KeyFate.Mapped, adapter == "qlora" ? "method.kind = lora; the base is not quantised here" : $"method.kind = {(isLora ? "lora" : "full")}");
        string[] keys = ["lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", "lora_target_linear", "peft_use_rslora", "peft_use_dora", "loraplus_lr_ratio", "lora_modules_to_save", "lora_fan_in_fan_out"];
        if (!isLora)
        {
            translation.Needless("all weights are trained", keys);
            return;
        }

        translation.Whole("lora_r", "method.rank", null);
        translation.Number("lora_alpha", "method.alpha", null);
        translation.Number("lora_dropout", "method.dropout", null);
        if (translation.Has("lora_target_linear") && translation.Flag("lora_target_linear"))
        {
            translation.Map("lora_target_linear", "method.targets", new JsonArray("all-linear"));
            translation.Needless("lora_target_linear takes all of them", "lora_target_modules");
        }
        else if (translation.Has("lora_target_modules"))
        {
            translation.Map("lora_target_modules", "method.targets", new JsonArray([.. translation.Texts("lora_target_modules").Select(target => (JsonNode)target)]));
        }

        if (translation.Has("peft_use_rslora"))
            translation.Map("peft_use_rslora", "method.is_rank_stabilized", translation.Flag("peft_use_rslora"));
        SharedKeys.BeyondLora(translation, "peft_use_dora", "lora_modules_to_save");
        translation.Needless("told by the model", keys);
    }

    private static void Data(Translation translation)
    {
        translation.Whole("sequence_len", "data.maximum_length", 512);
        if (translation["datasets"] is not JsonArray { Count: > 0 } datasets || datasets[0] is not JsonObject first)
            throw translation.Missing("datasets with an entry", "Name a data set there.");
        string mapped = Dataset(translation, first, "data.path", isTraining: true);
        translation.Report("datasets", datasets.Count == 1 ? KeyFate.Mapped : KeyFate.Lost,
            datasets.Count == 1 ? mapped : $"{mapped}; {string.Join(", ", datasets.Skip(1).Select(entry => entry?["path"]?.ToString()))} left out: give each its share of the learnt tokens under data.mix, or join them into one file");
        if (translation["test_datasets"] is JsonArray { Count: > 0 } tests && tests[0] is JsonObject test)
            translation.Report("test_datasets", KeyFate.Mapped, Dataset(translation, test, "data.validation", isTraining: false));
        translation.Needless("the checkpoint's own chat template is used (data.template = auto)", "chat_template", "default_system_message");
        translation.Lost("only replies and completions are learnt", "train_on_inputs");
        if (translation["special_tokens"] is JsonObject tokens)
        {
            bool isPadding = tokens.All(token => token.Key == "pad_token");
            translation.Report("special_tokens", isPadding ? KeyFate.Needless : KeyFate.Lost, isPadding ? "no token is needed for padding" : "the tokenizer is used as it is; its stop token is that of the checkpoint");
        }

        translation.Lost("a reply ends with the stop token that the checkpoint names", "eot_tokens");
        translation.Lost("no tokens are added", "tokens", "added_tokens_overrides");
    }

    private static string Dataset(Translation translation, JsonObject entry, string key, bool isTraining)
    {
        string path = entry["path"]?.ToString() ?? throw translation.Missing("datasets[0].path", "Name a file or data set there.");
        // A kind of file as path, with the files beside it, is the other way to name local data.
        bool isKind = path is "json" or "csv" or "parquet" or "text";
        string? files = entry["data_files"] is JsonArray list ? list.FirstOrDefault()?.ToString() : entry["data_files"]?.ToString();
        string source = isKind ? files ?? throw translation.Missing("datasets[0].data_files", "Name the file there.") : files is not null ? $"{path}:{files}" : path;
        translation.Set(key, source);
        if (!isTraining)
            return $"{key} = {source}";
        foreach (var (part, value) in entry)
        {
            if (part is not ("path" or "type" or "data_files" or "ds_type" or "field" or "field_messages") && !Translation.IsOff(value))
                translation.Differs($"datasets[0].{part}", $"= {StrictShape.Show(value)} is not used: fields and parts are found as docs/data.md says");
        }

        Fields(translation, entry);
        return $"{key} = {source}";
    }

    private static void Fields(Translation translation, JsonObject entry)
    {
        if (entry["type"] is JsonObject custom)
        {
            string Field(string part, string theirDefault) => $"{{{custom[part]?.ToString() ?? theirDefault}}}";
            string format = custom["format"]?.ToString() ?? "{instruction}";
            translation.Set("data.prompt", format.Replace("{instruction}", Field("field_instruction", "instruction"), StringComparison.Ordinal).Replace("{input}", Field("field_input", "input"), StringComparison.Ordinal));
            translation.Set("data.completion", Field("field_output", "output"));
            if (!Translation.IsOff(custom["system_prompt"]) || !Translation.IsOff(custom["no_input_format"]))
                translation.Differs("datasets[0].type", "one prompt serves all records, without a system message of its own");
            return;
        }

        string type = entry["type"]?.ToString() ?? "";
        string kind = type.Split('.', ':')[0];
        switch (kind)
        {
            case "completion":
                translation.Set("data.text", $"{{{entry["field"]?.ToString() ?? "text"}}}");
                break;
            case "alpaca":
                translation.Set("data.prompt", "{instruction}\n{input}");
                translation.Set("data.completion", "{output}");
                translation.Differs("datasets[0].type", $"{type} puts a preamble and headings around the fields; write them into data.prompt if the model shall expect them");
                break;
            case "chat_template" or "sharegpt":
                if (entry["field_messages"]?.ToString() is { } field and not ("messages" or "conversations"))
                    translation.Differs("datasets[0].field_messages", $"conversations are read from \"messages\" or \"conversations\" here, not from \"{field}\"");
                break;
            default:
                translation.Differs("datasets[0].type", $"{(type.Length == 0 ? "(none)" : type)} is not known; say what the fields mean by data.prompt and data.completion");
                break;
        }
    }

    private static void PerEpoch(Translation translation, string key, string ours)
    {
        if (translation.Has(key))
            translation.Report(key, translation.Real(key) == 1 ? KeyFate.Needless : KeyFate.Lost, translation.Real(key) == 1 ? "once an epoch, as here" : $"{ours} counts steps; without it, once an epoch");
    }
}
