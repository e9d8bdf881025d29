using System.Runtime.InteropServices;
using Perenos.Runs;

namespace Perenos.Recipes;

/// <summary>Recognises that memory ran out, in managed or in native code.</summary>
public static class OutOfMemory
{
    /// <summary>True if memory ran out. libtorch says so in words only.</summary>
    public static bool Caused(Exception problem) => problem is OutOfMemoryException
        || (problem is ExternalException
            && (problem.Message.Contains("not enough memory", StringComparison.OrdinalIgnoreCase)
                || problem.Message.Contains("out of memory", StringComparison.OrdinalIgnoreCase)));

    /// <summary>The same as a mistake with a way out.</summary>
    public static PerenosException Explain(Exception problem) => new(
        "The memory does not suffice.",
        "Lower training.micro_batch_size or data.maximum_length; what was saved so far is kept (tune --resume).",
        problem);
}
