using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Perenos.Recipes;
using Perenos.Runs;
using Perenos.Runs.Config;

namespace Perenos.Cli;

/// <summary>A recipe file with the options of the command line laid over it: each option stands for one key.</summary>
internal sealed class RecipeOptions
{
    private readonly List<(Option Option, Action<ParseResult, JsonObject> Lay)> _options = [];
    private readonly Argument<string?> _recipe = new("recipe") { Description = "Recipe (yaml or json); options override its keys.", Arity = ArgumentArity.ZeroOrOne };

    private readonly Option<string?> _mode = new("--mode") { Description = "Kind of transfer: inductive (answers are known), transductive (in the source only) or unsupervised (plain text).", HelpName = "text" };
    private readonly Option<string?> _target = new("--target") { Description = "Transductive: records of the target; their answers are used for its test only.", HelpName = "path" };
    private readonly Option<string?> _targetText = new("--target-text") { Description = "Transductive: template of the target's text (default: that of the prompt).", HelpName = "text" };
    private readonly Option<double> _confidence = new("--confidence") { Description = "Transductive: least confidence of the model in an answer of its own that it learns.", HelpName = "number", DefaultValueFactory = _ => SelfTrainingConfig.DefaultConfidence };
    private readonly bool _isPretrained;

    public RecipeOptions(Command command, bool isPretrained)
    {
        _isPretrained = isPretrained;
        command.Add(_recipe);
        if (isPretrained)
        {
            foreach (var option in new Option[] { _mode, _target, _targetText, _confidence })
                command.Add(option);
            Text(command, "--model", "start.model", "Folder in Hugging Face's layout, a GGUF file, a name on the hub (owner/name), or \"base\".", tree => Section(tree, "start")["kind"] = "pretrained");
            Text(command, "--method", "method.kind", "lora, dora, ia3, prompt, prefix, p-tuning, norm, bias, full or lisa.");
            Number<int>(command, "--rank", "method.rank", "LoRA, DoRA: rank of the update.");
            Number<double>(command, "--alpha", "method.alpha", "LoRA, DoRA: the update counts alpha / rank times.");
            Number<double>(command, "--dropout", "method.dropout", "LoRA, DoRA: dropout of the update's inputs.");
            Texts(command, "--targets", "method.targets", "LoRA, DoRA: ends of layer names, all-linear, or re: and an expression.");
            Number<int>(command, "--virtual-tokens", "method.virtual_tokens", "Prompt, prefix, p-tuning: number of virtual tokens.");
            Texts(command, "--only", "method.only", "Full: parts that learn, such as layers.29 or self_attn; the others stay.");
            Text(command, "--start-text", "method.text", "Prompt, prefix: text that the virtual tokens start from.");
        }
        else
        {
            Text(command, "--architecture", "start.architecture", "A config.json, a folder that holds one, or \"base\".", tree => Section(tree, "start")["kind"] = "random");
            Text(command, "--tokenizer", "start.tokenizer", "A tokenizer.json, a folder that holds one, or \"base\".", tree => Section(tree, "start")["kind"] = "random");
        }

        Text(command, "--data", "data.path", "jsonl, json, csv, tsv, parquet, txt; a folder with train.jsonl; the stem of aligned files; or a data set on the hub (owner/name).");
        Template(command, "--prompt", "data.prompt", "Template of the prompt, such as \"Translate to French: {en}\".");
        Template(command, "--completion", "data.completion", "Template of the completion, such as \"{fr}\".");
        Template(command, "--text", "data.text", "Template of plain text.");
        Text(command, "--validation", "data.validation", "Records for validation (otherwise a share of the data).");
        Text(command, "--test", "data.test", "Records for the test (otherwise a share of the data).");
        Add(command, new Option<string[]>("--mix") { Description = "Other data that are learnt beside: their path and their share of all learnt tokens, as other.jsonl:0.2.", AllowMultipleArgumentsPerToken = true, HelpName = "path:share" },
            "data.mix", (parsed, option) => new JsonArray([.. parsed.GetValue(option)!.Select(Mixed)]), null);
        Flag(command, "--streaming", "data.streaming", "Keep only tokens of the data, on the disk: for more than fits into memory (default: where they would fill half of it).");
        Number<int>(command, "--maximum-length", "data.maximum_length", "Most tokens in an example.");
        Text(command, "--template", "data.template", "Chat template: auto or none.");
        Number<double>(command, "--epochs", "training.epochs", "Passes over the training data.");
        Number<int>(command, "--steps", "training.maximum_steps", "Most optimizer steps.");
        Number<int>(command, "--batch-size", "training.batch_size", "Examples in a step.");
        Number<int>(command, "--micro-batch-size", "training.micro_batch_size", "Examples computed at once; a step adds up as many as it needs.");
        Flag(command, "--pack", "training.pack", "Let short examples share rows instead of being padded.");
        Flag(command, "--recompute", "training.recompute", "Compute layers again on the way back: less memory, a third more time.");
        Flag(command, "--optimizer-in-backward", "training.optimizer_in_backward", "Update each layer on the way back and free its gradient.");
        Number<double>(command, "--embedding-noise", "training.embedding_noise", "NEFTune: strength of noise on the embedded tokens in training.");
        Number<double>(command, "--learning-rate", "training.learning_rate", "Highest learning rate (default: the method's).");
        Text(command, "--schedule", "training.schedule", "constant, linear, cosine, cosine_with_restarts, polynomial, inverse_sqrt or warmup_stable_decay.");
        Number<double>(command, "--layer-decay", "training.layer_rate_decay", "Rate of a layer as a share of that of the layer above it.");
        Text(command, "--optimizer", "training.optimizer.kind", "adamw, adamw8bit, adafactor, lion or sgd.");
        if (isPretrained)
        {
            Text(command, "--objective", "objective.kind", "likelihood, or dpo: learn from pairs of answers which one is preferred.");
            Number<double>(command, "--beta", "objective.beta", "DPO: reward per nat gained on the base.", tree => Section(tree, "objective")["kind"] ??= "dpo");
            static void Guarded(JsonObject tree) => Section(Section(tree, "retention"), "penalty")["kind"] ??= "ewc";
            Text(command, "--penalty", "retention.penalty.kind", "Against forgetting: ewc or l2sp, with --method full or lora.");
            Text(command, "--fisher", "retention.penalty.fisher", "EWC: file that perenos fisher wrote for this model.", Guarded);
            Text(command, "--keep", "retention.penalty.keep.path", "EWC: text that shall not be forgotten; the run estimates its Fisher file first.", Guarded);
            Number<int>(command, "--keep-tokens", "retention.penalty.keep.tokens", "EWC: tokens of that text to use.", Guarded);
            Number<double>(command, "--lambda", "retention.penalty.lambda", "Strength of the penalty.", Guarded);
            Number<double>(command, "--forget-at-most", "retention.penalty.forget_at_most", "EWC: loss that the kept text may gain, in nats per token; steers the strength.", Guarded);
            Text(command, "--replay", "retention.replay.path", "Against forgetting: text that is learnt beside the data.", tree => Section(Section(tree, "retention"), "replay")["kind"] = "text");
            Number<double>(command, "--self-replay", "retention.replay.share", "The same with text that the base writes itself: its share of all learnt tokens.", tree => Section(Section(tree, "retention"), "replay")["kind"] = "generated");
            Number<double>(command, "--replay-share", "retention.replay.share", "Share of replay among all learnt tokens.");
            Number<double>(command, "--distill", "retention.distillation.weight", "Against forgetting: weight of the divergence from the frozen base's predictions.");
        }

        Number<int>(command, "--validate-every", "training.validate_every", "Steps between validations.");
        Number<int>(command, "--save-every", "training.save_every", "Steps between checkpoints.");
        Number<int>(command, "--patience", "training.patience", "Validations without gain before stopping early.");
        Text(command, "--reference", "evaluation.reference", "General text on which forgetting is measured.");
        Number<int>(command, "--test-records", "evaluation.test_records", "Test records that are generated and scored.");
        Number<int>(command, "--max-new-tokens", "evaluation.generation.max_new_tokens", "Most tokens of an answer.");
        Number<ulong>(command, "--seed", "seed", "Seed of every random choice.");
        Text(command, "--dtype", "dtype", "auto (measured), float32 or bfloat16.");
        Text(command, "--name", "name", "Name of the run's folder.");
        Flag(command, "--tensorboard", "tensorboard", "Also write event files for TensorBoard.");
    }

    /// <summary>The configuration that recipe and options describe together.</summary>
    /// <exception cref="PerenosException">A key is unknown, missing or of the wrong kind.</exception>
    public RunConfig Read(ParseResult parsed) => ModeOf(parsed) switch
    {
        "inductive" => Inductive.Checked(ReadRun(parsed)),
        "unsupervised" => Unsupervised.Checked(ReadRun(parsed)),
        _ => ReadRun(parsed),
    };

    /// <summary>The stages that recipe and options describe together; null where they describe a single run.</summary>
    /// <exception cref="PerenosException">A key is unknown, missing or of the wrong kind, or a mode lacks what it needs.</exception>
    public StagedConfig? ReadStages(ParseResult parsed)
    {
        string? mode = ModeOf(parsed);
        if (parsed.GetValue(_recipe) is { } recipe && ConfigFile.Has(recipe, "stages"))
        {
            if (mode is not null || !_isPretrained)
                throw new PerenosException($"{recipe} has stages{(_isPretrained ? ", which say themselves what is done" : ", which adapt a pretrained model")}.", _isPretrained ? "Leave out --mode." : $"perenos tune {recipe}");
            return ConfigFile.Read<StagedConfig>(recipe, tree => Lay(parsed, tree));
        }

        if (mode != "transductive")
        {
            if (_isPretrained && parsed.GetValue(_target) is not null)
                throw new PerenosException("--target belongs to transductive transfer.", "Add --mode transductive, or leave it out.");
            return null;
        }

        string target = parsed.GetValue(_target)
            ?? throw new PerenosException("Transductive transfer needs a target.", "--target FILE: records of the target, whose answers are used for its test only.");
        return Transductive.Of(ReadRun(parsed), new TransductiveTarget(target, parsed.GetValue(_targetText)?.Replace("\\n", "\n", StringComparison.Ordinal), parsed.GetValue(_confidence)));
    }

    private string? ModeOf(ParseResult parsed) => _isPretrained && parsed.GetValue(_mode) is { } mode
        ? mode is "inductive" or "transductive" or "unsupervised" ? mode : throw new PerenosException($"--mode {mode} is not known.", "Use inductive, transductive or unsupervised.")
        : null;

    private RunConfig ReadRun(ParseResult parsed)
    {
        if (parsed.GetValue(_recipe) is { } recipe)
            return ConfigFile.Read<RunConfig>(recipe, tree => Lay(parsed, tree));
        var tree = new JsonObject();
        Lay(parsed, tree);
        if (tree["start"] is null)
            throw new PerenosException("Neither a recipe nor a model was given.", "perenos tune recipe.yaml, or perenos tune --model MODEL --data FILE; perenos tune --help has examples.");
        return ConfigFile.Parse<RunConfig>(tree, "the command line");
    }

    private void Lay(ParseResult parsed, JsonObject tree)
    {
        foreach (var (option, lay) in _options)
        {
            if (parsed.GetResult(option) is { Implicit: false })
                lay(parsed, tree);
        }

        if (ModeOf(parsed) == "unsupervised")
        {
            tree["method"] ??= ConfigFile.ToTree(Unsupervised.Method);
            tree["retention"] ??= ConfigFile.ToTree(Unsupervised.Retention);
            var training = Section(tree, "training");
            foreach (var (key, value) in (JsonObject)ConfigFile.ToTree(Unsupervised.Training))
                training[key] ??= value?.DeepClone();
        }

        if (!_isPretrained)
            tree["method"] ??= new JsonObject { ["kind"] = "full" };
    }

    private static JsonObject Mixed(string source)
    {
        int colon = source.LastIndexOf(':');
        if (colon < 1 || !double.TryParse(source[(colon + 1)..], NumberStyles.Float, CultureInfo.InvariantCulture, out double share))
            throw new PerenosException($"--mix {source} has no share.", "Write the path and the share of all learnt tokens, as other.jsonl:0.2; templates of its own stand in a recipe, under data.mix.");
        return new JsonObject { ["path"] = source[..colon], ["share"] = share };
    }

    private void Text(Command command, string name, string key, string description, Action<JsonObject>? beside = null) =>
        Add(command, new Option<string?>(name) { Description = description, HelpName = "text" }, key, (parsed, option) => JsonValue.Create(parsed.GetValue(option)), beside);

    // A line break is hard to type in a shell: \n stands for one.
    private void Template(Command command, string name, string key, string description) =>
        Add(command, new Option<string?>(name) { Description = description, HelpName = "text" }, key,
            (parsed, option) => JsonValue.Create(parsed.GetValue(option)?.Replace("\\n", "\n", StringComparison.Ordinal)), null);

    private void Texts(Command command, string name, string key, string description) =>
        Add(command, new Option<string[]>(name) { Description = description, AllowMultipleArgumentsPerToken = true, HelpName = "text" }, key,
            (parsed, option) => new JsonArray([.. parsed.GetValue(option)!.Select(value => (JsonNode)value)]), null);

    private void Number<T>(Command command, string name, string key, string description, Action<JsonObject>? beside = null)
        where T : struct => Add(command, new Option<T?>(name) { Description = description, HelpName = "number" }, key, (parsed, option) => JsonValue.Create(parsed.GetValue(option)!.Value), beside);

    private void Flag(Command command, string name, string key, string description) =>
        Add(command, new Option<bool>(name) { Description = description }, key, (parsed, option) => JsonValue.Create(parsed.GetValue(option)), null);

    private void Add<T>(Command command, Option<T> option, string key, Func<ParseResult, Option<T>, JsonNode?> value, Action<JsonObject>? beside)
    {
        command.Add(option);
        _options.Add((option, (parsed, tree) =>
        {
            var parts = key.Split('.');
            foreach (var owner in Owners(tree, parts[0], option))
            {
                var section = parts[..^1].Aggregate(owner, Section);
                // Another kind: the recipe's settings belong to the old one.
                if (parts[^1] == "kind" && section["kind"]?.ToString() != parsed.GetValue(option)?.ToString())
                    section.Clear();
                if (parts[0] == "method" && section["kind"] is null)
                    section["kind"] = "lora";
                section[parts[^1]] = value(parsed, option);
                beside?.Invoke(owner);
            }
        }
        ));
    }

    // Where there are stages, each has a loop of its own, and an option of the loop is laid over all of them.
    private static IEnumerable<JsonObject> Owners(JsonObject tree, string section, Option option)
    {
        if (tree["stages"] is not JsonArray stages)
            return [tree];
        if (section is "method" or "retention")
            throw new PerenosException($"{option.Name} would say the same of every stage.", $"Write it in the recipe, as {section} of the stage that it is meant for.");
        return section == "training" ? stages.OfType<JsonObject>() : [tree];
    }

    private static JsonObject Section(JsonObject tree, string name)
    {
        if (tree[name] is not JsonObject section)
            tree[name] = section = [];
        return section;
    }
}
