using Perenos.Runs.Config;

namespace Perenos.Training;

/// <summary>Learning rates by step, as in transformers' <c>get_*_schedule_with_warmup</c>: step 0 has rate 0 where there is warm-up.</summary>
public sealed record LearningRate(double Peak, Schedule Schedule, int WarmupSteps, int TotalSteps)
{
    // Without warm-up the inverse root needs a scale of its own: transformers' default.
    private const int TimescaleWithoutWarmup = 10_000;

    /// <summary>Where a falling schedule ends, as a share of the peak.</summary>
    public double FinalShare { get; init; }

    /// <summary>Restarts of the cosine.</summary>
    public int Cycles { get; init; } = 1;

    /// <summary>Power of the polynomial.</summary>
    public double Power { get; init; } = 1;

    /// <summary>Last steps, in which a stable rate falls.</summary>
    public int DecaySteps { get; init; }

    /// <summary>The schedule that these settings describe for so many steps.</summary>
    public static LearningRate Of(TrainingConfig settings, int totalSteps) => new(
        settings.LearningRate ?? throw new ArgumentException("A learning rate must have been chosen.", nameof(settings)),
        settings.Schedule, (int)Math.Round(totalSteps * settings.WarmupShare), totalSteps)
    {
        FinalShare = settings.FinalRateShare,
        Cycles = settings.ScheduleCycles,
        Power = settings.SchedulePower,
        DecaySteps = (int)Math.Round(totalSteps * settings.DecayShare),
    };

    /// <summary>The rate used by step 0, 1, 2 …</summary>
    public double At(int step)
    {
        if (step < WarmupSteps)
        {
            double risen = (double)step / WarmupSteps;
            // Only this schedule's warm-up begins at the lowest rate: https://github.com/huggingface/transformers/blob/v4.57.0/src/transformers/optimization.py#L394
            return Peak * (Schedule == Schedule.WarmupStableDecay ? AboveFinal(risen) : risen);
        }

        double progress = (double)(step - WarmupSteps) / Math.Max(1, TotalSteps - WarmupSteps);
        return Peak * Schedule switch
        {
            Schedule.Constant => 1,
            Schedule.Linear => AboveFinal(Math.Max(0, 1 - progress)),
            // Beyond the end the cosine rises again, as the reference's does.
            Schedule.Cosine => AboveFinal(HalfCosine(progress)),
            Schedule.CosineWithRestarts => AboveFinal(progress >= 1 ? 0 : HalfCosine(Cycles * progress % 1)),
            Schedule.Polynomial => AboveFinal(Math.Pow(Math.Max(0, 1 - progress), Power)),
            Schedule.InverseSqrt => InverseRoot(step),
            Schedule.WarmupStableDecay => AboveFinal(HalfCosine(Fallen(step))),
            _ => throw new InvalidOperationException($"Unknown schedule {Schedule}."),
        };
    }

    private static double HalfCosine(double progress) => 0.5 * (1 + Math.Cos(Math.PI * progress));

    private double AboveFinal(double share) => FinalShare + (1 - FinalShare) * share;

    // How much of the last part is over, 0 to 1.
    private double Fallen(int step) => Math.Clamp((double)(step - TotalSteps + DecaySteps) / Math.Max(1, DecaySteps), 0, 1);

    private double InverseRoot(int step)
    {
        int timescale = WarmupSteps > 0 ? WarmupSteps : TimescaleWithoutWarmup;
        return 1 / Math.Sqrt((double)(step + timescale - WarmupSteps) / timescale);
    }
}
