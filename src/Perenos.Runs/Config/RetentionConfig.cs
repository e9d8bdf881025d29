using System.Text.Json.Serialization;

namespace Perenos.Runs.Config;

/// <summary>What keeps a model from forgetting while it learns; any of these together.</summary>
public sealed record RetentionConfig
{
    /// <summary>A pull of the weights towards where they started.</summary>
    public PenaltyConfig? Penalty { get; init; }

    /// <summary>Text of another kind that is learnt beside the data.</summary>
    public ReplayConfig? Replay { get; init; }

    /// <summary>A pull of the predictions towards those of the frozen base.</summary>
    public DistillationConfig? Distillation { get; init; }
}

/// <summary>Text of another kind that is learnt beside the data.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "kind", UnknownDerivedTypeHandling = JsonUnknownDerivedTypeHandling.FailSerialization)]
[JsonDerivedType(typeof(TextReplay), "text")]
[JsonDerivedType(typeof(GeneratedReplay), "generated")]
public abstract record ReplayConfig
{
    /// <summary>Its share of all tokens that are learnt.</summary>
    public double Share { get; init; } = 0.05;
}

/// <summary>Text of the kind that the base has learnt.</summary>
public sealed record TextReplay : ReplayConfig
{
    /// <summary>A file of plain text or records; what also stands in <c>evaluation.reference</c> is left out.</summary>
    public required string Path { get; init; }
}

/// <summary>Text that the base itself writes before training begins.</summary>
public sealed record GeneratedReplay : ReplayConfig
{
    /// <summary>Most tokens of a text.</summary>
    public int MaxNewTokens { get; init; } = 128;

    /// <summary>Divides the logits before sampling.</summary>
    public double Temperature { get; init; } = 1;
}

/// <summary>How the distance between two distributions is measured.</summary>
public enum DivergenceKind
{
    /// <summary>KL(base ‖ model): nothing that the base thinks likely may become unlikely.</summary>
    ForwardKl,

    /// <summary>KL(model ‖ base): nothing may become likely that the base thinks unlikely.</summary>
    ReverseKl,

    /// <summary>Half of each, against the mean of both.</summary>
    JensenShannon,
}

/// <summary>A pull of the predictions towards those of the frozen base.</summary>
public sealed record DistillationConfig
{
    /// <summary>Its weight beside the loss of the data.</summary>
    public double Weight { get; init; } = 1;

    /// <summary>Divides the logits of both; its square multiplies the divergence.</summary>
    public double Temperature { get; init; } = 1;

    /// <summary>Which distance.</summary>
    public DivergenceKind Divergence { get; init; } = DivergenceKind.ForwardKl;
}

/// <summary>Where a penalty acts.</summary>
public enum PenaltyForm
{
    /// <summary>After the optimizer's step, as a proximal step: stable at any strength.</summary>
    Decoupled,

    /// <summary>In the loss: its gradient is clipped and normalised with the loss's own.</summary>
    InLoss,
}

/// <summary>A pull of the weights towards where they started: (strength / 2) · Σ F (θ − θ*)².</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "kind", UnknownDerivedTypeHandling = JsonUnknownDerivedTypeHandling.FailSerialization)]
[JsonDerivedType(typeof(EwcConfig), "ewc")]
[JsonDerivedType(typeof(L2SpConfig), "l2sp")]
public abstract record PenaltyConfig
{
    /// <summary>Where it acts.</summary>
    public PenaltyForm Form { get; init; } = PenaltyForm.Decoupled;

    /// <summary>λ.</summary>
    [JsonIgnore]
    public abstract double Strength { get; }

    /// <summary>Most forgetting, in nats per token, to which the strength is steered; none leaves it as it is.</summary>
    [JsonIgnore]
    public virtual double? Budget => null;
}

/// <summary>Elastic weight consolidation: F is the diagonal Fisher information of the text that is to be kept.</summary>
public sealed record EwcConfig : PenaltyConfig
{
    /// <summary>File that <c>perenos fisher</c> wrote for this base; beside <see cref="Keep"/> a file of earlier tasks, whose values are added.</summary>
    public string? Fisher { get; init; }

    /// <summary>The text that is to be kept, where the run itself shall estimate F at its start.</summary>
    public KeepConfig? Keep { get; init; }

    /// <summary>λ: how many nats of the new text a nat of the old one is worth; with a budget, where it begins.</summary>
    public double Lambda { get; init; } = 1e5;

    /// <summary>Most loss, in nats per token, that the kept text may gain by the forecast; steers λ.</summary>
    public double? ForgetAtMost { get; init; }

    /// <inheritdoc/>
    [JsonIgnore]
    public override double Strength => Lambda;

    /// <inheritdoc/>
    [JsonIgnore]
    public override double? Budget => ForgetAtMost;
}

/// <summary>Text that shall not be forgotten; what also stands in validation, test or <c>evaluation.reference</c> is left out.</summary>
public sealed record KeepConfig
{
    /// <summary>What <see cref="DataConfig.Path"/> may be; of a folder with parts only what is for training is read.</summary>
    public required string Path { get; init; }

    /// <summary>Template of the prompt; without templates of its own, those of the data where their fields are there, otherwise what its keys say.</summary>
    public string? Prompt { get; init; }

    /// <summary>Template of the completion.</summary>
    public string? Completion { get; init; }

    /// <summary>Template of plain text.</summary>
    public string? Text { get; init; }

    /// <summary>Tokens to use, drawn by example.</summary>
    public int Tokens { get; init; } = 50_000;

    /// <summary>Weight of the values of earlier tasks.</summary>
    public double Decay { get; init; } = 1;
}

/// <summary>L2-SP: F is 1 everywhere.</summary>
public sealed record L2SpConfig : PenaltyConfig
{
    /// <summary>λ.</summary>
    public double Lambda { get; init; } = 0.1;

    /// <inheritdoc/>
    [JsonIgnore]
    public override double Strength => Lambda;
}
