using System.Text.Json.Serialization;

namespace Perenos.Runs.Config;

/// <summary>Prompt tuning: vectors before the text learn (Lester et al. 2021, https://arxiv.org/abs/2104.08691).</summary>
public sealed record PromptConfig : MethodConfig
{
    /// <summary>Number of vectors.</summary>
    public int VirtualTokens { get; init; } = 50;

    /// <summary>Text whose embedding the vectors start from, repeated or cut to their number; none means tokens sampled from the vocabulary.</summary>
    public string? Text { get; init; }

    /// <summary>Class labels: each starts one vector as the mean embedding of its tokens, and tokens sampled from the vocabulary the others.</summary>
    public IReadOnlyList<string> Labels { get; init; } = [];

    /// <summary>Folder of a trained prompt to start from; its length counts.</summary>
    public string? From { get; init; }

    /// <inheritdoc/>
    [JsonIgnore]
    public override double DefaultLearningRate => 0.4;

    /// <inheritdoc/>
    [JsonIgnore]
    public override bool IsRateRelative => true;

    /// <inheritdoc/>
    [JsonIgnore]
    public override double DefaultEpochs => 10;

    /// <inheritdoc/>
    [JsonIgnore]
    public override int VirtualTokenCount => VirtualTokens;

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Name => "prompt";
}

/// <summary>Prefix tuning: keys and values before the text learn, in every layer (Li and Liang 2021, https://arxiv.org/abs/2101.00190).</summary>
public sealed record PrefixConfig : MethodConfig
{
    /// <summary>Number of virtual tokens.</summary>
    public int VirtualTokens { get; init; } = 50;

    /// <summary>Text whose keys and values the prefix starts from, repeated or cut to its length; none means the first training examples.</summary>
    public string? Text { get; init; }

    /// <summary>Width of a network that computes the prefix while it is trained, from a random start; none means that the prefix itself is trained.</summary>
    public int? ProjectionSize { get; init; }

    /// <inheritdoc/>
    [JsonIgnore]
    public override double DefaultLearningRate => ProjectionSize is null ? 0.13 : 5e-3;

    /// <inheritdoc/>
    [JsonIgnore]
    public override bool IsRateRelative => ProjectionSize is null;

    /// <inheritdoc/>
    [JsonIgnore]
    public override double DefaultEpochs => 10;

    /// <inheritdoc/>
    [JsonIgnore]
    public override int VirtualTokenCount => VirtualTokens;

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Name => "prefix";
}

/// <summary>The network that computes a prompt in P-tuning.</summary>
public enum PromptEncoderKind
{
    /// <summary>Three linear layers.</summary>
    Mlp,

    /// <summary>A bidirectional LSTM of two layers and two linear layers.</summary>
    Lstm,
}

/// <summary>P-tuning: a prompt that a small network computes while it is trained (Liu et al. 2021, https://arxiv.org/abs/2103.10385).</summary>
public sealed record PTuningConfig : MethodConfig
{
    /// <summary>Number of vectors.</summary>
    public int VirtualTokens { get; init; } = 50;

    /// <summary>The network.</summary>
    public PromptEncoderKind Encoder { get; init; } = PromptEncoderKind.Mlp;

    /// <summary>Width inside the network; none means that of the embedding.</summary>
    public int? HiddenSize { get; init; }

    /// <inheritdoc/>
    [JsonIgnore]
    public override double DefaultLearningRate => 1e-3;

    /// <inheritdoc/>
    [JsonIgnore]
    public override double DefaultEpochs => 10;

    /// <inheritdoc/>
    [JsonIgnore]
    public override int VirtualTokenCount => VirtualTokens;

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Name => "p-tuning";
}
