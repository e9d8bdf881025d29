namespace Perenos.Runs.Config;

/// <summary>A search for learning rate and rank by successive halving (Jamieson and Talwalkar 2016, https://arxiv.org/abs/1502.07943).</summary>
public sealed record SweepConfig
{
    /// <summary>What is tuned; its learning rate and rank give way to the trial's.</summary>
    public required RunConfig Recipe { get; init; }

    /// <summary>Rates to try; none means five about the recipe's, a factor √10 apart.</summary>
    public IReadOnlyList<double> LearningRates { get; init; } = [];

    /// <summary>Ranks to try with each rate (LoRA, DoRA); none means the recipe's.</summary>
    public IReadOnlyList<int> Ranks { get; init; } = [];

    /// <summary>At each rung one trial in so many goes on, to so many times the steps.</summary>
    public int Eta { get; init; } = 3;

    /// <summary>Steps of the first rung; none means so many that the last comparison takes place at the eta-th part of the run.</summary>
    public int? FirstRung { get; init; }
}
