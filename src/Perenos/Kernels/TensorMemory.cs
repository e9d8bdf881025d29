using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Kernels;

/// <summary>The memory of a contiguous tensor on the CPU, as kernels see it.</summary>
internal static unsafe class TensorMemory
{
    /// <summary>Whether a kernel may read or write this tensor's memory as it lies.</summary>
    internal static bool IsPlain(Tensor tensor, ScalarType type) =>
        tensor.dtype == type && tensor.device_type == DeviceType.CPU && tensor.is_contiguous();

    /// <summary>The first element. The caller keeps the tensor alive while it uses the address.</summary>
    internal static void* Address(Tensor tensor)
    {
        // Tensor.bytes is a span and ends at 2 GB: take the first element's, the rest lies behind it.
        if (tensor.NumberOfElements * tensor.ElementSize <= int.MaxValue)
            return Unsafe.AsPointer(ref MemoryMarshal.GetReference(tensor.bytes));
        using var flat = tensor.detach();
        using var line = flat.view(-1);
        using var first = line.narrow(0, 0, 1);
        return Unsafe.AsPointer(ref MemoryMarshal.GetReference(first.bytes));
    }
}
