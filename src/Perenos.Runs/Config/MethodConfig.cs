using System.Text.Json.Serialization;

namespace Perenos.Runs.Config;

/// <summary>What learns.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "kind", UnknownDerivedTypeHandling = JsonUnknownDerivedTypeHandling.FailSerialization)]
[JsonDerivedType(typeof(FullConfig), "full")]
[JsonDerivedType(typeof(LoraConfig), "lora")]
public abstract record MethodConfig
{
    /// <summary>Learning rate where the recipe names none.</summary>
    [JsonIgnore]
    public abstract double DefaultLearningRate { get; }

    /// <summary>The name on the command line and in reports.</summary>
    [JsonIgnore]
    public abstract string Name { get; }
}

/// <summary>All weights learn.</summary>
public sealed record FullConfig : MethodConfig
{
    /// <inheritdoc/>
    [JsonIgnore]
    public override double DefaultLearningRate => 5e-5;

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Name => "full";
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

    /// <inheritdoc/>
    [JsonIgnore]
    public override double DefaultLearningRate => 5e-4;

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Name => "lora";
}
