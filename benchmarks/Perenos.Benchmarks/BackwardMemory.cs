using Perenos.Kernels;
using static TorchSharp.torch;

namespace Perenos.Benchmarks;

/// <summary>Peak memory of full fine-tuning in three ways: plain, with layers computed again, and with updates on the way back; the weights go the same way in all.</summary>
internal static class BackwardMemory
{
    internal static int Run(Options options)
    {
        var shape = Shape.Named(options.Text("shape", "smollm2-135m"));
        int steps = options.Number("steps", 3);
        var type = Enum.Parse<ScalarType>(options.Text("dtype", ComputeType.Measure().Type.ToString()));
        var result = new Result("backward-memory");
        result.Fact($"shape: {shape.Name}, batch {shape.Rows} × {shape.Length} tokens, random weights, all learn by AdamW without clipping; compute type {type}");
        List<IReadOnlyList<string>> rows = [];
        List<(string Name, long Memory, double Loss)> seen = [];
        foreach (string name in new[] { "unclipped", "recompute", "in backward" })
        {
            using var variant = new TrainingStepVariant(name, shape, "full", type);
            for (int step = 0; step < steps; step++)
                variant.TakeStep(isCounted: true);
            seen.Add((name, variant.PeakMemory, variant.LastLoss));
            rows.Add([name, $"{variant.Median:F0}", $"{variant.PeakMemory / 1e6:F0}", $"{(double)variant.PeakMemory / seen[0].Memory:F2}", $"{variant.FirstLoss:F6}", $"{variant.LastLoss:F6}"]);
        }

        result.Table(["", "ms/step (median)", "peak MB", "ratio", "first loss", "last loss"], rows);
        result.Bar("less memory with updates on the way back than with recomputation alone", seen[2].Memory < seen[1].Memory);
        result.Bar("the same loss after all steps as with recomputation, bit for bit", seen[2].Loss == seen[1].Loss);
        return result.Finish(options);
    }
}
