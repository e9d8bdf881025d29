using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Checkpoints;

/// <summary>
/// Tensors whose memory is that of a mapped file. TorchSharp has torch's from_blob for managed arrays only, so its native function is
/// called directly: <see href="https://github.com/dotnet/TorchSharp/blob/main/src/Native/LibTorchSharp/THSTensorFactories.cpp"/>.
/// </summary>
internal static unsafe partial class MappedTensor
{
    private static readonly Lock Gate = new();

    // By the address of the first element: all that torch says when a tensor is gone.
    private static readonly Dictionary<nint, (SafeHandle Mapping, int Count)> Held = [];

    /// <summary>A tensor over <paramref name="data"/>, owned by the caller; <paramref name="mapping"/> stays until it is disposed.</summary>
    public static Tensor Create(SafeHandle mapping, byte* data, ReadOnlySpan<long> shape, torch.ScalarType type)
    {
        _ = get_num_threads(); // loads the engine
        Hold(mapping, (nint)data);
        nint tensor;
        fixed (long* sizes = shape)
            tensor = FromMemory(data, &Release, sizes, shape.Length, (sbyte)type, (sbyte)type, deviceType: 0, deviceIndex: 0, requiresGradient: 0);
        if (tensor == 0)
            CheckForErrors();
        return Tensor.UnsafeCreateTensor(tensor).DetachFromDisposeScope();
    }

    private static void Hold(SafeHandle mapping, nint data)
    {
        bool isHeld = false;
        mapping.DangerousAddRef(ref isHeld);
        lock (Gate)
            Held[data] = (mapping, Held.GetValueOrDefault(data).Count + 1);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Release(void* data)
    {
        SafeHandle mapping;
        lock (Gate)
        {
            (mapping, int count) = Held[(nint)data];
            if (count == 1)
                Held.Remove((nint)data);
            else
                Held[(nint)data] = (mapping, count - 1);
        }

        mapping.DangerousRelease();
    }

    [LibraryImport("LibTorchSharp", EntryPoint = "THSTensor_new")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    private static partial nint FromMemory(
        void* data, delegate* unmanaged[Cdecl]<void*, void> release, long* sizes, int dimensions, sbyte type, sbyte asType, int deviceType, int deviceIndex, byte requiresGradient);
}
