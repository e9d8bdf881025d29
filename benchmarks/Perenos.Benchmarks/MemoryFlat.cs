using Perenos.Runs.Config;
using Perenos.Training;
using static TorchSharp.torch;

namespace Perenos.Benchmarks;

/// <summary>2,000 training steps of a tiny model with batches of changing shape: does anything grow?</summary>
internal static class MemoryFlat
{
    private const double MostGrowth = 1.05;

    internal static int Run(Options options)
    {
        int steps = options.Number("steps", 2000);
        int[] marks = [3, steps / 4, steps / 2, steps];
        var shape = Shape.Named("tiny");
        var result = new Result("memory-flat");
        result.Fact($"{steps} steps, batches of 1 to 8 rows of 16 to 64 tokens; resident memory includes the engine's code");
        List<IReadOnlyList<string>> rows = [];
        List<(string, bool)> bars = [];
        foreach (bool isLora in new[] { false, true })
        {
            using var trainer = TrainingStepWorker.OurTrainer(shape, isLora, ScalarType.Float32, new TrainingConfig());
            List<(long Memory, long Tensors)> seen = [];
            for (int step = 1; step <= steps; step++)
            {
                trainer.TakeStep([BatchOf(shape, step)]);
                if (marks.Contains(step))
                    seen.Add((Machine.Memory("VmRSS"), Tensor.TotalCount));
            }

            string method = isLora ? "lora" : "full";
            rows.Add([$"{method}: resident MB", .. seen.Select(mark => $"{mark.Memory / 1e6:F1}")]);
            rows.Add([$"{method}: live tensors", .. seen.Select(mark => $"{mark.Tensors}")]);
            bars.Add(($"{method}: no tensor more after step 3", seen.All(mark => mark.Tensors <= seen[0].Tensors)));
            bars.Add(($"{method}: from half way to the end resident memory grows by less than {MostGrowth - 1:P0}", seen[^1].Memory <= MostGrowth * seen[^2].Memory));
        }

        result.Table(["", .. marks.Select(mark => $"step {mark}")], rows);
        foreach (var (statement, isMet) in bars)
            result.Bar(statement, isMet);
        return result.Finish(options);
    }

    private static Batch BatchOf(Shape shape, int step)
    {
        ulong random = Runs.Seed.Of(1, "batch", (ulong)step);
        return (shape with { Rows = 1 + (int)(random % 8), Length = 16 + (int)(random / 8 % 49) }).RandomBatch(random);
    }
}
