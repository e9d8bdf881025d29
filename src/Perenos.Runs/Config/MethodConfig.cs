using System.Text.Json.Serialization;

namespace Perenos.Runs.Config;

/// <summary>What learns.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "kind", UnknownDerivedTypeHandling = JsonUnknownDerivedTypeHandling.FailSerialization)]
[JsonDerivedType(typeof(FullConfig), "full")]
[JsonDerivedType(typeof(LisaConfig), "lisa")]
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

    /// <summary>Whether the base's own weights learn, so that the result is a model and not an adapter beside one.</summary>
    [JsonIgnore]
    public virtual bool ChangesBase => false;

    /// <summary>The name on the command line and in reports.</summary>
    [JsonIgnore]
    public abstract string Name { get; }
}

/// <summary>All weights learn, or those of some parts.</summary>
public sealed record FullConfig : MethodConfig
{
    /// <summary>Parts that learn, by one or more whole segments of a weight's name (<c>layers.29</c>, <c>self_attn</c>) or <c>re:</c> and an expression; empty means all.</summary>
    public IReadOnlyList<string> Only { get; init; } = [];

    /// <inheritdoc/>
    [JsonIgnore]
    public override double DefaultLearningRate => 5e-5;

    /// <inheritdoc/>
    [JsonIgnore]
    public override bool ChangesBase => true;

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Name => "full";
}

/// <summary>Embedding, head and final norm learn, and of the layers a few that are drawn anew now and then (Pan et al. 2024, https://arxiv.org/abs/2403.17919).</summary>
public sealed record LisaConfig : MethodConfig
{
    /// <summary>Layers that learn at once.</summary>
    public int ActiveLayers { get; init; } = 2;

    /// <summary>Steps after which other layers are drawn.</summary>
    public int SwitchEvery { get; init; } = 20;

    /// <inheritdoc/>
    [JsonIgnore]
    public override double DefaultLearningRate => 5e-5;

    /// <inheritdoc/>
    [JsonIgnore]
    public override bool ChangesBase => true;

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Name => "lisa";
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
