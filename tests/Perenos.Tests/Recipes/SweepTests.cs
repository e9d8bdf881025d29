using Perenos.Recipes;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Testing;
using Xunit;

namespace Perenos.Tests.Recipes;

public sealed class SweepTests : IDisposable
{
    private static readonly double[] Rates = [1e-6, 1e-2, 3e-2];
    private readonly TinyProject _project = new();

    public void Dispose() => _project.Dispose();

    [Theory]
    // Five trials by halves: 5, 3, 2, 1; by thirds: 5, 2, 1. One step at least, and never beyond the run.
    [InlineData(5, 2, null, new[] { 1, 2, 4 }, 5 + 3 + 2 * 2)]
    [InlineData(5, 3, null, new[] { 1, 3 }, 5 + 2 * 2)]
    [InlineData(3, 3, 2, new[] { 2 }, 6)]
    [InlineData(5, 3, 4, new[] { 4, 6 }, 20 + 2 * 2)]
    public void Rungs_grow_by_eta_as_trials_shrink(int trials, int eta, int? first, int[] rungs, int steps)
    {
        var plan = Plan(new SweepConfig { Recipe = Recipe(new FullConfig()), LearningRates = [.. Enumerable.Range(1, trials).Select(number => number * 1e-3)], Eta = eta, FirstRung = first });
        Assert.Equal(rungs, plan.Rungs);
        Assert.Equal((6, trials, steps), (plan.TotalSteps, plan.Trials.Count, plan.Steps));
    }

    [Fact]
    public void Without_rates_five_about_the_recipes_are_tried_with_every_rank()
    {
        var plan = Plan(new SweepConfig { Recipe = Recipe(new LoraConfig()), Ranks = [4, 2] });
        Assert.Equal([1e-3, 3.2e-3, 1e-2, 3.2e-2, 1e-1], plan.Config.LearningRates);
        Assert.Equal(10, plan.Trials.Count);
        Assert.Equal("lr-0.001-rank-2", plan.Trials[0].Name);
        Assert.Equal((1e-3, 2), (plan.Trials[0].Config.Training.LearningRate!.Value, ((LoraConfig)plan.Trials[0].Config.Method).Rank));
    }

    [Fact]
    public void The_best_rate_wins_and_every_trial_is_a_run()
    {
        var (plan, folder) = Begin("sweep");
        using (folder)
        {
            var result = Sweep.Run(plan, folder, TimeProvider.System, _ => { }, CancellationToken.None);
            Assert.NotEqual(Rates[0], result.Best!.LearningRate);
            Assert.Equal([SweepStatus.Dropped, SweepStatus.Best], result.Trials.Select(trial => trial.Status).Distinct().Order());
            Assert.Equal(result.Trials.Min(trial => trial.LossAt(2)), result.Best.LossAt(2));
            Assert.Equal(result.Best.LearningRate, ConfigFile.Read<RunConfig>(Sweep.BestIn(folder)).Training.LearningRate);
            Assert.Contains("Validation loss by learning rate", File.ReadAllText(folder.Report), StringComparison.Ordinal);
            Assert.Equal(("sweep", RunStatus.Finished), (RunSummary.Read(folder)!.Kind, RunSummary.Read(folder)!.Status));
            Assert.Equal(Rates.Length, RunFolder.List(Sweep.TrialsIn(folder)).Count);
        }
    }

    [Fact]
    public void The_winner_goes_on_to_the_end_as_if_it_had_never_paused()
    {
        var (plan, folder) = Begin("sweep");
        string trials = Sweep.TrialsIn(folder), best;
        using (folder)
            best = Sweep.Run(plan, folder, TimeProvider.System, _ => { }, CancellationToken.None).Best!.Name;
        using (var trial = RunFolder.Resume(best, trials))
            FineTune.Resume(trial, new RunListener(TimeProvider.System, _ => { }, (_, _, _) => { }), CancellationToken.None);

        _project.Run(plan.Trials.Single(trial => trial.Name == best).Config, "straight");
        RunComparison.Equal(_project.Open("straight"), RunFolder.Open(best, trials));
        Assert.Equal(File.ReadAllText(Path.Combine(_project.Open("straight").Path, "before.json")), File.ReadAllText(Path.Combine(trials, best, "before.json")));
    }

    [Fact]
    public void A_sweep_that_is_interrupted_goes_on_from_what_its_trials_have()
    {
        var (plan, folder) = Begin("straight");
        SweepResult straight, resumed;
        using (folder)
            straight = Sweep.Run(plan, folder, TimeProvider.System, _ => { }, CancellationToken.None);
        (plan, folder) = Begin("interrupted");
        using (var stop = new CancellationTokenSource())
        using (folder)
        {
            // In the second trial, between its start and its comparison.
            var result = Sweep.Run(plan, folder, TimeProvider.System, progress =>
            {
                if (progress.Trials[1].Step == 1)
                    stop.Cancel();
            }, stop.Token);
            Assert.Null(result.Best);
            Assert.Equal([2, 1, 0], result.Trials.Select(trial => trial.Step));
        }

        using (folder = RunFolder.Resume("interrupted", _project.Runs))
        {
            var begun = ConfigFile.Read<SweepConfig>(folder.Config);
            var steps = new List<long>();
            resumed = Sweep.Run(Plan(begun), folder, TimeProvider.System, progress => steps.Add(progress.Trials.Sum(trial => trial.Step)), CancellationToken.None);
            Assert.Equal(4, steps[0]);
        }

        Assert.Equal(straight.Trials.Select(trial => (trial.Name, trial.Status, trial.LossAt(2))), resumed.Trials.Select(trial => (trial.Name, trial.Status, trial.LossAt(2))));
    }

    [Fact]
    public void A_trial_whose_loss_is_no_number_loses_and_the_others_go_on()
    {
        var (plan, folder) = Begin("sweep", 1e-2, 1e30);
        using (folder)
        {
            var result = Sweep.Run(plan, folder, TimeProvider.System, _ => { }, CancellationToken.None);
            Assert.Equal([SweepStatus.Best, SweepStatus.Failed], result.Trials.Select(trial => trial.Status));
            Assert.Contains("the loss is", result.Trials[1].Problem, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void What_shall_be_kept_is_estimated_by_the_first_trial_for_all()
    {
        _project.Run(Recipe(new FullConfig()), "pretrained");
        var keep = new RetentionConfig { Penalty = new EwcConfig { Keep = new KeepConfig { Path = _project.Write("kept.txt", "The bridge is closed.\n\nNobody was hurt.") } } };
        var recipe = Recipe(new FullConfig()) with { Start = new PretrainedStart { Model = _project.Open("pretrained").Model }, Retention = keep };
        var plan = Plan(new SweepConfig { Recipe = recipe, LearningRates = Rates, FirstRung = 2 });
        using var folder = RunFolder.Create(_project.Runs, "sweep", "sweep", "", "", TimeProvider.System);
        var best = Sweep.Run(plan, folder, TimeProvider.System, _ => { }, CancellationToken.None).Best!;
        var trials = plan.Trials.Select(trial => RunFolder.Open(trial.Name, Sweep.TrialsIn(folder))).ToList();
        Assert.Equal([true, false, false], trials.Select(trial => File.Exists(trial.Fisher)));
        Assert.All(trials.Skip(1), trial => Assert.Equal(trials[0].Fisher, ((EwcConfig)ConfigFile.Read<RunConfig>(trial.Config).Retention.Penalty!).Fisher));
        // The recipe of the best stands alone, and gives that trial again.
        var recommended = ConfigFile.Read<RunConfig>(Sweep.BestIn(folder));
        Assert.Equal(keep.Penalty, recommended.Retention.Penalty);
        _project.Run(recommended with { Training = recommended.Training with { MaximumSteps = 2 } }, "again");
        var steps = RunComparison.Steps(RunFolder.Open(best.Name, Sweep.TrialsIn(folder)));
        Assert.Equal(steps.Take(1).Select(step => step.Loss), RunComparison.Steps(_project.Open("again")).Take(1).Select(step => step.Loss));
    }

    [Fact]
    public void What_cannot_be_compared_is_refused()
    {
        Assert.Contains("compared", Assert.Throws<PerenosException>(() => Plan(new SweepConfig { Recipe = Recipe(new FullConfig()), LearningRates = [1e-3] })).Message, StringComparison.Ordinal);
        Assert.Contains("no rank", Assert.Throws<PerenosException>(() => Plan(new SweepConfig { Recipe = Recipe(new FullConfig()), Ranks = [4, 8] })).Message, StringComparison.Ordinal);
        Assert.Contains("eta", Assert.Throws<PerenosException>(() => Plan(new SweepConfig { Recipe = Recipe(new FullConfig()), Eta = 1 })).Message, StringComparison.Ordinal);
    }

    private (SweepPlan Plan, RunFolder Folder) Begin(string name, params double[] rates) =>
        (Plan(new SweepConfig { Recipe = Recipe(new FullConfig()), LearningRates = rates.Length > 0 ? rates : Rates, FirstRung = 2 }), RunFolder.Create(_project.Runs, name, "sweep", "", "", TimeProvider.System));

    private RunConfig Recipe(MethodConfig method)
    {
        var config = _project.Config(method);
        return config with { Training = config.Training with { WarmupShare = 0 } };
    }

    private static SweepPlan Plan(SweepConfig config)
    {
        using var run = PreparedRun.Open(config.Recipe, stop: TestContext.Current.CancellationToken);
        return SweepPlan.Of(config, run);
    }
}
