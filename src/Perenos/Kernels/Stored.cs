using System.Runtime.CompilerServices;

namespace Perenos.Kernels;

/// <summary>
/// How a kernel reads and writes memory of either type: <c>float</c>, or <c>ushort</c> for bfloat16. The type test is decided when
/// the kernel is compiled, so one source serves both.
/// </summary>
internal static unsafe class Stored
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static TFloats Load<TStored, TFloats>(TStored* source)
        where TStored : unmanaged
        where TFloats : struct, IFloats<TFloats> =>
        typeof(TStored) == typeof(ushort) ? TFloats.LoadBFloat16((ushort*)source) : TFloats.Load((float*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void Save<TStored, TFloats>(TFloats value, TStored* target)
        where TStored : unmanaged
        where TFloats : struct, IFloats<TFloats>
    {
        if (typeof(TStored) == typeof(ushort))
            value.StoreBFloat16((ushort*)target);
        else
            value.Store((float*)target);
    }
}
