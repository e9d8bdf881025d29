using System.Text.Json.Nodes;

namespace Perenos.Runs.Import;

/// <summary>What both tools take over from the Trainer of transformers, under the same or nearly the same names.</summary>
internal static class SharedKeys
{
    /// <summary>Examples of a step: what one pass takes, times the passes that are added up.</summary>
    public static void Batch(Translation translation, string perPass, int theirDefault)
    {
        int micro = translation.Has(perPass) ? translation.Integer(perPass) : theirDefault;
        int passes = translation.Has("gradient_accumulation_steps") ? translation.Integer("gradient_accumulation_steps") : 1;
        translation.Set("training.batch_size", JsonValue.Create(micro * passes));
        translation.Set("training.micro_batch_size", JsonValue.Create(micro));
        string explanation = $"training.batch_size = {micro * passes}, training.micro_batch_size = {micro} (for one device; more devices there multiply it)";
        if (translation.Has(perPass))
            translation.Report(perPass, KeyFate.Mapped, explanation);
        if (translation.Has("gradient_accumulation_steps"))
            translation.Report("gradient_accumulation_steps", KeyFate.Mapped, explanation);
        if (!translation.Has(perPass))
            translation.Default(perPass, "training.micro_batch_size", JsonValue.Create(micro));
    }

    /// <summary>Schedule and warm-up, which counts in shares here.</summary>
    public static void Schedule(Translation translation, string key, string theirDefault, double theirWarmup)
    {
        string theirs = translation.Has(key) ? translation.Text(key) : theirDefault;
        string? ours = theirs switch
        {
            "constant" or "constant_with_warmup" => "constant",
            "linear" or "cosine" or "cosine_with_restarts" or "polynomial" or "inverse_sqrt" or "warmup_stable_decay" => theirs,
            _ => null,
        };
        if (!translation.Has(key))
            translation.Default(key, "training.schedule", JsonValue.Create(theirs));
        else if (ours is not null)
            translation.Map(key, "training.schedule", JsonValue.Create(ours));
        else
        {
            translation.Set("training.schedule", JsonValue.Create("cosine"));
            translation.Report(key, KeyFate.Lost, "this schedule is not known here; cosine is put in its place");
        }

        Warmup(translation, theirWarmup, isIgnored: theirs == "constant");
    }

    /// <summary>Decay, Adam's settings, clipping, seed: the same numbers, their defaults.</summary>
    public static void Optimizer(Translation translation, string key)
    {
        translation.Number("weight_decay", "training.weight_decay", 0);
        translation.Number("max_grad_norm", "training.gradient_clip", null);
        translation.Whole("seed", "seed", 42);
        string? ours = !translation.Has(key) ? "adamw" : translation.Text(key) switch
        {
            "adamw_torch" or "adamw_torch_fused" or "adamw_hf" or "adamw_apex_fused" => "adamw",
            "adamw_8bit" or "adamw_bnb_8bit" or "paged_adamw_8bit" => "adamw8bit",
            "lion_32bit" or "paged_lion_32bit" => "lion",
            var same and ("adafactor" or "sgd") => same,
            _ => null,
        };
        if (ours is null)
            translation.Report(key, KeyFate.Lost, "AdamW with 32-bit state is used instead");
        else if (translation.Has(key))
            translation.Map(key, "training.optimizer.kind", JsonValue.Create(ours));
        if (ours is "adafactor" or "lion" or "sgd")
            return;
        translation.Number("adam_beta1", "training.optimizer.beta1", null);
        translation.Number("adam_beta2", "training.optimizer.beta2", null);
        translation.Number("adam_epsilon", "training.optimizer.epsilon", null);
    }

    /// <summary>Epochs or steps, when to validate, save and stop.</summary>
    public static void Length(Translation translation, string epochs, double theirEpochs)
    {
        translation.Number(epochs, "training.epochs", theirEpochs);
        if (translation.Has("max_steps") && translation.Integer("max_steps") > 0)
            translation.Map("max_steps", "training.maximum_steps", JsonValue.Create(translation.Integer("max_steps")));
        else
            translation.Needless("no limit, as here without training.maximum_steps", "max_steps");
        Every(translation, "eval_steps", "training.validate_every");
        Every(translation, "save_steps", "training.save_every");
        translation.Whole("early_stopping_patience", "training.patience", null);
        translation.Needless("validation and saving are once an epoch, or as training.validate_every and save_every say", "eval_strategy", "evaluation_strategy", "save_strategy");
        translation.Needless("the best state by validation loss is always kept", "load_best_model_at_end", "metric_for_best_model", "greater_is_better", "save_total_limit", "save_only_model", "save_safetensors");
    }

    /// <summary>A held-out share below 1; an absolute number has no key here.</summary>
    public static void HeldOut(Translation translation, string key)
    {
        if (!translation.Has(key))
            translation.Differs(key, "nothing is held out there; here 5 % for validation and 10 % for the test are (data.validation_share and data.test_share: 0 to train on everything)");
        else if (translation.Real(key) is >= 0 and < 1 and var share)
        {
            translation.Map(key, "data.validation_share", JsonValue.Create(share));
            translation.Differs("test set", "there is none there; here 10 % are held out for the verdict (data.test_share)");
        }
        else
            translation.Report(key, KeyFate.Lost, "a number of records; here a share is held out (data.validation_share, 0.05 by default)");
    }

    /// <summary>What goes beyond plain LoRA: DoRA is a method of its own here, and knows less.</summary>
    public static void BeyondLora(Translation translation, string dora, string modules)
    {
        bool isDora = translation.Has(dora) && translation.Flag(dora);
        if (isDora)
            translation.Map(dora, "method.kind", JsonValue.Create("dora"));
        else if (translation.Has("loraplus_lr_ratio"))
            translation.Map("loraplus_lr_ratio", "method.rate_ratio", JsonValue.Create(translation.Real("loraplus_lr_ratio")));
        if (!isDora && translation.Has(modules))
            translation.Map(modules, "method.modules_to_save", new JsonArray([.. translation.Texts(modules).Select(name => (JsonNode)name)]));
        if (!isDora && translation.Has("pissa_init") && translation.Flag("pissa_init"))
            translation.Map("pissa_init", "method.start", JsonValue.Create("pissa"));
        translation.Lost("kind: dora has rank, alpha, dropout and targets only", "loraplus_lr_ratio", "pissa_init", modules);
    }

    /// <summary>Type to compute in.</summary>
    public static void ComputeType(Translation translation)
    {
        foreach (string key in new[] { "bf16", "pure_bf16", "bfloat16" })
        {
            if (translation.Has(key) && translation.Flag(key))
                translation.Map(key, "dtype", JsonValue.Create(translation[key]!.ToString() == "auto" ? "auto" : "bfloat16"));
        }

        foreach (string key in new[] { "fp16", "float16" })
        {
            if (translation.Has(key) && translation.Flag(key))
                translation.Report(key, KeyFate.Lost, "float16 is not trained in; dtype = auto takes the faster of float32 and bfloat16");
        }

        translation.Needless("off", "bf16", "pure_bf16", "bfloat16", "fp16", "float16");
        translation.Needless("speed of NVIDIA cards", "tf32");
    }

    /// <summary>What changes speed, memory or the screen only, and what is left out for good.</summary>
    public static void Rest(Translation translation)
    {
        translation.Needless("speed or memory, not the result", "flash_attn", "flash_attention", "sdp_attention", "xformers_attention", "flex_attention", "s2_attention", "use_unsloth", "use_unsloth_gc",
            "enable_liger_kernel", "gradient_checkpointing", "gradient_checkpointing_kwargs", "disable_gradient_checkpointing", "torch_compile", "lora_qkv_kernel", "lora_mlp_kernel", "lora_o_kernel",
            "low_cpu_mem_usage", "dataloader_num_workers", "dataloader_pin_memory", "dataloader_prefetch_factor", "preprocessing_num_workers", "dataset_processes", "ddp_timeout", "ddp_find_unused_parameters",
            "per_device_eval_batch_size", "eval_batch_size", "group_by_length", "upcast_layernorm", "use_cache", "attn_implementation", "activation_offloading", "lora_on_cpu", "use_kernels", "device_map",
            "cut_cross_entropy", "liger_rope", "liger_rms_norm", "liger_glu_activation", "liger_layer_norm", "liger_fused_linear_cross_entropy", "torchdistx_path", "preprocessing_batch_size", "auto_find_batch_size");
        translation.Needless("runs are logged to runs/NAME/events.jsonl and report.html", "logging_steps", "logging_dir", "logging_strategy", "plot_loss", "report_to", "wandb_project", "wandb_entity", "wandb_watch", "wandb_name",
            "wandb_log_model", "wandb_run_id", "wandb_mode", "mlflow_experiment_name", "use_wandb", "include_num_input_tokens_seen", "include_tokens_per_second", "disable_tqdm", "debug", "eval_table_size", "eval_max_new_tokens", "remove_unused_columns");
        translation.Needless("runs lie in runs/NAME (perenos tune --runs, --name)", "output_dir", "overwrite_output_dir", "local_rank", "hub_model_id", "hub_strategy", "push_to_hub", "export_dir");
        translation.Needless("records are read anew each time", "overwrite_cache", "dataset_prepared_path", "cache_dir", "tokenized_path");
        translation.Needless("no code of a checkpoint is ever run; families are told by config.json", "trust_remote_code", "model_type", "tokenizer_type", "is_llama_derived_model", "is_mistral_derived_model", "use_fast_tokenizer");
        translation.Lost("weights are not quantised here: results differ slightly and memory is larger", "load_in_8bit", "load_in_4bit", "gptq", "quantization_bit", "quantization_method", "quantization_type", "double_quantization", "bnb_config_kwargs");
        translation.Lost("one process trains here; there the batch grows with the number of devices", "deepspeed", "fsdp", "fsdp_config", "ddp", "fsdp_version", "dp_shard_size", "dp_replicate_size", "cp_size", "tensor_parallel_size", "context_parallel_size", "sequence_parallel_degree");
        translation.Lost("each example stands alone here: batches hold other examples than packed ones", "packing", "neat_packing", "sample_packing", "pretraining_sample_concatenation");
        translation.Number("neftune_noise_alpha", "training.embedding_noise", null);
        translation.Lost("not built", "loraplus_lr_embedding", "peft_init_lora_weights", "use_galore", "use_apollo", "use_badam", "rope_scaling", "rope_theta", "resize_vocab", "mixture_of_depths");
        translation.Lost("schedules end at a rate of 0 here", "cosine_min_lr_ratio", "cosine_constant_lr_ratio", "lr_scheduler_kwargs", "eta_min");
        translation.Lost("extensions are not loaded; those that are kernels change speed only", "plugins");
        translation.Lost("perenos tune --resume goes on with a run of Perenos", "resume_from_checkpoint", "auto_resume_from_checkpoints", "adapter_name_or_path", "lora_model_dir");
        translation.Lost("method.targets names what is adapted, in every layer", "unfrozen_parameters", "peft_layers_to_transform", "lora_target_parameters");
    }

    private static void Every(Translation translation, string key, string ours)
    {
        if (translation.Has(key) && translation.Real(key) >= 1)
            translation.Map(key, ours, JsonValue.Create(translation.Integer(key)));
        else if (translation.Has(key) && translation.Real(key) > 0)
            translation.Report(key, KeyFate.Lost, $"a share of all steps; {ours} counts steps, and is once an epoch where absent");
    }

    private static void Warmup(Translation translation, double theirDefault, bool isIgnored)
    {
        if (isIgnored)
        {
            translation.Set("training.warmup_share", JsonValue.Create(0.0));
            translation.Needless("a constant schedule has no warm-up there", "warmup_ratio", "warmup_steps");
        }
        else if (translation.Has("warmup_steps") && translation.Real("warmup_steps") > 0)
        {
            double steps = translation.Real("warmup_steps");
            if (steps < 1)
                translation.Map("warmup_steps", "training.warmup_share", JsonValue.Create(steps));
            else if (translation.Has("max_steps") && translation.Integer("max_steps") > 0)
                translation.Map("warmup_steps", "training.warmup_share", JsonValue.Create(Math.Min(1, steps / translation.Integer("max_steps"))));
            else
                translation.Report("warmup_steps", KeyFate.Lost, "training.warmup_share counts in shares of all steps (0.05 by default): perenos tune --dry-run shows how many there are");
            translation.Needless("warmup_steps takes precedence", "warmup_ratio");
        }
        else
        {
            translation.Needless("none", "warmup_steps");
            translation.Number("warmup_ratio", "training.warmup_share", theirDefault);
        }
    }
}
