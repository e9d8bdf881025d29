using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Perenos.Kernels;

/// <summary>
/// How many compiled kernels the engine keeps, one for every shape of a product. With its own limit of 1,024 the ever-changing lengths of
/// batches let 60 steps of the embedded model grow from 0.6 GB to 0.9 GB, and 280 steps to 1.4 GB; a step needs some dozens.
/// (oneDNN's ONEDNN_PRIMITIVE_CACHE_CAPACITY and libtorch's LRU_CACHE_CAPACITY; a user's own setting stands.)
/// </summary>
internal static unsafe class PrimitiveCache
{
    private const string Kept = "64";

    // The engine reads both once, when it is loaded or first used.
#pragma warning disable CA2255 // For applications: but no later moment is early enough for those who use the library.
    [ModuleInitializer]
#pragma warning restore CA2255
    internal static void Limit()
    {
        // .NET keeps variables of its own: native code sees what the C library was told.
        if (OperatingSystem.IsWindows() || !NativeLibrary.TryGetExport(NativeLibrary.GetMainProgramHandle(), "setenv", out nint entry))
            return;
        var set = (delegate* unmanaged[Cdecl]<byte*, byte*, int, int>)entry;
        foreach (string name in new[] { "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY" })
        {
            byte* key = (byte*)Marshal.StringToCoTaskMemUTF8(name), value = (byte*)Marshal.StringToCoTaskMemUTF8(Kept);
            _ = set(key, value, 0);
            Marshal.FreeCoTaskMem((nint)key);
            Marshal.FreeCoTaskMem((nint)value);
        }
    }
}
