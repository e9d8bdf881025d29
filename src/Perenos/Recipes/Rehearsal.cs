using Perenos.Training;

namespace Perenos.Recipes;

/// <summary>Some steps of a run before it begins, so that the plan can say what it costs.</summary>
internal static class Rehearsal
{
    // Steps that are timed, spread over an epoch: lengths differ, and so does the time that a token takes.
    private const int RehearsedSteps = 4;

    // Enough for the largest batch of a validation.
    private const int LongestValidated = 64;

    /// <summary>Takes some steps at rate 0 and validates once, which changes nothing: the heaviest step for the memory, others for the time.</summary>
    /// <returns>Estimated seconds of all steps, and peak memory in bytes.</returns>
    public static (double Seconds, long Memory) Take(PreparedRun run, TimeProvider clock)
    {
        int steps = Math.Min(run.Order.TotalSteps, run.Order.StepsPerEpoch);
        int heaviest = Enumerable.Range(0, steps).MaxBy(step => run.Order.SizesAt(step).Max());
        double seconds = 0, tokens = 0;
        using (var trainer = new Trainer(run.Pretrained.Model, run.Trainables, run.Config.Training, LearningRate.Of(run.Config.Training, run.Order.TotalSteps), objective: run.Objective, sampling: run.Sampling))
        {
            // The first pays for caches and code generation, and is not counted.
            foreach (int step in Enumerable.Range(0, RehearsedSteps).Select(part => part * steps / RehearsedSteps).Prepend(heaviest))
            {
                long start = clock.GetTimestamp();
                var report = trainer.TakeStep(run.Order.At(step), givenRate: 0);
                if (trainer.StepsTaken > 1)
                    (seconds, tokens) = (seconds + clock.GetElapsedTime(start).TotalSeconds, tokens + report.Tokens);
            }

            if (run.Data.Validation.Count > 0 && run.Preference is null)
                BatchLoss.Mean(run.Pretrained.Model, [.. run.Data.Validation.OrderByDescending(example => example.Ids.Length).Take(LongestValidated)], TrainingRun.ValidationBatchTokens);
        }

        double averageTokens = Enumerable.Range(0, steps).Average(step => run.Order.SizesAt(step).Sum(size => (double)size));
        return (seconds / tokens * averageTokens * run.Order.TotalSteps, PeakMemory.OfProcess());
    }
}
