using System.Diagnostics;
using Perenos.Adapters;
using Perenos.Models;
using Perenos.Runs.Config;
using Perenos.Training;
using static TorchSharp.torch;

namespace Perenos.Benchmarks;

/// <summary>
/// One variant of a training step in a process of its own, so that its peak memory is nobody else's. Takes a step for every line
/// it reads and answers with milliseconds, loss and peak memory.
/// </summary>
internal static class TrainingStepWorker
{
    internal const string Name = "training-step-worker";
    private const ulong RandomSeed = 7;

    private static readonly LoraConfig LoraSettings = new();

    internal static int Run(Options options)
    {
        var shape = Shape.Named(options.Text("shape", ""));
        var type = Enum.Parse<ScalarType>(options.Text("type", ""));
        bool isLora = options.Text("method", "") == "lora";
        var step = options.Text("variant", "") == "naive" ? NaiveStep(shape, isLora, type) : OurStep(shape, isLora, type, SettingsOf(options.Text("variant", "")));
        Console.WriteLine("ready");
        while (Console.ReadLine() is not null)
        {
            var watch = Stopwatch.StartNew();
            double loss = step();
            Console.WriteLine(FormattableString.Invariant($"{watch.Elapsed.TotalMilliseconds} {loss} {Machine.Memory("VmHWM")}"));
        }

        return 0;
    }

    internal static int? Rank(bool isLora) => isLora ? LoraSettings.Rank : null;

    private static double Rate(bool isLora) => isLora ? LoraSettings.DefaultLearningRate : new FullConfig().DefaultLearningRate;

    private static TrainingConfig SettingsOf(string variant) => variant switch
    {
        "ours" => new TrainingConfig(),
        "unclipped" => new TrainingConfig { GradientClip = 0 },
        "recompute" => new TrainingConfig { GradientClip = 0, Recompute = true },
        "in backward" => new TrainingConfig { GradientClip = 0, OptimizerInBackward = true },
        _ => throw new ArgumentException($"There is no variant {variant}."),
    };

    private static Func<double> OurStep(Shape shape, bool isLora, ScalarType type, TrainingConfig settings)
    {
        var trainer = OurTrainer(shape, isLora, type, settings);
        var batch = shape.RandomBatch(RandomSeed);
        return () => trainer.TakeStep([batch]).Loss;
    }

    internal static Trainer OurTrainer(Shape shape, bool isLora, ScalarType type, TrainingConfig settings)
    {
        var model = ModelCatalogue.Start(shape.Configuration(), shape.Name, RandomSeed, type);
        var parts = model.Parts;
        List<Trainable> trainables = isLora
            ? [.. Lora.Start(parts, LoraSettings, RandomSeed).Weights.Select(weight => Trainable.Of(weight.Key, weight.Value))]
            : [.. parts.Weights.Select(weight => Trainable.Of(weight.Key, weight.Value, parts.NormWeights.Contains(weight.Key)))];
        foreach (var trainable in trainables)
            trainable.Tensor.requires_grad = true;
        return new Trainer(model, trainables, settings, new LearningRate(Rate(isLora), Schedule.Constant, 0, 1), objective: settings.Recompute ? Recomputation.Of(model) : null);
    }

    private static Func<double> NaiveStep(Shape shape, bool isLora, ScalarType type)
    {
        var (settings, adamW) = (new TrainingConfig(), new AdamWConfig());
        var model = new NaiveLlama(shape, Rank(isLora), LoraSettings.Alpha / LoraSettings.Rank, type, RandomSeed);
        var trained = model.parameters().Where(parameter => parameter.requires_grad).ToList();
        var optimizer = optim.AdamW(trained, Rate(isLora), adamW.Beta1, adamW.Beta2, adamW.Epsilon, settings.WeightDecay);
        var batch = shape.RandomBatch(RandomSeed);
        return () =>
        {
            using var scope = NewDisposeScope();
            var tokens = tensor(batch.Tokens, [batch.Rows, batch.Width]);
            var labels = tensor(batch.Targets);
            optimizer.zero_grad();
            var logits = model.call(tokens).to(ScalarType.Float32);
            var loss = nn.functional.cross_entropy(logits.view(-1, shape.Vocabulary), labels);
            loss.backward();
            nn.utils.clip_grad_norm_(trained, settings.GradientClip);
            optimizer.step();
            return loss.item<float>();
        };
    }
}
