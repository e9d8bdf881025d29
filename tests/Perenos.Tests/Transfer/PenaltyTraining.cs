using Perenos.Models;
using Perenos.Text.Data;
using Perenos.Training;
using static TorchSharp.torch;

namespace Perenos.Tests.Transfer;

/// <summary>What the tests of all penalties train on, and how they compare.</summary>
internal static class PenaltyTraining
{
    /// <summary>An importance of 1e-3 to 1 for every weight.</summary>
    public static Dictionary<string, Tensor> Importance(CausalModel model)
    {
        using var generator = new Generator(5);
        return model.Parts.Weights.ToDictionary(weight => weight.Key, weight => rand(weight.Value.shape, generator: generator).Increase(1e-3));
    }

    /// <summary>So many steps on one batch; what the last one did.</summary>
    public static StepReport TakeSteps(Trainer trainer, int steps)
    {
        int[] ids = TinyModel.Tokens(12, seed: 3);
        var batch = Batch.Of([new Example(ids, [.. ids.Select((_, place) => place > 0)], "row")]);
        StepReport last = default;
        for (int step = 0; step < steps; step++)
            last = trainer.TakeStep([batch]);
        return last;
    }

    /// <summary>What learns, bit for bit.</summary>
    public static List<string> Bits(IEnumerable<Trainable> trainables) =>
        [.. trainables.Select(trainable => Convert.ToHexString(trainable.Tensor.detach().contiguous().bytes))];
}
