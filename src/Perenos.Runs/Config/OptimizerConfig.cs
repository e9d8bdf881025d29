using System.Text.Json.Serialization;

namespace Perenos.Runs.Config;

/// <summary>How gradients become steps.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "kind", UnknownDerivedTypeHandling = JsonUnknownDerivedTypeHandling.FailSerialization)]
[JsonDerivedType(typeof(AdamWConfig), "adamw")]
[JsonDerivedType(typeof(AdamW8BitConfig), "adamw8bit")]
[JsonDerivedType(typeof(AdafactorConfig), "adafactor")]
[JsonDerivedType(typeof(LionConfig), "lion")]
[JsonDerivedType(typeof(SgdConfig), "sgd")]
public abstract record OptimizerConfig
{
    /// <summary>What a method's default learning rate, which is meant for AdamW, is multiplied by; none where no rate can be guessed.</summary>
    [JsonIgnore]
    public virtual double? DefaultRateFactor => 1;

    /// <summary>The name on the command line and in reports.</summary>
    [JsonIgnore]
    public abstract string Name { get; }

    /// <summary>Bytes of state for each number that learns, beside the weight, its gradient and a master copy.</summary>
    [JsonIgnore]
    public abstract int StateBytes { get; }

    /// <summary>Whether a weight held in bfloat16 has a float32 master copy.</summary>
    [JsonIgnore]
    public virtual bool KeepsMaster => true;
}

/// <summary>AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101).</summary>
public sealed record AdamWConfig : OptimizerConfig
{
    /// <summary>Decay of the mean of gradients.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>Decay of the mean of squared gradients.</summary>
    public double Beta2 { get; init; } = 0.999;

    /// <summary>Added to the root of the second moment.</summary>
    public double Epsilon { get; init; } = 1e-8;

    /// <summary>Weights in bfloat16 without a master copy: each step rounds up or down at random, so that the mean is right.</summary>
    public bool StochasticRounding { get; init; }

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Name => "AdamW";

    /// <inheritdoc/>
    [JsonIgnore]
    public override int StateBytes => 8;

    /// <inheritdoc/>
    [JsonIgnore]
    public override bool KeepsMaster => !StochasticRounding;
}

/// <summary>AdamW whose moments are held in 8 bits (Dettmers et al. 2021, https://arxiv.org/abs/2110.02861).</summary>
public sealed record AdamW8BitConfig : OptimizerConfig
{
    /// <summary>Decay of the mean of gradients.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>Decay of the mean of squared gradients.</summary>
    public double Beta2 { get; init; } = 0.999;

    /// <summary>Added to the root of the second moment.</summary>
    public double Epsilon { get; init; } = 1e-8;

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Name => "8-bit AdamW";

    /// <inheritdoc/>
    [JsonIgnore]
    public override int StateBytes => 2;
}

/// <summary>Adafactor with a given rate: squared gradients are kept as row and column means (Shazeer and Stern 2018, https://arxiv.org/abs/1804.04235).</summary>
public sealed record AdafactorConfig : OptimizerConfig
{
    /// <summary>The mean of squared gradients decays by 1 − step to this power.</summary>
    public double DecayExponent { get; init; } = -0.8;

    /// <summary>Largest root mean square of a tensor's update, before the rate.</summary>
    public double ClipThreshold { get; init; } = 1;

    /// <summary>Added to squared gradients.</summary>
    public double Epsilon { get; init; } = 1e-30;

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Name => "Adafactor";

    /// <inheritdoc/>
    [JsonIgnore]
    public override int StateBytes => 0;
}

/// <summary>Lion: the sign of a momentum (Chen et al. 2023, https://arxiv.org/abs/2302.06675).</summary>
public sealed record LionConfig : OptimizerConfig
{
    /// <summary>Weight of the momentum in the direction that is taken.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>Decay of the momentum.</summary>
    public double Beta2 { get; init; } = 0.99;

    /// <inheritdoc/>
    /// <remarks>Every number moves by the whole rate: the paper uses a third to a tenth of AdamW's.</remarks>
    [JsonIgnore]
    public override double? DefaultRateFactor => 0.2;

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Name => "Lion";

    /// <inheritdoc/>
    [JsonIgnore]
    public override int StateBytes => 4;
}

/// <summary>Stochastic gradient descent with momentum; weight decay is added to the gradient, as in PyTorch.</summary>
public sealed record SgdConfig : OptimizerConfig
{
    /// <summary>Share of the last step's direction that is kept.</summary>
    public double Momentum { get; init; } = 0.9;

    /// <inheritdoc/>
    [JsonIgnore]
    public override double? DefaultRateFactor => null;

    /// <inheritdoc/>
    [JsonIgnore]
    public override string Name => "SGD";

    /// <inheritdoc/>
    [JsonIgnore]
    public override int StateBytes => 4;
}
