using System.Text.Json.Serialization;

namespace Perenos.Runs.Config;

/// <summary>What learns.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "kind", UnknownDerivedTypeHandling = JsonUnknownDerivedTypeHandling.FailSerialization)]
[JsonDerivedType(typeof(FullConfig), "full")]
[JsonDerivedType(typeof(LoraConfig), "lora")]
[JsonDerivedType(typeof(DoraConfig), "dora")]
[JsonDerivedType(typeof(Ia3Config), "ia3")]
[JsonDerivedType(typeof(PromptConfig), "prompt")]
[JsonDerivedType(typeof(PrefixConfig), "prefix")]
[JsonDerivedType(typeof(PTuningConfig), "p-tuning")]
[JsonDerivedType(typeof(BiasConfig), "bias")]
[JsonDerivedType(typeof(NormConfig), "norm")]
public abstract record MethodConfig
{
    /// <summary>Learning rate where the recipe names none.</summary>
    [JsonIgnore]
    public abstract double DefaultLearningRate { get; }

    /// <summary>Whether <see cref="DefaultLearningRate"/> counts in root mean squares of what the virtual tokens start as.</summary>
    [JsonIgnore]
    public virtual bool IsRateRelative => false;

    /// <summary>Passes over the training data where the recipe names none.</summary>
    [JsonIgnore]
    public virtual double DefaultEpochs => 3;

    /// <summary>Virtual tokens before each text; the model's length has room for so many fewer.</summary>
    [JsonIgnore]
    public virtual int VirtualTokenCount => 0;

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

/// <summary>All biases learn (Ben Zaken et al. 2021, https://arxiv.org/abs/2106.10199).</summary>
public sealed record BiasConfig : MethodConfig
{
    /// <inheritdoc/>
    [JsonIgnore]
    public override double DefaultLearningRate => 1e-3;

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Name => "bias";
}

/// <summary>The weights and biases of all norms learn (Zhao et al. 2023, https://arxiv.org/abs/2312.11420).</summary>
public sealed record NormConfig : MethodConfig
{
    /// <inheritdoc/>
    [JsonIgnore]
    public override double DefaultLearningRate => 1e-3;

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Name => "norm";
}
