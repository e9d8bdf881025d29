using System.Diagnostics;
using Perenos.Adapters;
using Perenos.Evaluation;
using Perenos.Generation;
using Perenos.Models;
using Perenos.Runs.Config;
using Perenos.Tests.Adapters;
using Perenos.Tests.Checkpoints;
using Perenos.Text.Data;
using Perenos.Training;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests;

/// <summary>Nothing grows: as many live tensors after the three hundredth time as after the third, and no more memory.</summary>
public sealed class LeakTests
{
    private const int Few = 3;
    private const int Many = 300;

    // What the allocator and the runtime move by themselves. A leak of a step's tensors would be tens of MB.
    private const long MemoryTolerance = 8L << 20;

    public static TheoryData<string, string> Trainings => new()
    {
        { "llama", "full" }, { "llama", "lora" }, { "gpt2", "full" }, { "gpt2", "lora" }, { "llama tied", "lora with head" },
        { "bloom", "lora" }, { "gptj", "full" }, { "gpt_neo", "lora" },
        { "gemma2", "full" }, { "mixtral, balanced", "full" }, { "qwen3_moe", "lora" }, { "phi3 for long texts", "lora" },
    };

    // gpt2 has weights of every kind, biases included.
    public static TheoryData<string> Methods => [.. AdapterConformanceTests.Names];

    public static TheoryData<string> Families => [.. TinyModel.Names.DistinctBy(TinyModel.FamilyOf)];

    [Theory]
    [MemberData(nameof(Trainings))]
    public void Training_keeps_no_tensor(string name, string method)
    {
        using var training = new Loop(name, method);
        AssertNothingIsKept(Many, training.Step);
    }

    [Theory]
    [MemberData(nameof(Methods))]
    public void Training_by_any_method_keeps_no_tensor(string method)
    {
        using var training = new Loop("gpt2", method);
        AssertNothingIsKept(20, training.Step);
    }

    [Theory]
    [InlineData("llama", 0)]
    [InlineData("gpt2", 1)]
    public void Generation_keeps_no_tensor(string name, double temperature)
    {
        using var model = TinyModel.Start(name);
        var generator = new TextGenerator(model, new GenerationConfig { MaxNewTokens = 4, Temperature = temperature }, [5]);
        AssertNothingIsKept(Many, step =>
        {
            generator.Generate([TinyModel.Tokens(3, (ulong)step), TinyModel.Tokens(5, (ulong)step)], cancellation: TestContext.Current.CancellationToken);
            // A reader that turns away early.
            _ = generator.Stream(TinyModel.Tokens(2, (ulong)step)).Take(2).ToList();
        });
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void A_forward_call_of_any_family_keeps_no_tensor(string name)
    {
        using var model = TinyModel.Start(name);
        using var tokens = tensor(TinyModel.Tokens(12, seed: 1).Select(id => (long)id).ToArray(), [2, 6]);
        using var mask = tensor(new long[] { 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1 }, [2, 6]);
        AssertNothingIsKept(20, _ =>
        {
            model.Hidden(tokens).Dispose();
            model.Hidden(tokens, mask).Dispose();
        });
    }

    [Fact]
    public void Likelihood_keeps_no_tensor()
    {
        var tokenizer = TinyModel.ByteTokenizer();
        using var model = TinyModel.Start("llama", vocabulary: tokenizer.VocabularySize);
        var rolling = new RollingLikelihood(model, tokenizer, Prefix: 0, Window: 8);
        AssertNothingIsKept(Many, _ => rolling.Score(["west wind", "", "vent d'ouest"]));
    }

    [Fact]
    public void Opening_saving_adapting_and_merging_keep_no_tensor()
    {
        using var work = new WorkFolder();
        var config = TinyModel.Config("llama", vocabulary: 260);
        config["eos_token_id"] = 0;
        File.WriteAllText(work.PathOf("config.json"), config.ToJsonString());
        TinyModel.ByteTokenizer().Save(work.PathOf("tokenizer.json"));
        using (var start = Pretrained.Start(work.Root, work.Root, seed: 1, ScalarType.Float32))
            start.Save(work.PathOf("model"));
        var settings = new LoraConfig { Rank = 2 };
        AssertNothingIsKept(30, _ =>
        {
            using var opened = Pretrained.Open(work.PathOf("model"), ScalarType.BFloat16);
            using (var lora = Lora.Start(opened.Model.Parts, settings, seed: 1))
            {
                PeftFolder.Save(work.PathOf("adapter"), lora, "model");
            }

            using (var lora = PeftFolder.Open(work.PathOf("adapter"), opened.Model.Parts))
            {
                lora.Merge();
                lora.Unmerge();
                lora.Merge();
            }

            opened.Save(work.PathOf("again"));
            Directory.Delete(work.PathOf("again"), recursive: true);
        });
    }

    [Theory]
    [InlineData("llama", "full")]
    [InlineData("llama", "lora")]
    [Trait("speed", "slow")]
    public void Two_thousand_steps_take_no_more_memory_than_five_hundred(string name, string method)
    {
        using var training = new Loop(name, method);
        for (int step = 0; step < 500; step++)
            training.Step(step);
        Collect();
        long tensors = Tensor.TotalCount;
        long memory = ResidentMemory();
        for (int step = 500; step < 2000; step++)
            training.Step(step);
        Assert.Equal(tensors, Tensor.TotalCount);
        long grown = ResidentMemory() - memory;
        Assert.True(grown < MemoryTolerance, $"{grown >> 10:N0} KB more");
    }

    private static void AssertNothingIsKept(int times, Action<int> action)
    {
        for (int step = 0; step < Few; step++)
            action(step);
        // What earlier tests left to the finalizer goes now; from here on nothing may wait for it.
        Collect();
        long before = Tensor.TotalCount;
        for (int step = Few; step < times; step++)
            action(step);
        Assert.Equal(before, Tensor.TotalCount);
    }

    private static void Collect()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
    }

    private static long ResidentMemory()
    {
        Collect();
        using var process = Process.GetCurrentProcess();
        return process.WorkingSet64;
    }

    /// <summary>A training over batches of changing sizes, two micro-batches a step, dropout on.</summary>
    private sealed class Loop : IDisposable
    {
        private readonly CausalModel _model;
        private readonly Adapter? _adapter;
        private readonly Trainer _trainer;

        public Loop(string name, string method)
        {
            _model = TinyModel.Start(name);
            var settings = new LoraConfig { Rank = 2, Dropout = 0.1, Targets = method == "lora with head" ? ["all-linear", "lm_head"] : ["all-linear"] };
            _adapter = method switch
            {
                "full" => null,
                "lora" or "lora with head" => Lora.Start(_model.Parts, settings, seed: 1),
                _ => AdapterConformanceTests.Start(_model, method),
            };
            var trainables = (_adapter?.Weights ?? _model.Parts.Weights).Select(weight => Trainable.Of(weight.Key, weight.Value)).ToList();
            foreach (var trainable in trainables)
                trainable.Tensor.requires_grad = true;
            _trainer = new Trainer(_model, trainables, new TrainingConfig(), new LearningRate(1e-4, Schedule.Constant, 0, 2000));
        }

        public void Step(int step)
        {
            _adapter?.DropFor((ulong)step);
            _trainer.TakeStep([BatchOf(2, 3 + step % 5), BatchOf(1, 4 + step % 3)]);
            BatchLoss.Mean(_model, [Learnt(5 + step % 4, 3)], batchTokens: 64);
        }

        public void Dispose()
        {
            _trainer.Dispose();
            _adapter?.Dispose();
            _model.Dispose();
        }

        private static Batch BatchOf(int rows, int length) => Batch.Of([.. Enumerable.Range(0, rows).Select(row => Learnt(length + row, (ulong)row))]);

        private static Example Learnt(int length, ulong seed)
        {
            int[] ids = TinyModel.Tokens(length, seed);
            return new Example(ids, [.. ids.Select((_, place) => place > 0)], "row");
        }
    }
}
