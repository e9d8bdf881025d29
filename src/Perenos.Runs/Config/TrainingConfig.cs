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

    /// <summary>Falls along half a cosine several times, each time from the top.</summary>
    CosineWithRestarts,

    /// <summary>Falls to 0 as a power of what is left of the run.</summary>
    Polynomial,

    /// <summary>Falls as one over the root of the step, and never ends.</summary>
    InverseSqrt,

    /// <summary>Stays, then falls to 0 along half a cosine in the last part of the run.</summary>
    WarmupStableDecay,
}

/// <summary>The loop: how long, how large, how fast.</summary>
public sealed record TrainingConfig
{
    /// <summary>Passes over the training data; none means the method's default.</summary>
    public double? Epochs { get; init; }

    /// <summary>Most optimizer steps; none means as many as the epochs give.</summary>
    public int? MaximumSteps { get; init; }

    /// <summary>Examples in an optimizer step.</summary>
    public int BatchSize { get; init; } = 16;

    /// <summary>Tokens in an optimizer step, padding included; if set, it replaces <see cref="BatchSize"/>.</summary>
    public int? BatchTokens { get; init; }

    /// <summary>Examples that are computed at once; a step adds up as many micro-batches as it needs. None means all at once.</summary>
    public int? MicroBatchSize { get; init; }

    /// <summary>Whether short examples share rows instead of being padded; none sees another.</summary>
    public bool Pack { get; init; }

    /// <summary>Whether the layers' insides are computed again on the way back instead of being kept: less memory, a third more time.</summary>
    public bool Recompute { get; init; }

    /// <summary>Whether each layer is updated as soon as the way back has its gradient, which is then forgotten; layers are computed again as with <see cref="Recompute"/>.</summary>
    public bool OptimizerInBackward { get; init; }

    /// <summary>α of the noise on the embedded tokens in training (NEFTune); 0 is none.</summary>
    public double EmbeddingNoise { get; init; }

    /// <summary>Highest learning rate; none means the method's default.</summary>
    public double? LearningRate { get; init; }

    /// <summary>How the rate moves after warm-up.</summary>
    public Schedule Schedule { get; init; } = Schedule.Cosine;

    /// <summary>Share of all steps in which the rate rises from 0.</summary>
    public double WarmupShare { get; init; } = 0.05;

    /// <summary>Lowest rate, as a share of the highest: where a falling schedule ends.</summary>
    public double FinalRateShare { get; init; }

    /// <summary>Times that <see cref="Schedule.CosineWithRestarts"/> begins at the top.</summary>
    public int ScheduleCycles { get; init; } = 1;

    /// <summary>Power of <see cref="Schedule.Polynomial"/>.</summary>
    public double SchedulePower { get; init; } = 1;

    /// <summary>Share of all steps in which <see cref="Schedule.WarmupStableDecay"/> falls.</summary>
    public double DecayShare { get; init; } = 0.1;

    /// <summary>Rate of each layer as a share of that of the layer above it; 1 is the same rate for all.</summary>
    public double LayerRateDecay { get; init; } = 1;

    /// <summary>Decay of weights per unit of learning rate; norms and biases are exempt.</summary>
    public double WeightDecay { get; init; } = 0.01;

    /// <summary>How gradients become steps.</summary>
    public OptimizerConfig Optimizer { get; init; } = new AdamWConfig();

    /// <summary>Decay of a moving average of the weights, which is validated and kept in their place; none means the weights themselves.</summary>
    public double? AverageDecay { get; init; }

    /// <summary>Largest global norm of the gradient; larger ones are scaled down. 0 switches clipping off.</summary>
    public double GradientClip { get; init; } = 1;

    /// <summary>Steps between validations; none means once an epoch.</summary>
    public int? ValidateEvery { get; init; }

    /// <summary>Validations without improvement after which the run stops; none means never.</summary>
    public int? Patience { get; init; }

    /// <summary>Steps between saved checkpoints; none means at every validation.</summary>
    public int? SaveEvery { get; init; }
}
