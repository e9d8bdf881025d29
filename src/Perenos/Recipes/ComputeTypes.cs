using Perenos.Kernels;
using Perenos.Runs;
using TorchSharp;

namespace Perenos.Recipes;

/// <summary>The type to compute in, as the user or the measurement says.</summary>
public static class ComputeTypes
{
    /// <summary>The word for a type that was chosen.</summary>
    internal static string NameOf(torch.ScalarType type) => type == torch.ScalarType.BFloat16 ? "bfloat16" : "float32";

    /// <summary><c>auto</c> measures; <c>float32</c> and <c>bfloat16</c> decide.</summary>
    /// <exception cref="PerenosException">Another word.</exception>
    public static ComputeTypeChoice Choose(string dtype)
    {
        var measured = ComputeType.Measure();
        return dtype switch
        {
            "auto" => measured,
            "float32" => measured with { Type = torch.ScalarType.Float32, Reason = "asked for" },
            "bfloat16" => measured with { Type = torch.ScalarType.BFloat16, Reason = "asked for" },
            _ => throw new PerenosException($"dtype = \"{dtype}\" is not known.", "Use auto (measured), float32 or bfloat16."),
        };
    }
}
