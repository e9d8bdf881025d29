using Perenos.Kernels;
using static TorchSharp.torch;

namespace Perenos.Benchmarks;

/// <summary>
/// A training step of SmolLM2-135M's shape, ours against TorchSharp alone: time, peak memory, share of the machine's rate. Both
/// start from the same weights and must report the same first loss; they take their steps in turn.
/// </summary>
internal static class TrainingStep
{
    private const int WarmUpSteps = 2;
    private const double MostMemoryShare = 0.8;

    internal static int Run(Options options)
    {
        var shape = Shape.Named(options.Text("shape", "smollm2-135m"));
        int steps = options.Number("steps", 7);
        var choice = ComputeType.Measure();
        string wanted = options.Text("dtype", choice.Type.ToString());
        var type = Enum.Parse<ScalarType>(wanted);
        double peak = Machine.ProductRate(type);
        var result = new Result("training-step");
        result.Fact($"shape: {shape.Name}, batch {shape.Rows} × {shape.Length} tokens, random weights; compute type {type} ({choice.Reason.TrimEnd('.')})");
        List<IReadOnlyList<string>> rows = [];
        List<(string Statement, bool IsMet)> bars = [];
        foreach (string method in options.Text("methods", "lora,full").Split(','))
        {
            var (naive, ours) = Compare(shape, method, type, steps);
            peak = Math.Max(peak, Machine.ProductRate(type));
            double operations = shape.StepOperations(TrainingStepWorker.Rank(method == "lora"));
            foreach (var variant in new[] { naive, ours })
            {
                double rate = operations / variant.Median / 1e6;
                rows.Add([$"{method}, {variant.Name}", $"{variant.Median:F0}", $"{variant.Least:F0}", $"{variant.PeakMemory / 1e6:F0}",
                    $"{shape.Rows * shape.Length / variant.Median * 1000:F0}", $"{rate:F0}", $"{rate / peak:P0}", $"{variant.FirstLoss:F4}", $"{variant.LastLoss:F4}"]);
            }

            double time = ours.Median / naive.Median, memory = (double)ours.PeakMemory / naive.PeakMemory;
            rows.Add([$"{method}, ratio", $"{time:F2}", $"{ours.Least / naive.Least:F2}", $"{memory:F2}", "", "", "", "", ""]);
            double tolerance = type == ScalarType.Float32 ? 1e-4 : 2e-2;
            bars.Add(($"{method}: the same loss for the same weights (within {tolerance})", Math.Abs(ours.FirstLoss - naive.FirstLoss) < tolerance));
            bars.Add(($"{method}: at least as fast", time <= 1));
            bars.Add(($"{method}: at most {MostMemoryShare:P0} of the memory", memory <= MostMemoryShare));
        }

        result.Fact($"rate of matrix multiplication in {type}, measured in this run: {peak:F0} GFLOP/s");
        result.Table(["", "ms/step (median)", "least", "peak MB", "tokens/s", "GFLOP/s", "of the rate", "first loss", "last loss"], rows);
        foreach (var (statement, isMet) in bars)
            result.Bar(statement, isMet);
        return result.Finish(options);
    }

    private static (TrainingStepVariant Naive, TrainingStepVariant Ours) Compare(Shape shape, string method, ScalarType type, int steps)
    {
        using var naive = new TrainingStepVariant("naive", shape, method, type);
        using var ours = new TrainingStepVariant("ours", shape, method, type);
        for (int step = 0; step < WarmUpSteps + steps; step++)
        {
            naive.TakeStep(isCounted: step >= WarmUpSteps);
            ours.TakeStep(isCounted: step >= WarmUpSteps);
        }

        return (naive, ours);
    }
}
