using Perenos.Runs.Config;
using Perenos.Runs.Import;
using Xunit;

namespace Perenos.Runs.Tests;

/// <summary>Recipes of other tools as people write them, in the tools' real keys.</summary>
public sealed class ImportedRecipeTests : IDisposable
{
    private const string LlamaFactory = """
        # weather bulletins, English to French
        model_name_or_path: HuggingFaceTB/SmolLM2-135M-Instruct
        trust_remote_code: true
        stage: sft
        do_train: true
        finetuning_type: lora
        lora_rank: 12
        lora_target: q_proj,v_proj
        quantization_bit: 4
        dataset: bulletins,identity
        template: qwen
        cutoff_len: 512
        max_samples: 500
        overwrite_cache: true
        preprocessing_num_workers: 4
        output_dir: saves/weather
        logging_steps: 10
        save_steps: 250
        per_device_train_batch_size: 2
        gradient_accumulation_steps: 8
        learning_rate: 2.0e-4
        num_train_epochs: 2.5
        lr_scheduler_type: cosine
        warmup_ratio: 0.1
        bf16: true
        val_size: 0.02
        eval_strategy: steps
        eval_steps: 100
        deepspeed: ds_z2.json
        packing: false
        some_new_switch: 7
        """;

    private const string Axolotl = """
        base_model: meta-llama/Llama-3.2-1B
        load_in_4bit: true
        strict: false
        datasets:
          - path: notes/train.jsonl
            type:
              field_instruction: question
              field_output: answer
              format: "Q: {instruction}\nA:"
          - path: notes/more.jsonl
            type: alpaca
        val_set_size: 0.05
        adapter: qlora
        lora_r: 32
        lora_alpha: 16
        lora_dropout: 0.05
        lora_target_linear: true
        sequence_len: 2048
        sample_packing: true
        gradient_accumulation_steps: 4
        micro_batch_size: 2
        num_epochs: 4
        optimizer: paged_adamw_8bit
        lr_scheduler: cosine
        learning_rate: 0.0002
        bf16: auto
        tf32: false
        gradient_checkpointing: true
        flash_attention: true
        warmup_steps: 10
        evals_per_epoch: 4
        saves_per_epoch: 1
        weight_decay: 0.0
        wandb_project:
        special_tokens:
          pad_token: "<|end_of_text|>"
        """;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_recipe_of_llama_factory_does_the_same_here()
    {
        var (recipe, imported) = Import("weather.yaml", LlamaFactory);
        Assert.Equal("LLaMA-Factory", imported.Tool);
        Assert.Equal("HuggingFaceTB/SmolLM2-135M-Instruct", Assert.IsType<PretrainedStart>(recipe.Start).Model);
        var lora = Assert.IsType<LoraConfig>(recipe.Method);
        // Without lora_alpha it is twice the rank there.
        Assert.Equal((12, 24), (lora.Rank, lora.Alpha));
        Assert.Equal(["q_proj", "v_proj"], lora.Targets);
        Assert.Equal((16, 2, 2e-4, 2.5), (recipe.Training.BatchSize, recipe.Training.MicroBatchSize!.Value, recipe.Training.LearningRate!.Value, recipe.Training.Epochs!.Value));
        Assert.Equal((Schedule.Cosine, 0.1, 100, 250), (recipe.Training.Schedule, recipe.Training.WarmupShare, recipe.Training.ValidateEvery!.Value, recipe.Training.SaveEvery!.Value));
        Assert.Equal((512, 0.02, "bfloat16", 42ul), (recipe.Data.MaximumLength, recipe.Data.ValidationShare, recipe.Dtype, recipe.Seed));
        Assert.Equal(KeyFate.Needless, Fate(imported, "packing"));
        foreach (string lost in new[] { "quantization_bit", "deepspeed", "max_samples", "dataset", "some_new_switch" })
            Assert.Equal(KeyFate.Lost, Fate(imported, lost));
        Assert.Contains("identity", Report(imported, "dataset").Explanation, StringComparison.Ordinal);
    }

    [Fact]
    public void Optimizers_are_taken_over_with_their_settings()
    {
        OptimizerConfig Read(string name) => Import($"{name}.yaml", LlamaFactory.TrimEnd() + $"\noptim: {name}\nadam_beta2: 0.95\n").Recipe.Training.Optimizer;
        Assert.Equal(new AdamWConfig { Beta2 = 0.95 }, Read("adamw_torch"));
        Assert.Equal(new AdamW8BitConfig { Beta2 = 0.95 }, Read("paged_adamw_8bit"));
        Assert.Equal(new AdafactorConfig(), Read("adafactor"));
    }

    [Fact]
    public void Its_register_of_data_sets_says_where_records_lie_and_what_they_mean()
    {
        Directory.CreateDirectory(_folder["data"]);
        File.WriteAllText(_folder["data/dataset_info.json"], """
            {"bulletins": {"file_name": "b.json", "columns": {"prompt": "en", "response": "fr"}}, "talk": {"hf_hub_url": "owner/talk", "formatting": "sharegpt", "columns": {"messages": "messages"}}}
            """);
        var recipe = Import("weather.yaml", LlamaFactory).Recipe;
        Assert.Equal((_folder["data/b.json"], "{en}", "{fr}"), (recipe.Data.Path, recipe.Data.Prompt, recipe.Data.Completion));

        var talk = Import("talk.yaml", LlamaFactory.Replace("bulletins,identity", "talk", StringComparison.Ordinal)).Recipe;
        Assert.Equal(("owner/talk", null), (talk.Data.Path, talk.Data.Prompt));
    }

    [Fact]
    public void A_recipe_of_axolotl_does_the_same_here()
    {
        var (recipe, imported) = Import("notes.yml", Axolotl);
        Assert.Equal("axolotl", imported.Tool);
        var lora = Assert.IsType<LoraConfig>(recipe.Method);
        Assert.Equal((32, 16, 0.05), (lora.Rank, lora.Alpha, lora.Dropout));
        Assert.Equal(["all-linear"], lora.Targets);
        Assert.Equal(("notes/train.jsonl", "Q: {question}\nA:", "{answer}"), (recipe.Data.Path, recipe.Data.Prompt, recipe.Data.Completion));
        Assert.Equal((8, 2, 4.0, 2048), (recipe.Training.BatchSize, recipe.Training.MicroBatchSize!.Value, recipe.Training.Epochs!.Value, recipe.Data.MaximumLength));
        foreach (string lost in new[] { "load_in_4bit", "datasets", "sample_packing", "warmup_steps", "adapter", "evals_per_epoch" })
            Assert.Equal(KeyFate.Lost, Fate(imported, lost));
        foreach (string needless in new[] { "tf32", "flash_attention", "gradient_checkpointing", "wandb_project", "special_tokens", "saves_per_epoch" })
            Assert.Equal(KeyFate.Needless, Fate(imported, needless));
    }

    [Fact]
    public void Every_key_is_accounted_for_once()
    {
        foreach (var (name, text) in new[] { ("a.yaml", LlamaFactory), ("b.yaml", Axolotl) })
        {
            var imported = Import(name, text).Imported;
            var keys = text.ReplaceLineEndings("\n").Split('\n').Where(line => line.Length > 0 && char.IsAsciiLetter(line[0])).Select(line => line[..line.IndexOf(':', StringComparison.Ordinal)]);
            Assert.Equal(keys, imported.Keys.Where(key => key.Key != "(absent)").Select(key => key.Key));
        }
    }

    [Fact]
    public void What_is_written_is_a_recipe_that_reads_the_same()
    {
        foreach (string text in new[] { LlamaFactory, Axolotl })
        {
            var (recipe, imported) = Import("theirs.yaml", text);
            string path = _folder["ours.yaml"];
            File.WriteAllText(path, imported.ToYaml());
            Assert.Equal(ConfigFile.ToTree(recipe).ToJsonString(), ConfigFile.ToTree(ConfigFile.Read<RunConfig>(path)).ToJsonString());
            Assert.Contains("# Not as there: ", imported.ToYaml(), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Defaults_of_the_other_tool_are_written_out()
    {
        var recipe = Import("short.yaml", "base_model: a/b\nlearning_rate: 1e-4\ndatasets: [{path: x.jsonl, type: completion}]\n").Recipe;
        Assert.IsType<FullConfig>(recipe.Method);
        Assert.Equal((512, 1.0, 1, 0.03, "{text}"), (recipe.Data.MaximumLength, recipe.Training.Epochs!.Value, recipe.Training.BatchSize, recipe.Training.WarmupShare, recipe.Data.Text));
    }

    [Fact]
    public void Kin_of_lora_are_methods_and_settings_here()
    {
        const string start = "model_name_or_path: a/b\ndataset: x\nlora_rank: 4\n";
        Assert.Equal((4, 8), Assert.IsType<DoraConfig>(Import("dora.yaml", start + "use_dora: true\n").Recipe.Method) is var dora ? (dora.Rank, dora.Alpha) : default);
        var lora = Assert.IsType<LoraConfig>(Import("plus.yaml", start + "loraplus_lr_ratio: 16.0\nadditional_target: embed_tokens,lm_head\nuse_rslora: true\n").Recipe.Method);
        Assert.Equal((16, true), (lora.RateRatio, lora.IsRankStabilized));
        Assert.Equal(["embed_tokens", "lm_head"], lora.ModulesToSave);
    }

    [Theory]
    [InlineData("a: 1\n", "neither of LLaMA-Factory")]
    [InlineData("start:\n  kind: pretrained\n", "neither of LLaMA-Factory")]
    [InlineData("model_name_or_path: a/b\nstage: dpo\ndataset: x\n", "line 2: stage = \"dpo\"")]
    [InlineData("model_name_or_path: a/b\ndataset: x\nlora_rank: many\n", "line 3: lora_rank is \"many\", but must be a number")]
    [InlineData("model_name_or_path: a/b\nfinetuning_type: freeze\ndataset: x\n", "only lora and full")]
    [InlineData("base_model: a/b\nlearning_rate: 1e-4\n", "datasets")]
    [InlineData("base_model: a/b\ndatasets: [{path: x.jsonl}]\n", "learning_rate")]
    [InlineData("base_model: a/b\nrl: dpo\nlearning_rate: 1e-4\n", "preferences")]
    [InlineData("base_model: a/b\nadapter: lora\nlora_r: 1.5\nlearning_rate: 1e-4\ndatasets: [{path: x.jsonl}]\n", "a whole number")]
    [InlineData("- a\n", "instead of keys")]
    public void What_is_no_recipe_or_cannot_be_run_is_refused(string text, string message) =>
        Assert.Contains(message, Assert.Throws<PerenosException>(() => Import("x.yaml", text)).Message, StringComparison.Ordinal);

    private (RunConfig Recipe, ImportedRecipe Imported) Import(string name, string text)
    {
        File.WriteAllText(_folder[name], text);
        var imported = ImportedRecipe.Read(_folder[name]);
        return (ConfigFile.Parse<RunConfig>(imported.Recipe.DeepClone(), name), imported);
    }

    private static KeyReport Report(ImportedRecipe imported, string key) => imported.Keys.Single(report => report.Key == key);

    private static KeyFate Fate(ImportedRecipe imported, string key) => Report(imported, key).Fate;
}
