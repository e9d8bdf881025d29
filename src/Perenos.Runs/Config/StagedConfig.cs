namespace Perenos.Runs.Config;

/// <summary>Runs one after the other, each from what an earlier one made; all are measured on one target and against the model that the first began with.</summary>
public sealed record StagedConfig
{
    /// <summary>The name of <see cref="PretrainedStart"/> where a stage says from what it starts.</summary>
    public const string BaseName = "base";

    /// <summary>Name of the folder of the whole; made from model, data and time where absent.</summary>
    public string? Name { get; init; }

    /// <summary>What the first stage starts from: the base against which everything is measured.</summary>
    public required StartConfig Start { get; init; }

    /// <summary>The target: its test records are answered after every stage, and a stage without data of its own learns from it.</summary>
    public required DataConfig Data { get; init; }

    /// <summary>The stages in their order.</summary>
    public required IReadOnlyList<StageConfig> Stages { get; init; }

    /// <summary>How every state is judged.</summary>
    public EvaluationConfig Evaluation { get; init; } = new();

    /// <summary>Seed of every stage: data that stages share are split alike.</summary>
    public ulong Seed { get; init; }

    /// <summary>Type to compute in: <c>auto</c> (measured), <c>float32</c> or <c>bfloat16</c>.</summary>
    public string Dtype { get; init; } = "auto";

    /// <summary>Whether every stage also writes its steps for TensorBoard.</summary>
    public bool Tensorboard { get; init; }
}

/// <summary>What becomes of the adapter of the stage from which another starts.</summary>
public enum AdapterHandover
{
    /// <summary>It becomes part of the weights.</summary>
    Merge,

    /// <summary>It stays attached, and learns nothing.</summary>
    Attach,

    /// <summary>It is taken off.</summary>
    Drop,
}

/// <summary>One run of several.</summary>
public sealed record StageConfig
{
    /// <summary>The stage's name, by which later ones refer to it: letters, digits, dashes.</summary>
    public required string Name { get; init; }

    /// <summary>The earlier stage that it starts from, or <c>base</c>; none means the one before.</summary>
    public string? From { get; init; }

    /// <summary>What becomes of the adapter that the earlier stage leaves.</summary>
    public AdapterHandover Adapter { get; init; } = AdapterHandover.Merge;

    /// <summary>What it learns from; none means the target's training records.</summary>
    public DataConfig? Data { get; init; }

    /// <summary>Prompts that the model answers itself before the stage begins; confident answers are learnt beside the data.</summary>
    public SelfTrainingConfig? SelfTraining { get; init; }

    /// <summary>What learns.</summary>
    public MethodConfig Method { get; init; } = new LoraConfig();

    /// <summary>The loop.</summary>
    public TrainingConfig Training { get; init; } = new();

    /// <summary>What keeps the model from forgetting.</summary>
    public RetentionConfig Retention { get; init; } = new();
}

/// <summary>Unlabelled prompts, and how sure the model must be of its answers for them to be learnt.</summary>
public sealed record SelfTrainingConfig
{
    /// <summary>The confidence where none is named.</summary>
    public const double DefaultConfidence = 0.8;

    /// <summary>Records without answers, or with answers that nobody reads. Where it is the target's file, only its training records are taken.</summary>
    public required string Path { get; init; }

    /// <summary>Template of the prompt.</summary>
    public required string Prompt { get; init; }

    /// <summary>Least confidence: the geometric mean of the probabilities of an answer's tokens, its end included.</summary>
    public double Confidence { get; init; } = DefaultConfidence;

    /// <summary>Most prompts that are answered.</summary>
    public int MaximumRecords { get; init; } = 1000;
}
