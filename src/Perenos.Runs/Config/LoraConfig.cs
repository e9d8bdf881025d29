using System.Text.Json.Serialization;

namespace Perenos.Runs.Config;

/// <summary>What a LoRA starts from.</summary>
public enum LoraStart
{
    /// <summary>A at random, B at 0.</summary>
    Random,

    /// <summary>The principal directions of each weight (Meng et al. 2024, https://arxiv.org/abs/2404.02948).</summary>
    Pissa,
}

/// <summary>Which biases learn beside a LoRA.</summary>
public enum LoraBias
{
    /// <summary>None.</summary>
    None,

    /// <summary>All of the model.</summary>
    All,

    /// <summary>Those of the adapted layers.</summary>
    LoraOnly,
}

/// <summary>Low-rank adaptation: W + (alpha / rank) · B · A (Hu et al. 2021, https://arxiv.org/abs/2106.09685).</summary>
public sealed record LoraConfig : MethodConfig
{
    /// <summary>Rank of the update; parameters grow linearly with it.</summary>
    public int Rank { get; init; } = 16;

    /// <summary>The update counts alpha / rank times.</summary>
    public double Alpha { get; init; } = 32;

    /// <summary>Chance that an input of the update is dropped in training.</summary>
    public double Dropout { get; init; }

    /// <summary>Layers that get an update: ends of names (<c>q_proj</c>), <c>all-linear</c> (all but the head), or <c>re:</c> and a regular expression for the whole name.</summary>
    public IReadOnlyList<string> Targets { get; init; } = ["all-linear"];

    /// <summary>Scale by alpha / √rank instead (Kalajdzievski 2023, https://arxiv.org/abs/2312.03732).</summary>
    public bool IsRankStabilized { get; init; }

    /// <summary>Other ranks for some layers: expressions for the end of a name, the first that matches counts.</summary>
    public IReadOnlyDictionary<string, int> RankPattern { get; init; } = new Dictionary<string, int>();

    /// <summary>Other alphas for some layers: expressions for the end of a name, the first that matches counts.</summary>
    public IReadOnlyDictionary<string, double> AlphaPattern { get; init; } = new Dictionary<string, double>();

    /// <summary>What the update starts from.</summary>
    public LoraStart Start { get; init; } = LoraStart.Random;

    /// <summary>B learns at this many times the rate of A (LoRA+, Hayou et al. 2024, https://arxiv.org/abs/2402.12354).</summary>
    public double RateRatio { get; init; } = 1;

    /// <summary>Which biases learn too.</summary>
    public LoraBias Bias { get; init; } = LoraBias.None;

    /// <summary>Ends of names of modules that learn in full beside the update, such as <c>lm_head</c>.</summary>
    public IReadOnlyList<string> ModulesToSave { get; init; } = [];

    /// <summary>Numbers of tokens whose rows, of the embedding and of the head, learn; without it, those that <c>perenos tokenizer extend</c> added to the model.</summary>
    public IReadOnlyList<int>? TrainableTokens { get; init; }

    /// <inheritdoc/>
    [JsonIgnore]
    public override double DefaultLearningRate => 5e-4;

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Name => "lora";
}

/// <summary>LoRA with the magnitude of each row learnt apart (Liu et al. 2024, https://arxiv.org/abs/2402.09353).</summary>
public sealed record DoraConfig : MethodConfig
{
    /// <summary>Rank of the update; parameters grow linearly with it.</summary>
    public int Rank { get; init; } = 16;

    /// <summary>The update counts alpha / rank times.</summary>
    public double Alpha { get; init; } = 32;

    /// <summary>Chance that an input of the update is dropped in training.</summary>
    public double Dropout { get; init; }

    /// <summary>Layers that get an update, as for LoRA.</summary>
    public IReadOnlyList<string> Targets { get; init; } = ["all-linear"];

    /// <summary>Scale by alpha / √rank instead.</summary>
    public bool IsRankStabilized { get; init; }

    /// <summary>The low-rank part by itself.</summary>
    [JsonIgnore]
    public LoraConfig Update => new() { Rank = Rank, Alpha = Alpha, Dropout = Dropout, Targets = Targets, IsRankStabilized = IsRankStabilized };

    /// <inheritdoc/>
    [JsonIgnore]
    public override double DefaultLearningRate => 5e-4;

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Name => "dora";
}

/// <summary>Learnt factors of activations (Liu et al. 2022, https://arxiv.org/abs/2205.05638).</summary>
public sealed record Ia3Config : MethodConfig
{
    /// <summary>Layers whose outputs are scaled, as LoRA's targets; with <see cref="InputTargets"/> empty as well, keys and values.</summary>
    public IReadOnlyList<string> OutputTargets { get; init; } = [];

    /// <summary>Layers whose inputs are scaled; with <see cref="OutputTargets"/> empty as well, the second layer of the feed-forward part.</summary>
    public IReadOnlyList<string> InputTargets { get; init; } = [];

    /// <inheritdoc/>
    [JsonIgnore]
    public override double DefaultLearningRate => 5e-3;

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Name => "ia3";
}
