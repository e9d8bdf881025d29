using static TorchSharp.torch;

namespace Perenos.Layers;

/// <summary>silu(gate) · up, the middle of a SwiGLU block (Shazeer 2020, https://arxiv.org/abs/2002.05202).</summary>
internal static class SiluGate
{
    // Fused in float32 only: in bfloat16 libtorch's own two operations are faster.
    public static Tensor Apply(Tensor gate, Tensor up) =>
        gate.dtype == ScalarType.Float32 ? Kernels.GatedActivation.Apply(gate, up) : Kernels.GatedActivation.ApplyWithTorch(gate, up);
}
