using System.Text.Json.Serialization;

namespace Perenos.Runs.Config;

/// <summary>One run, completely: what it starts from, what it reads, what learns, how long, and how it is judged.</summary>
public sealed record RunConfig
{
    /// <summary>Name of the run's folder; made from model, data and time where absent.</summary>
    public string? Name { get; init; }

    /// <summary>What the run starts from.</summary>
    public required StartConfig Start { get; init; }

    /// <summary>What it learns from.</summary>
    public required DataConfig Data { get; init; }

    /// <summary>What learns.</summary>
    public MethodConfig Method { get; init; } = new LoraConfig();

    /// <summary>What training minimises.</summary>
    public ObjectiveConfig Objective { get; init; } = new LikelihoodConfig();

    /// <summary>The loop.</summary>
    public TrainingConfig Training { get; init; } = new();

    /// <summary>What keeps the model from forgetting.</summary>
    public RetentionConfig Retention { get; init; } = new();

    /// <summary>How the result is judged.</summary>
    public EvaluationConfig Evaluation { get; init; } = new();

    /// <summary>Seed from which every random choice is derived by name.</summary>
    public ulong Seed { get; init; }

    /// <summary>Type to compute in: <c>auto</c> (measured), <c>float32</c> or <c>bfloat16</c>.</summary>
    public string Dtype { get; init; } = "auto";

    /// <summary>Whether steps and validations are also written for TensorBoard, into <c>tensorboard</c> in the run's folder.</summary>
    public bool Tensorboard { get; init; }
}

/// <summary>What a run starts from.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "kind")]
[JsonDerivedType(typeof(PretrainedStart), "pretrained")]
[JsonDerivedType(typeof(RandomStart), "random")]
public abstract record StartConfig;

/// <summary>A pretrained model.</summary>
public sealed record PretrainedStart : StartConfig
{
    /// <summary>Folder in Hugging Face's layout, a GGUF file, or <c>base</c> for the model that comes with the program.</summary>
    public required string Model { get; init; }

    /// <summary>Folder of a trained adapter that stays attached to the model and learns nothing; none leaves the model bare.</summary>
    public string? Adapter { get; init; }
}

/// <summary>Random weights.</summary>
public sealed record RandomStart : StartConfig
{
    /// <summary>A <c>config.json</c>, or a folder that holds one: sizes and kinds.</summary>
    public required string Architecture { get; init; }

    /// <summary>A <c>tokenizer.json</c>, or a folder that holds one.</summary>
    public required string Tokenizer { get; init; }
}

/// <summary>What a run reads, and how records become text.</summary>
public sealed record DataConfig
{
    /// <summary>A file (jsonl, json, csv, tsv, txt), a folder with train.jsonl, or the common stem of aligned files.</summary>
    public required string Path { get; init; }

    /// <summary>Template of the prompt with <c>{field}</c> placeholders; none where records have prompts or messages of their own.</summary>
    public string? Prompt { get; init; }

    /// <summary>Template of the completion.</summary>
    public string? Completion { get; init; }

    /// <summary>Template of plain text.</summary>
    public string? Text { get; init; }

    /// <summary>Records for validation; none means a share of <see cref="Path"/>.</summary>
    public string? Validation { get; init; }

    /// <summary>Records for the test; none means a share of <see cref="Path"/>.</summary>
    public string? Test { get; init; }

    /// <summary>Share of groups (or records) kept for validation.</summary>
    public double ValidationShare { get; init; } = 0.05;

    /// <summary>Share of groups (or records) kept for the test.</summary>
    public double TestShare { get; init; } = 0.1;

    /// <summary>Most tokens in an example; longer prompts lose their beginning, longer texts become several.</summary>
    public int MaximumLength { get; init; } = 1024;

    /// <summary>Whether prompts are wrapped in the model's chat template: <c>auto</c> (if it has one) or <c>none</c>.</summary>
    public string Template { get; init; } = "auto";

    /// <summary>Whether only tokens are kept, on the disk, and records go through memory one by one; none means where they would fill more than half of the memory.</summary>
    public bool? Streaming { get; init; }

    /// <summary>Other data that are learnt beside these.</summary>
    public IReadOnlyList<MixConfig>? Mix { get; init; }
}

/// <summary>Other data that are learnt beside <see cref="DataConfig.Path"/>.</summary>
public sealed record MixConfig
{
    /// <summary>What <see cref="DataConfig.Path"/> may be; of a folder with parts only what is for training is read.</summary>
    public required string Path { get; init; }

    /// <summary>Its share of all tokens that are learnt.</summary>
    public required double Share { get; init; }

    /// <summary>Template of the prompt; without templates of its own, those of the data where their fields are there, otherwise what its keys say.</summary>
    public string? Prompt { get; init; }

    /// <summary>Template of the completion.</summary>
    public string? Completion { get; init; }

    /// <summary>Template of plain text.</summary>
    public string? Text { get; init; }
}

/// <summary>How a result is judged.</summary>
public sealed record EvaluationConfig
{
    /// <summary>Test records that are generated and scored.</summary>
    public int TestRecords { get; init; } = 200;

    /// <summary>How answers are generated.</summary>
    public GenerationConfig Generation { get; init; } = new();

    /// <summary>General text on which forgetting is measured: a file of records or plain text; none means the text that comes with the program.</summary>
    public string? Reference { get; init; }

    /// <summary>Other data whose validation and test nothing may teach, such as those of a task that the model learnt before; stages add the target's.</summary>
    public IReadOnlyList<DataConfig>? Apart { get; init; }

    /// <summary>Resamples behind each interval.</summary>
    public int Resamples { get; init; } = 1000;
}
