using System.Globalization;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Training;

namespace Perenos.Recipes;

/// <summary>Which trials a sweep has, and after how many steps they are compared.</summary>
public sealed record SweepPlan
{
    private static readonly double[] DefaultFactors = [0.1, 0.316, 1, 3.16, 10];

    private SweepPlan(SweepConfig config, int totalSteps, IReadOnlyList<int> rungs, IReadOnlyList<SweepTrial> trials)
        => (Config, TotalSteps, Rungs, Trials) = (config, totalSteps, rungs, trials);

    /// <summary>The sweep with every default filled in.</summary>
    public SweepConfig Config { get; }

    /// <summary>Steps of a whole run, for which each trial's schedule is made.</summary>
    public int TotalSteps { get; }

    /// <summary>Steps after which trials are compared, rising.</summary>
    public IReadOnlyList<int> Rungs { get; }

    /// <summary>All trials, before their first step.</summary>
    public IReadOnlyList<SweepTrial> Trials { get; }

    /// <summary>Steps of all trials together, if none fails.</summary>
    public long Steps => Rungs.Select((step, rung) => (long)Survivors(rung) * (step - (rung == 0 ? 0 : Rungs[rung - 1]))).Sum();

    /// <summary>Trials that run in a rung.</summary>
    public int Survivors(int rung) => SurvivorsOf(Trials.Count, Config.Eta, rung);

    /// <summary>Fills in what the sweep leaves open, from the prepared recipe.</summary>
    /// <exception cref="PerenosException">There is nothing to compare, or nothing to compare by.</exception>
    public static SweepPlan Of(SweepConfig config, PreparedRun run)
    {
        Check(config, run);
        var recipe = run.Config with { Name = null };
        double standard = recipe.Training.LearningRate!.Value;
        IReadOnlyList<double> rates = config.LearningRates.Count > 0 ? config.LearningRates : [.. DefaultFactors.Select(factor => TwoDigits(standard * factor))];
        var trials = rates.Distinct().Order().SelectMany(rate => config.Ranks.Count == 0
            ? [Trial(recipe, rate, null)]
            : config.Ranks.Distinct().Order().Select(rank => Trial(recipe, rate, rank))).ToList();
        if (trials.Count < 2)
            throw new PerenosException("One trial alone has nothing to be compared with.", "Give several --learning-rates or --ranks.");

        int total = run.Order.TotalSteps;
        int rounds = Enumerable.Range(1, trials.Count).First(rung => SurvivorsOf(trials.Count, config.Eta, rung) == 1);
        // While the rate still rises, a high rate has not shown what it does.
        int first = config.FirstRung ?? Math.Max((int)Math.Round(total / Math.Pow(config.Eta, rounds)), 2 * LearningRate.Of(recipe.Training, total).WarmupSteps);
        var rungs = Enumerable.Range(0, rounds).Select(rung => (int)Math.Min(total, Math.Max(1, first) * Math.Pow(config.Eta, rung))).ToList();
        return new SweepPlan(config with { Recipe = recipe, LearningRates = [.. rates], FirstRung = rungs[0] }, total, rungs, trials);
    }

    // One in eta goes on; rounded up, so that five trials are not halved to one at once.
    private static int SurvivorsOf(int trials, int eta, int rung) => rung == 0 ? trials : (SurvivorsOf(trials, eta, rung - 1) + eta - 1) / eta;

    private static SweepTrial Trial(RunConfig recipe, double rate, int? rank)
    {
        string name = string.Create(CultureInfo.InvariantCulture, $"lr-{rate:G6}{(rank is null ? "" : $"-rank-{rank}")}").ToLowerInvariant().Replace("+", "", StringComparison.Ordinal);
        var method = recipe.Method switch
        {
            LoraConfig lora when rank is { } value => lora with { Rank = value },
            DoraConfig dora when rank is { } value => dora with { Rank = value },
            var other => other,
        };
        return new SweepTrial(name, recipe with { Method = method, Training = recipe.Training with { LearningRate = rate } }) { Rank = rank };
    }

    private static double TwoDigits(double value) => double.Parse(value.ToString("E1", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);

    private static void Check(SweepConfig config, PreparedRun run)
    {
        if (config.Eta < 2)
            throw new PerenosException($"eta = {config.Eta} is out of range.", "Use 2 or more; 3 is usual.");
        if (config.FirstRung < 1)
            throw new PerenosException($"first_rung = {config.FirstRung} is out of range.", "Use 1 or more steps.");
        if (config.LearningRates.Any(rate => !(rate > 0 && double.IsFinite(rate))))
            throw new PerenosException("A learning rate to try is not above 0.", "For example --learning-rates 1e-4 3e-4 1e-3.");
        if (config.Ranks.Any(rank => rank < 1))
            throw new PerenosException("A rank to try is not above 0.", "For example --ranks 8 32.");
        if (config.Ranks.Count > 0 && config.Recipe.Method is not (LoraConfig or DoraConfig))
            throw new PerenosException($"The method {config.Recipe.Method.Name} has no rank.", "Leave out --ranks, or use --method lora.");
        if (run.Data.Validation.Count == 0)
            throw new PerenosException("There are no validation examples, by whose loss trials are compared.", "Set data.validation, or data.validation_share above 0.");
    }
}
