using Perenos.Runs.Config;

namespace Perenos.Training;

/// <summary>After which steps a training validates and saves.</summary>
/// <param name="Settings">The loop's settings.</param>
/// <param name="StepsPerEpoch">Steps in the first epoch.</param>
/// <param name="End">The last step, which does both.</param>
internal readonly record struct TrainingCalendar(TrainingConfig Settings, int StepsPerEpoch, int End)
{
    public bool ValidatesAfter(int step) => step == End || step % (Settings.ValidateEvery ?? StepsPerEpoch) == 0;

    public bool SavesAfter(int step) => step == End || step % (Settings.SaveEvery ?? Settings.ValidateEvery ?? StepsPerEpoch) == 0;
}
