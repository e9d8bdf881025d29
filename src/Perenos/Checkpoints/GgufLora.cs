using Perenos.Runs;

namespace Perenos.Checkpoints;

/// <summary>One layer's update in a GGUF adapter, under the layer's Hugging Face name.</summary>
/// <param name="Module">The layer, such as <c>model.layers.0.self_attn.q_proj</c>.</param>
/// <param name="Down">Name of A [rank, inputs] in the file.</param>
/// <param name="Up">Name of B [outputs, rank] in the file.</param>
/// <param name="Rank">The rank.</param>
/// <param name="Change">What makes Hugging Face's rows of B from llama.cpp's.</param>
internal sealed record GgufLoraLayer(string Module, string Down, string Up, int Rank, GgufChange Change);

/// <summary>
/// LoRA adapters as llama.cpp keeps them: <c>general.type = adapter</c>, <c>adapter.lora.alpha</c>, and for each layer
/// <c>NAME.weight.lora_a</c> and <c>.lora_b</c>; the update counts alpha / rank times, rank being read from the shape.
/// </summary>
internal static class GgufLora
{
    private const string DownSuffix = ".lora_a", UpSuffix = ".lora_b";

    public static string DownName(string tensor) => tensor + DownSuffix;

    public static string UpName(string tensor) => tensor + UpSuffix;

    /// <summary>Alpha and the layers of a file.</summary>
    /// <exception cref="PerenosException">It is no LoRA, or holds something that is none.</exception>
    public static (double Alpha, IReadOnlyList<GgufLoraLayer> Layers) Read(GgufFile file)
    {
        if (file.Text("general.type") != "adapter" || file.Text("adapter.type") != "lora")
            throw new PerenosException($"{file.Location} is no LoRA adapter.", "Give the GGUF file of an adapter; a model is converted without --adapter.");
        if (file.Metadata.ContainsKey("adapter.alora.invocation_tokens"))
            throw new PerenosException($"{file.Location} is an activated LoRA (adapter.alora.invocation_tokens), which is not implemented.", "Convert it with the program that made it.");
        double alpha = file.Number("adapter.lora.alpha") ?? throw Refusal.Malformed(file.Location, "it lacks adapter.lora.alpha");
        var layout = GgufLayout.Of(file.Architecture, file.Location);
        var layers = new List<GgufLoraLayer>();
        foreach (var (name, down) in file.Tensors.Where(tensor => tensor.Key.EndsWith(DownSuffix, StringComparison.Ordinal)))
        {
            string tensor = name[..^DownSuffix.Length];
            if (layout.Translate(tensor) is not { } place || !tensor.EndsWith(".weight", StringComparison.Ordinal) || tensor == "token_embd.weight")
                throw Refusal.Malformed(file.Location, $"{Refusal.Quote(tensor)} is no layer of {file.Architecture} that a LoRA can sit at");
            if (!file.Tensors.TryGetValue(UpName(tensor), out var up) || down.Shape is not [var rank, _] || up.Shape is not [_, var same] || rank != same || rank is < 1 or > 1 << 16)
                throw Refusal.Malformed(file.Location, $"{Refusal.Quote(name)} and {Refusal.Quote(UpName(tensor))} are not the two halves of an update");
            layers.Add(new GgufLoraLayer(place.Name[..^".weight".Length], name, UpName(tensor), (int)rank, place.Change));
        }

        var surplus = file.Tensors.Keys.Except(layers.SelectMany(layer => new[] { layer.Down, layer.Up })).ToList();
        return surplus.Count == 0 && layers.Count > 0
            ? (alpha, layers)
            : throw Refusal.Malformed(file.Location, layers.Count == 0 ? "it holds no update" : $"{Refusal.Quote(surplus[0])} is no part of an update");
    }
}
