using Perenos.Recipes;
using Perenos.Runs.Config;
using Perenos.Training;
using TorchSharp;
using Xunit;

namespace Perenos.Tests.Recipes;

public sealed class RehearsalTests : IDisposable
{
    private readonly TinyProject _project = new();

    public void Dispose() => _project.Dispose();

    [Fact]
    public void The_plan_holds_all_parts_of_the_run_in_their_order()
    {
        using var run = PreparedRun.Open(_project.Config(new FullConfig()), stop: TestContext.Current.CancellationToken);

        var plan = run.Rehearse(new TickingClock(), TestContext.Current.CancellationToken);

        Assert.Equal(["rehearsal", "examination before", "training", "validation", "saving", "examination after"], plan.Parts.Select(part => part.Name));
        Assert.Equal(plan.Parts.Sum(part => part.Seconds), plan.Seconds);
        Assert.Equal(Seconds(plan, "training") + Seconds(plan, "validation"), plan.TrainingSeconds);
        Assert.True(plan.LeastSeconds <= plan.Seconds && plan.Seconds <= plan.MostSeconds);
    }

    [Fact]
    public void A_run_that_is_about_to_judge_its_base_rehearses_its_training_alone()
    {
        using var run = PreparedRun.Open(_project.Config(new FullConfig()), stop: TestContext.Current.CancellationToken);

        var plan = run.RehearseTraining(new TickingClock(), TestContext.Current.CancellationToken);

        Assert.Equal(["training", "validation", "saving"], plan.Parts.Select(part => part.Name));
        Assert.True(plan.Memory > 0);
    }

    // A clock that moves by a second whenever it is read gives every piece of work that is timed one second.
    [Fact]
    public void Pieces_that_cost_the_same_are_counted_as_often_as_the_run_does_them()
    {
        var config = _project.Config(new FullConfig());
        config = config with { Training = config.Training with { MaximumSteps = null, Epochs = 3, MicroBatchSize = null, Pack = true } };
        using var run = PreparedRun.Open(config, stop: TestContext.Current.CancellationToken);

        var plan = run.Rehearse(new TickingClock(), TestContext.Current.CancellationToken);

        // 20 records, 4 in a step; validated before the first step and after every other one, the last among them or beside them.
        const int steps = 15, validations = 1 + 7 + 1;
        // Steps are weighed by their tokens, which differ a little: the mean of an epoch lies near the middle ones.
        Assert.InRange(Seconds(plan, "training"), 0.8 * steps, 1.2 * steps);
        Assert.Equal(validations, Seconds(plan, "validation"), 6);
    }

    [Fact]
    public void Plain_text_is_read_and_not_answered()
    {
        var config = _project.Config(new FullConfig());
        using var run = PreparedRun.Open(config with { Data = config.Data with { Prompt = null, Completion = null, Text = "{fr}" } }, stop: TestContext.Current.CancellationToken);

        var plan = run.Rehearse(TimeProvider.System, TestContext.Current.CancellationToken);

        Assert.Equal(plan.LeastSeconds, plan.MostSeconds);
    }

    [Fact]
    public void A_run_after_a_rehearsal_is_the_run_without_it_to_the_last_bit()
    {
        var config = _project.Config(FineTuneTests.MethodOf("dora"));
        config = config with { Training = config.Training with { EmbeddingNoise = 5, AverageDecay = 0.9 } };

        Assert.Equal(LossesAfter(config, rehearsals: 0), LossesAfter(config, rehearsals: 2));
    }

    [Fact]
    public void Layers_that_are_drawn_learn_after_a_rehearsal_as_without_it()
    {
        var config = _project.Config(new LisaConfig { ActiveLayers = 1, SwitchEvery = 2 });

        Assert.Equal(LossesAfter(config, rehearsals: 0), LossesAfter(config, rehearsals: 1));
    }

    [Fact]
    public void A_budget_does_not_steer_the_penalty_in_a_rehearsal()
    {
        var config = _project.Config(new FullConfig());
        using var run = PreparedRun.Open(config, stop: TestContext.Current.CancellationToken);
        run.Pretrained.Save(Path.Combine(_project.Runs, "base"));
        string fisher = Path.Combine(_project.Runs, "fisher.safetensors");
        EstimateFisher.Run(
            new FisherRequest { Model = Path.Combine(_project.Runs, "base"), Data = config.Data, Output = fisher, Dtype = "float32" }, (_, _) => { }, CancellationToken.None);
        foreach (MethodConfig method in new MethodConfig[] { new FullConfig(), FineTuneTests.MethodOf("lora") })
        {
            using var guarded = PreparedRun.Open(config with
            {
                Start = new PretrainedStart { Model = Path.Combine(_project.Runs, "base") },
                Method = method,
                Retention = new RetentionConfig { Penalty = new EwcConfig { Fisher = fisher, Lambda = 1e3, ForgetAtMost = 0.01 } },
            }, stop: TestContext.Current.CancellationToken);

            var before = guarded.Trainables.Select(trainable => trainable.Tensor.data<float>().ToArray()).ToList();
            guarded.Rehearse(TimeProvider.System, TestContext.Current.CancellationToken);

            Assert.Equal(1e3, guarded.Penalty!.Strength);
            Assert.Equal(before, guarded.Trainables.Select(trainable => trainable.Tensor.data<float>().ToArray()));
        }
    }

    private static double Seconds(RunPlan plan, string part) => plan.Parts.Single(entry => entry.Name == part).Seconds;

    private static List<double> LossesAfter(RunConfig config, int rehearsals)
    {
        torch.random.manual_seed(1);
        using var run = PreparedRun.Open(config, stop: TestContext.Current.CancellationToken);
        for (int rehearsal = 0; rehearsal < rehearsals; rehearsal++)
            run.Rehearse(TimeProvider.System, TestContext.Current.CancellationToken);
        using var trainer = new Trainer(run.Pretrained.Model, run.Trainables, run.Config.Training, LearningRate.Of(run.Config.Training, run.Order.TotalSteps), run.Penalty, run.Objective, run.Sampling);
        List<double> losses = [];
        for (int step = 0; step < run.Order.TotalSteps; step++)
        {
            run.BeginStep(step);
            losses.Add(trainer.TakeStep(run.Order.At(step)).Loss);
            run.EndStep();
        }

        losses.Add(BatchLoss.Mean(run.Pretrained.Model, run.Data.Validation, batchTokens: 1000));
        // What anyone draws next from the engine's own numbers.
        losses.Add(torch.rand(1).item<float>());
        return losses;
    }

    private sealed class TickingClock : TimeProvider
    {
        private long _seconds;

        public override long TimestampFrequency => 1;

        public override long GetTimestamp() => _seconds++;
    }
}
