using System.Text.Json.Serialization;

namespace Perenos.Runs.Config;

/// <summary>What training minimises.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "kind", UnknownDerivedTypeHandling = JsonUnknownDerivedTypeHandling.FailSerialization)]
[JsonDerivedType(typeof(LikelihoodConfig), "likelihood")]
[JsonDerivedType(typeof(DpoConfig), "dpo")]
public abstract record ObjectiveConfig
{
    /// <summary>What a method's default learning rate, which is meant for likelihood, is multiplied by.</summary>
    [JsonIgnore]
    public virtual double DefaultRateFactor => 1;
}

/// <summary>The learnt tokens become likely.</summary>
public sealed record LikelihoodConfig : ObjectiveConfig;

/// <summary>Preferred answers become likelier than rejected ones: direct preference optimization (Rafailov et al. 2023, https://arxiv.org/abs/2305.18290).</summary>
public sealed record DpoConfig : ObjectiveConfig
{
    /// <summary>β: reward per nat of log-likelihood gained against the base; the larger, the sooner a pair counts as learnt and the nearer to the base the model stays.</summary>
    public double Beta { get; init; } = 0.1;

    /// <inheritdoc/>
    /// <remarks>The gradient is that of whole answers, not of a mean over tokens; the paper uses 1e-6 for all weights.</remarks>
    [JsonIgnore]
    public override double DefaultRateFactor => 0.1;
}
