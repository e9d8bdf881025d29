namespace Perenos.Runs.Config;

/// <summary>How the learning rate moves after warm-up.</summary>
public enum Schedule
{
    /// <summary>Stays.</summary>
    Constant,

    /// <summary>Falls to 0 in a straight line.</summary>
    Linear,

    /// <summary>Falls to 0 along half a cosine.</summary>
    Cosine,
}

/// <summary>The loop: how long, how large, how fast.</summary>
public sealed record TrainingConfig
{
    /// <summary>Passes over the training data.</summary>
    public double Epochs { get; init; } = 3;

    /// <summary>Most optimizer steps; none means as many as the epochs give.</summary>
    public int? MaximumSteps { get; init; }

    /// <summary>Examples in an optimizer step.</summary>
    public int BatchSize { get; init; } = 16;

    /// <summary>Tokens in an optimizer step, padding included; if set, it replaces <see cref="BatchSize"/>.</summary>
    public int? BatchTokens { get; init; }

    /// <summary>Examples that are computed at once; a step adds up as many micro-batches as it needs. None means all at once.</summary>
    public int? MicroBatchSize { get; init; }

    /// <summary>Highest learning rate; none means the method's default.</summary>
    public double? LearningRate { get; init; }

    /// <summary>How the rate moves after warm-up.</summary>
    public Schedule Schedule { get; init; } = Schedule.Cosine;

    /// <summary>Share of all steps in which the rate rises from 0.</summary>
    public double WarmupShare { get; init; } = 0.05;

    /// <summary>Decay of weights per unit of learning rate; norms and biases are exempt.</summary>
    public double WeightDecay { get; init; } = 0.01;

    /// <summary>Decay of Adam's first moment.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>Decay of Adam's second moment.</summary>
    public double Beta2 { get; init; } = 0.999;

    /// <summary>Added to the root of Adam's second moment.</summary>
    public double Epsilon { get; init; } = 1e-8;

    /// <summary>Largest global norm of the gradient; larger ones are scaled down. 0 switches clipping off.</summary>
    public double GradientClip { get; init; } = 1;

    /// <summary>Steps between validations; none means once an epoch.</summary>
    public int? ValidateEvery { get; init; }

    /// <summary>Validations without improvement after which the run stops; none means never.</summary>
    public int? Patience { get; init; }

    /// <summary>Steps between saved checkpoints; none means at every validation.</summary>
    public int? SaveEvery { get; init; }
}
