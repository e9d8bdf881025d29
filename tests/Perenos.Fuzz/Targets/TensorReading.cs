using Perenos.Checkpoints;
using static TorchSharp.torch;

namespace Perenos.Fuzz.Targets;

/// <summary>Reads all that a checkpoint holds.</summary>
internal static class TensorReading
{
    private const int MostTensors = 100;

    /// <summary>The bytes of the largest tensor. Each is read as it is and converted.</summary>
    public static long All(ITensorSource source)
    {
        long largest = 0;
        foreach (string name in source.Tensors.Keys.Take(MostTensors))
        {
            using var scope = NewDisposeScope();
            var tensor = source.Read(name);
            var converted = source.Read(name, ScalarType.Float16);
            largest = Math.Max(largest, tensor.numel() * tensor.ElementSize);
            scope.Attach(tensor);
            scope.Attach(converted);
        }

        return largest;
    }
}
