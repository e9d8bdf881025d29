using Perenos.Adapters;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;
using Perenos.Training;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Training;

/// <summary>That training learns, that cutting a step into micro-batches changes nothing, that resuming changes not one bit, and that nonsense is refused.</summary>
public sealed class LearningTests
{
    private const ulong Seed = 7;

    // Sums over the same tokens in another order, three steps long.
    private const double RoundingTolerance = 1e-5;

    public static TheoryData<string, string> Both => new()
    {
        { "llama", "full" }, { "llama", "lora" }, { "llama tied", "full" }, { "llama tied", "lora with head" }, { "gpt2", "full" }, { "gpt2", "lora" }, { "gpt2 untied", "lora with head" },
    };

    [Theory]
    [MemberData(nameof(Both))]
    public void A_handful_of_sequences_is_memorised(string name, string method)
    {
        using var learner = new Learner(name, method, settings: new TrainingConfig { LearningRate = 1e-2, WeightDecay = 0, Schedule = Schedule.Cosine }, steps: 300);
        var batch = Batch.Of(Sequences(6));
        double first = learner.Step(batch).Loss;
        Assert.True(first > 2, $"starts at {first}: nothing to learn");
        for (int step = 1; step < 299; step++)
            learner.Step(batch);
        double last = learner.Step(batch).Loss;
        Assert.True(last < 0.05, $"{first:F3} -> {last:F4}");
    }

    [Theory]
    [MemberData(nameof(Both))]
    public void Four_micro_batches_equal_one_batch(string name, string method)
    {
        // A generous epsilon: rounding noise of gradients whose true value is 0 would become whole steps of Adam.
        var settings = new TrainingConfig { LearningRate = 1e-2, Optimizer = new AdamWConfig { Epsilon = 1e-3 }, GradientClip = 0.5 };
        using var whole = new Learner(name, method, settings, steps: 3);
        using var cut = new Learner(name, method, settings, steps: 3);
        // Rows of 5 to 12 tokens; the third pair has nothing to learn.
        var examples = Sequences(8).Select((example, row) => row is 4 or 5 ? example with { IsLearnt = new bool[example.Ids.Length] } : example).ToArray();
        var micro = examples.Chunk(2).Select(pair => Batch.Of(pair)).ToArray();
        Assert.True(micro.Select(batch => batch.Targets.Length).Distinct().Count() == 4, "the micro-batches must differ in tokens");
        for (int step = 0; step < 3; step++)
        {
            var expected = whole.Step(Batch.Of(examples));
            var actual = cut.Step(micro);
            Assert.Equal(expected.Targets, actual.Targets);
            Assert.Equal(expected.Loss, actual.Loss, RoundingTolerance);
            Assert.Equal(expected.GradientNorm, actual.GradientNorm, RoundingTolerance * Math.Max(1, expected.GradientNorm));
        }

        foreach (var (left, right) in whole.Trainables.Zip(cut.Trainables))
            Near.Equal(left.Tensor.detach(), right.Tensor, RoundingTolerance, left.Name);
    }

    [Theory]
    [InlineData("llama", "full")]
    [InlineData("llama", "lora with dropout")]
    [InlineData("gpt2", "full")]
    [InlineData("gpt2", "lora with dropout")]
    public void Ten_steps_equal_five_resumed_for_five_bit_for_bit(string name, string method)
    {
        using var work = new Checkpoints.WorkFolder();
        var (through, throughLosses) = Run(name, method, work.Folder("through"), stopAfter: null, checkpoint: null);
        using (through)
        {
            var (stopped, firstLosses) = Run(name, method, work.Folder("resumed"), stopAfter: 5, checkpoint: null);
            stopped.Dispose();
            Assert.Equal(5, firstLosses.Count);
            string checkpoint = Path.Combine(work.PathOf("resumed"), "checkpoints", "step-000005");
            // Another seed for what learns: everything must come from the checkpoint.
            var (resumed, lastLosses) = Run(name, method, work.PathOf("resumed"), stopAfter: null, checkpoint);
            using (resumed)
            {
                Assert.Equal(throughLosses, [.. firstLosses, .. lastLosses]);
                foreach (var (left, right) in through.Trainables.Zip(resumed.Trainables))
                    Assert.True(left.Tensor.equal(right.Tensor).all().item<bool>(), left.Name);
            }
        }

        foreach (string file in new[] { "weights.safetensors", "optimizer.safetensors" })
        {
            byte[] Bytes(string run) => File.ReadAllBytes(Path.Combine(work.PathOf(run), "checkpoints", "step-000010", file));
            Assert.Equal(Bytes("through"), Bytes("resumed"));
        }
    }

    public static TheoryData<string> Optimizers => ["adamw", "adamw8bit", "adafactor", "lion", "sgd"];

    [Theory]
    [MemberData(nameof(Optimizers))]
    public void Every_optimizer_resumes_bit_for_bit(string optimizer)
    {
        using var work = new Checkpoints.WorkFolder();
        var (through, throughLosses) = Run("llama", "full", work.Folder("through"), stopAfter: null, checkpoint: null, optimizer: optimizer);
        using (through)
        {
            var (stopped, firstLosses) = Run("llama", "full", work.Folder("resumed"), stopAfter: 5, checkpoint: null, optimizer: optimizer);
            stopped.Dispose();
            var (resumed, lastLosses) = Run("llama", "full", work.PathOf("resumed"), stopAfter: null, Path.Combine(work.PathOf("resumed"), "checkpoints", "step-000005"), optimizer: optimizer);
            using (resumed)
            {
                Assert.Equal(throughLosses, [.. firstLosses, .. lastLosses]);
                Assert.Equal(through.Numbers().Take(through.Trainables.Count), resumed.Numbers().Take(through.Trainables.Count));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Optimizers))]
    public void Every_optimizer_lowers_the_loss(string optimizer)
    {
        var settings = new TrainingConfig { LearningRate = optimizer == "sgd" ? 0.1 : optimizer == "lion" ? 2e-3 : 1e-2, WeightDecay = 0, Optimizer = OptimizerOf(optimizer) };
        using var learner = new Learner("llama", "full", settings, steps: 60);
        var batch = Batch.Of(Sequences(6));
        double first = learner.Step(batch).Loss;
        for (int step = 1; step < 59; step++)
            learner.Step(batch);
        double last = learner.Step(batch).Loss;
        Assert.True(last < first / 2, $"{first:F3} -> {last:F4}");
    }

    [Fact]
    public void An_average_of_the_weights_is_what_is_validated_and_kept_and_it_resumes()
    {
        using var work = new Checkpoints.WorkFolder();
        var (plain, _) = Run("llama", "full", work.Folder("plain"), stopAfter: null, checkpoint: null);
        var (through, _) = Run("llama", "full", work.Folder("through"), stopAfter: null, checkpoint: null, average: 0.9);
        var (stopped, _) = Run("llama", "full", work.Folder("resumed"), stopAfter: 5, checkpoint: null, average: 0.9);
        stopped.Dispose();
        var (resumed, _) = Run("llama", "full", work.PathOf("resumed"), stopAfter: null, Path.Combine(work.PathOf("resumed"), "checkpoints", "step-000005"), average: 0.9);
        using (plain)
        using (through)
        using (resumed)
        {
            int count = through.Trainables.Count;
            Assert.Equal(through.Numbers().Take(count), resumed.Numbers().Take(count));
            Assert.NotEqual(plain.Numbers().Take(count), through.Numbers().Take(count));
        }

        // Training itself goes on with the weights, not with their average.
        byte[] Weights(string run) => File.ReadAllBytes(Path.Combine(work.PathOf(run), "checkpoints", "step-000010", "weights.safetensors"));
        Assert.Equal(Weights("plain"), Weights("through"));
        byte[] Best(string run) => File.ReadAllBytes(Path.Combine(work.PathOf(run), "checkpoints", "best", "weights.safetensors"));
        Assert.Equal(Best("through"), Best("resumed"));
    }

    [Fact]
    public void Weights_in_bfloat16_rounded_at_random_learn_without_a_master_copy_and_resume()
    {
        var settings = new TrainingConfig { LearningRate = 1e-3, WeightDecay = 0, Schedule = Schedule.Constant, Optimizer = new AdamWConfig { StochasticRounding = true } };
        using var learner = new Learner("llama", "full", settings, steps: 200, type: ScalarType.BFloat16);
        using var nearest = new Learner("llama", "full", settings with { Optimizer = new AdamWConfig() }, steps: 200, type: ScalarType.BFloat16);
        Assert.DoesNotContain(learner.Numbers(), number => number.Name.StartsWith("master", StringComparison.Ordinal));
        var batch = Batch.Of(Sequences(6));
        double first = learner.Step(batch).Loss, last = first, withMaster = nearest.Step(batch).Loss;
        for (int step = 1; step < 200; step++)
            (last, withMaster) = (learner.Step(batch).Loss, nearest.Step(batch).Loss);
        Assert.True(last < first / 2 && last < withMaster + 0.2, $"{first:F3} -> {last:F4}, with a master copy {withMaster:F4}");
    }

    [Theory]
    [InlineData("llama", "full")]
    [InlineData("llama", "lora")]
    public void A_loss_that_is_no_number_is_refused_and_nothing_changes(string name, string method)
    {
        var settings = new TrainingConfig { LearningRate = 1e-2 };
        using var untroubled = new Learner(name, method, settings, steps: 10);
        using var learner = new Learner(name, method, settings, steps: 10);
        using var scope = NewDisposeScope();
        var sound = Batch.Of(Sequences(4));
        untroubled.Step(sound);
        learner.Step(sound);

        // One row of the embedding is no number while a batch meets it.
        var row = learner.Model.Embedding.Weight.detach()[sound.Tokens[0]];
        var kept = row.clone();
        row.fill_(float.NaN);
        var before = learner.Numbers();
        var problem = Assert.Throws<PerenosException>(() => learner.Step(sound));
        Assert.Contains("Step 2", problem.Message, StringComparison.Ordinal);
        Assert.Contains("NaN", problem.Message, StringComparison.Ordinal);
        Assert.Equal(before, learner.Numbers());

        row.copy_(kept);
        Assert.Equal(untroubled.Step(sound), learner.Step(sound));
        Assert.Equal(untroubled.Numbers(), learner.Numbers());
    }

    [Fact]
    public void Dropout_of_a_step_depends_on_its_seed_alone()
    {
        using var learner = new Learner("llama", "lora with dropout", new TrainingConfig { LearningRate = 1e-2 }, steps: 2);
        using var scope = NewDisposeScope();
        var batch = Batch.Of(Sequences(4));
        // B is 0 at first, and with it the update.
        learner.Step(batch);
        double LossOf(ulong? seed)
        {
            learner.Lora!.DropFor(seed);
            using var losses = BatchLoss.NegativeLogLikelihood(learner.Model, batch);
            return losses.sum().item<float>();
        }

        Assert.Equal(LossOf(1), LossOf(1));
        Assert.NotEqual(LossOf(1), LossOf(2));
        Assert.Equal(LossOf(null), LossOf(null));
        Assert.NotEqual(LossOf(null), LossOf(1));
    }

    // Sequences of 5, 6, 7 … tokens, each told from the others by its first token.
    private static Example[] Sequences(int count) => [.. Enumerable.Range(0, count).Select(row =>
    {
        int[] ids = [row, .. TinyModel.Tokens(4 + row, seed: (ulong)row)];
        return new Example(ids, [.. ids.Select((_, place) => place > 0)], $"row {row}");
    })];

    private static (Learner Learner, List<double> Losses) Run(string name, string method, string folder, int? stopAfter, string? checkpoint, string optimizer = "adamw", double? average = null)
    {
        if (checkpoint is null)
            File.WriteAllText(Path.Combine(folder, "config.json"), "{}");
        // 23 tokens to a batch: three or four steps an epoch, so that a resumed run begins inside one.
        var settings = new TrainingConfig { LearningRate = 1e-2, BatchTokens = 23, MicroBatchSize = 1, Epochs = 100, MaximumSteps = 10, ValidateEvery = 3, SaveEvery = 5, Optimizer = OptimizerOf(optimizer), AverageDecay = average };
        var learner = new Learner(name, method, settings, steps: 10, seedOfLearning: checkpoint is null ? Seed : Seed + 1);
        var examples = Sequences(7);
        using var stop = new CancellationTokenSource();
        List<double> losses = [];
        using var opened = RunFolder.Resume(folder);
        using var run = new TrainingRun(learner.Model, learner.Trainables, settings, new BatchOrder(examples, settings, Seed), examples[..2], opened, TimeProvider.System, happened =>
        {
            if (happened is not RunEvent.Step step)
                return;
            losses.Add(step.Loss);
            if (losses.Count == stopAfter)
                stop.Cancel();
        })
        { BeforeStep = step => learner.Lora?.DropFor(Perenos.Runs.Seed.Of(Seed, "dropout", (ulong)step)) };
        if (checkpoint is not null)
            run.Resume(checkpoint);
        Assert.Equal(stopAfter is null ? TrainingEnd.Completed : TrainingEnd.Interrupted, run.Go(stop.Token));
        return (learner, losses);
    }

    private static OptimizerConfig OptimizerOf(string kind) => ConfigFile.Parse<OptimizerConfig>(new System.Text.Json.Nodes.JsonObject { ["kind"] = kind }, "the test");

    /// <summary>A tiny model with what learns of it and the loop over it.</summary>
    private sealed class Learner : IDisposable
    {
        private readonly Trainer _trainer;

        public Learner(string name, string method, TrainingConfig settings, int steps, ulong seedOfLearning = Seed, ScalarType type = ScalarType.Float32)
        {
            Model = TinyModel.Start(name, method == "full" ? seedOfLearning : Seed, type);
            if (method != "full")
            {
                string[] targets = method == "lora with head" ? ["all-linear", "lm_head"] : ["all-linear"];
                var lora = new LoraConfig { Rank = 8, Alpha = 16, Targets = targets, Dropout = method == "lora with dropout" ? 0.2 : 0 };
                Lora = Perenos.Adapters.Lora.Start(Model.Parts, lora, seedOfLearning);
            }

            Trainables = Lora is null
                ? [.. Model.Parts.Weights.Select(weight => Trainable.Of(weight.Key, weight.Value, Model.Parts.NormWeights.Contains(weight.Key)))]
                : [.. Lora.Weights.Select(weight => Trainable.Of(weight.Key, weight.Value))];
            foreach (var trainable in Trainables)
                trainable.Tensor.requires_grad = true;
            _trainer = new Trainer(Model, Trainables, settings, new LearningRate(settings.LearningRate!.Value, settings.Schedule, WarmupSteps: 0, steps));
        }

        public CausalModel Model { get; }

        public Adapter? Lora { get; }

        public IReadOnlyList<Trainable> Trainables { get; }

        public StepReport Step(params Batch[] microBatches) => _trainer.TakeStep(microBatches);

        /// <summary>Every bit that a step may change: weights, moments, counts.</summary>
        public List<(string Name, string Bits)> Numbers()
        {
            static string Bits(Tensor tensor)
            {
                using var flat = tensor.detach().contiguous();
                return Convert.ToHexString(flat.bytes);
            }

            return
            [
                .. Trainables.Select(trainable => (trainable.Name, Bits(trainable.Tensor))),
                .. _trainer.Optimizer.State().Select(entry => (entry.Name, Bits(entry.Tensor))),
                ("steps", $"{_trainer.StepsTaken} {_trainer.Optimizer.StepCount}"),
            ];
        }

        public void Dispose()
        {
            _trainer.Dispose();
            Lora?.Dispose();
            Model.Dispose();
        }
    }
}
