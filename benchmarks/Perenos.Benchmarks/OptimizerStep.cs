using System.Diagnostics;
using Perenos.Kernels;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace Perenos.Benchmarks;

/// <summary>One AdamW step over GPT-2's 124 million weights: the fused pass against TorchSharp's, and with the pull of elastic weight consolidation behind it.</summary>
internal static class OptimizerStep
{
    private const int WarmUpSteps = 2;

    // Of the optimizer's own time and of a weight's memory: what the pull may cost.
    private const double MostTime = 0.6, MostBytes = 4;

    internal static int Run(Options options)
    {
        int steps = options.Number("steps", 7);
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        var shapes = Shapes(options.Number("layers", 12)).ToList();
        List<Parameter> parameters = [.. shapes.Select(shape => nn.Parameter(full(shape, 0.1)))];
        foreach (var parameter in parameters)
            parameter.grad = full_like(parameter, 0.01);
        var theirs = optim.AdamW(parameters, 1e-4, weight_decay: 0.01);
        var slots = parameters.Select(parameter => (Weight: parameter.detach().clone(), First: zeros_like(parameter), Second: zeros_like(parameter),
            Gradient: parameter.grad!, Copy: parameter.to(ScalarType.BFloat16), HalfGradient: parameter.grad!.to(ScalarType.BFloat16),
            Importance: full_like(parameter, 1e-6).to(ScalarType.BFloat16), Anchor: parameter.to(ScalarType.BFloat16))).ToList();
        long count = 0;
        AdamWStep Settings() => new(1e-4, 0.9, 0.999, 1e-8, 0.01, ++count, 1);
        void Fused()
        {
            var settings = Settings();
            foreach (var slot in slots)
                FusedAdamW.Step(slot.Weight, slot.Gradient, slot.First, slot.Second, settings);
        }

        void FusedPulled()
        {
            var settings = Settings();
            foreach (var slot in slots)
            {
                FusedAdamW.Step(slot.Weight, slot.Gradient, slot.First, slot.Second, settings);
                AnchorPull.Step(slot.Weight, null, slot.Importance, slot.Anchor, strength: 10, roundingSeed: 0);
            }
        }

        void FusedMixed()
        {
            var settings = Settings();
            foreach (var slot in slots)
                FusedAdamW.Step(slot.Weight, slot.HalfGradient, slot.First, slot.Second, settings, slot.Copy);
        }

        (string Name, Action Step, List<double> Times)[] variants =
        [
            ("TorchSharp AdamW, float32", () => theirs.step(), []),
            ("FusedAdamW, float32", Fused, []),
            ("FusedAdamW, float32, and elastic weight consolidation", FusedPulled, []),
            ("FusedAdamW, bfloat16 gradients and weights beside a float32 master", FusedMixed, []),
        ];
        for (int step = 0; step < WarmUpSteps + steps; step++)
        {
            foreach (var (_, take, times) in variants)
            {
                var watch = Stopwatch.StartNew();
                take();
                if (step >= WarmUpSteps)
                    times.Add(watch.Elapsed.TotalMilliseconds);
            }
        }

        var result = new Result("optimizer");
        result.Fact($"{parameters.Sum(parameter => parameter.numel()) / 1e6:F1} million weights in {parameters.Count} tensors, {steps} steps each, in turn");
        double naive = Result.Median(variants[0].Times);
        result.Table(["", "ms (median)", "least", "times as fast"], variants.Select(variant => (IReadOnlyList<string>)
            [variant.Name, $"{Result.Median(variant.Times):F0}", $"{variant.Times.Min():F0}", $"{naive / Result.Median(variant.Times):F1}"]));
        result.Bar("the fused step is at least as fast", Result.Median(variants[1].Times) <= naive);
        // The least of each: a neighbour on the machine only adds.
        double added = variants[2].Times.Min() / variants[1].Times.Min() - 1;
        double bytes = slots.Sum(slot => slot.Importance.numel() * slot.Importance.element_size() + slot.Anchor.numel() * slot.Anchor.element_size()) / (double)parameters.Sum(parameter => parameter.numel());
        result.Bar($"elastic weight consolidation adds at most {MostTime:P0} to the optimizer's time (measured {added:P0}) and {MostBytes} bytes a weight ({bytes:F0})", added <= MostTime && bytes <= MostBytes);
        return result.Finish(options);
    }

    private static IEnumerable<long[]> Shapes(int layers)
    {
        const long Width = 768;
        yield return [50257, Width];
        yield return [1024, Width];
        for (int layer = 0; layer < layers; layer++)
        {
            foreach (long[] shape in (long[][])[[Width, 3 * Width], [3 * Width], [Width, Width], [Width], [Width, 4 * Width], [4 * Width], [4 * Width, Width], [Width], [Width], [Width], [Width], [Width]])
                yield return shape;
        }

        yield return [Width];
        yield return [Width];
    }
}
