using Perenos.Adapters;
using Perenos.Models;
using Perenos.Runs.Config;
using static TorchSharp.torch;

namespace Perenos.Tests.Transfer;

/// <summary>A LoRA that has moved from its start, so that the model with it is another than the model without.</summary>
internal static class RoughLora
{
    public static Adapter On(CausalModel model, string method)
    {
        var settings = new LoraConfig { Rank = 2, Targets = method == "lora with head" ? ["all-linear", "lm_head"] : ["all-linear"] };
        var lora = Lora.Start(model.Parts, settings, seed: 3);
        using var quiet = no_grad();
        using var generator = new Generator(4);
        foreach (var weight in lora.Weights.Values)
            weight.copy_(randn(weight.shape, generator: generator).Times(0.2));
        return lora;
    }
}
