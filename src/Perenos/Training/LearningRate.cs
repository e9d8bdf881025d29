using Perenos.Runs.Config;

namespace Perenos.Training;

/// <summary>Learning rates by step, as in transformers' <c>get_*_schedule_with_warmup</c>: step 0 has rate 0 where there is warm-up.</summary>
public sealed record LearningRate(double Peak, Schedule Schedule, int WarmupSteps, int TotalSteps)
{
    /// <summary>The rate used by step 0, 1, 2 …</summary>
    public double At(int step)
    {
        if (step < WarmupSteps)
            return Peak * step / WarmupSteps;
        double progress = (double)(step - WarmupSteps) / Math.Max(1, TotalSteps - WarmupSteps);
        return Peak * Schedule switch
        {
            Schedule.Constant => 1,
            Schedule.Linear => Math.Max(0, 1 - progress),
            Schedule.Cosine => Math.Max(0, 0.5 * (1 + Math.Cos(Math.PI * progress))),
            _ => throw new InvalidOperationException($"Unknown schedule {Schedule}."),
        };
    }
}
