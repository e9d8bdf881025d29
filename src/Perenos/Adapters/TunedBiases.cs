using Perenos.Layers;
using Perenos.Runs;
using Perenos.Runs.Config;

namespace Perenos.Adapters;

/// <summary>
/// Training the biases (Ben Zaken et al. 2021, https://arxiv.org/abs/2106.10199). PEFT knows it as an option of LoRA:
/// <c>bias</c> is <c>all</c> or <c>lora_only</c>.
/// </summary>
public static class TunedBiases
{
    /// <summary>
    /// All biases learn, and nothing else. On disk it is a LoRA of rank 1 on one layer with an update of 0, the form in which PEFT opens it.
    /// </summary>
    /// <exception cref="PerenosException">The model has no biases.</exception>
    public static Adapter Start(ModelParts parts, BiasConfig settings, ulong seed)
    {
        if (!parts.Weights.Keys.Any(IsBias))
            throw new PerenosException("This model has no biases to train.", "Use method norm, or lora.");
        return PeftMethods.Start(Lora.Describe(parts, new LoraConfig { Rank = 1, Alpha = 1, Targets = [parts.Projections[0].Path], Bias = LoraBias.All }), parts, seed, trains: name => !IsUpdate(name));
    }

    internal static void Place(PeftConfig config, AdapterWeights weights, ModelParts parts, List<AdapterPart> pieces)
    {
        string which = config.Text("bias") ?? "none";
        if (which == "none")
            return;
        if (which is not ("all" or "lora_only"))
            throw config.NotImplemented("bias");
        var adapted = pieces.OfType<ProjectionPart>().Where(part => part.Update is LoraUpdate or DoraUpdate).Select(part => part.Path).ToHashSet();
        foreach (var (name, tensor) in parts.Weights.Where(weight => IsBias(weight.Key)))
        {
            int dot = name.LastIndexOf('.');
            var (path, leaf) = (name[..dot], name[(dot + 1)..]);
            bool isAdapted = adapted.Contains(path);
            if (which == "lora_only" && !isAdapted)
                continue;
            string onDisk = isAdapted ? $"base_layer.{leaf}" : leaf;
            var value = weights.Take(path, onDisk, tensor.shape, tensor, _ => tensor, tensor.dtype);
            pieces.Add(new ExchangedWeight(path, PeftNames.OnDisk(path, onDisk), tensor, value, isNorm: false));
        }
    }

    private static bool IsBias(string name) => name.Contains("bias", StringComparison.Ordinal);

    private static bool IsUpdate(string name) => name.Contains(".lora_", StringComparison.Ordinal);
}
