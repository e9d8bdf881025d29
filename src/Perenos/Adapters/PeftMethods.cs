using System.Text.Json.Nodes;
using Perenos.Layers;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>The methods by PEFT's names. Starting and opening are one road: a configuration places pieces, numbers come from a seed or a file.</summary>
internal static class PeftMethods
{
    private delegate UpdateDropout? Placing(PeftConfig config, AdapterWeights weights, ModelParts parts, List<AdapterPart> pieces);

    private static readonly Dictionary<string, Placing> Known = new()
    {
        [Lora.Method] = Lora.Place,
        [Ia3.Method] = Ia3.Place,
        [PromptTuning.Method] = PromptTuning.Place,
        [PrefixTuning.Method] = PrefixTuning.Place,
        [PTuning.Method] = PTuning.Place,
        [TunedNorms.Method] = TunedNorms.Place,
        [TokenRows.Method] = TokenRows.Place,
        [AdaLora.Method] = AdaLora.Place,
        [Vera.Method] = Vera.Place,
        [LoHa.Method] = LoHa.Place,
        [LoKr.Method] = LoKr.Place,
        [Oft.Method] = Oft.Place,
    };

    /// <summary>A fresh adapter, attached.</summary>
    /// <param name="config">As PEFT would write it.</param>
    /// <param name="parts">The model's parts.</param>
    /// <param name="seed">Seed of what starts at random.</param>
    /// <param name="start">What the one tensor of virtual tokens starts as, instead.</param>
    /// <param name="trains">Which of the weights learn; all by default.</param>
    public static Adapter Start(JsonObject config, ModelParts parts, ulong seed, Tensor? start = null, Func<string, bool>? trains = null) =>
        Build(PeftConfig.Made(config, "method"), new FreshWeights(seed, start), parts, trains);

    /// <summary>Places the pieces and attaches them, all or nothing: a model with half an adapter would be neither the base nor the adapted one.</summary>
    public static Adapter Build(PeftConfig config, AdapterWeights weights, ModelParts parts, Func<string, bool>? trains = null)
    {
        if (!Known.TryGetValue(config.Method, out var place))
        {
            string? nearest = NearestName.Of(config.Method, Known.Keys);
            throw new PerenosException(
                $"{config.Location}: peft_type = \"{config.Method}\" is not implemented.",
                $"{(nearest is null ? "" : $"Nearest: {nearest}. ")}Implemented: {string.Join(", ", Known.Keys)}.");
        }

        List<AdapterPart> pieces = [];
        using var scope = NewDisposeScope();
        try
        {
            var dropout = place(config, weights, parts, pieces);
            weights.RefuseMisfits(parts);
            return new Adapter(config.Json, pieces, dropout, trains);
        }
        catch
        {
            pieces.ForEach(piece => piece.Dispose());
            throw;
        }
    }
}
