using static TorchSharp.torch;

namespace Perenos.Training;

/// <summary>LoRA+: B learns faster than A (Hayou et al. 2024, https://arxiv.org/abs/2402.12354); groups as in PEFT's optimizer.</summary>
public static class LoraPlus
{
    /// <summary>The tensor of an adapter with its rate: B and tensors of one axis at <paramref name="ratio"/> times A's; those of one axis do not decay.</summary>
    public static Trainable Of(string name, Tensor tensor, bool isNorm, double ratio)
    {
        var plain = Trainable.Of(name, tensor, isNorm);
        if (ratio == 1)
            return plain;
        bool isLine = tensor.dim() == 1;
        bool isSecond = name.Contains("lora_B", StringComparison.Ordinal) || name.Contains("lora_embedding_B", StringComparison.Ordinal);
        return plain with { RateFactor = isSecond || isLine ? ratio : 1, Decays = plain.Decays && !isLine };
    }
}
