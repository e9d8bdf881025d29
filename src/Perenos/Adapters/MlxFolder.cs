using System.Text.Json.Nodes;
using Perenos.Checkpoints;
using Perenos.Layers;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>
/// An adapter as mlx-lm keeps it: an <c>adapter_config.json</c> of its own kind and <c>adapters.safetensors</c>, whose matrices lie
/// transposed and whose <c>scale</c> is absolute (https://github.com/ml-explore/mlx-lm, tuner/lora.py and tuner/dora.py).
/// </summary>
internal static class MlxFolder
{
    private const string WeightsName = "adapters.safetensors";

    /// <summary>Whether a configuration is of this kind.</summary>
    public static bool IsOne(PeftConfig config) => config.Json["peft_type"] is null && (config.Json["fine_tune_type"] is not null || config.Json["lora_parameters"] is not null);

    public static Adapter Open(string folder, PeftConfig config, ModelParts parts)
    {
        string kind = config.Text("fine_tune_type") ?? "lora";
        if (kind is not ("lora" or "dora"))
            throw new PerenosException($"{config.Location}: fine_tune_type = \"{kind}\" is no adapter.", "Its weights are those of a whole model: fuse it with mlx-lm and open the result.");
        if (config.Json["lora_parameters"] is not JsonObject settings)
            throw config.Wrong("lora_parameters", "a section with rank and scale");
        var parameters = new PeftConfig(settings, $"{config.Location}: lora_parameters");
        int rank = parameters.Size("rank");
        double alpha = (parameters.Number("scale") ?? 20) * rank;
        if (!double.IsFinite(alpha))
            throw parameters.Wrong("scale", "a number of sane size");
        using var scope = NewDisposeScope();
        using var file = SafetensorsFile.Open(Path.Combine(folder, WeightsName));
        var tensors = file.Tensors.Keys.ToDictionary(name => NameOf(name, parts, file.Location), name =>
        {
            var tensor = file.Read(name, ScalarType.Float32);
            scope.Attach(tensor);
            WeightCheck.RefuseNotFinite($"{file.Location}: {name}", tensor);
            return tensor.dim() == 2 ? tensor.t().contiguous() : tensor;
        });
        var peft = new JsonObject
        {
            ["bias"] = "none",
            ["fan_in_fan_out"] = false,
            ["init_lora_weights"] = true,
            ["lora_alpha"] = PeftNumber.Of(alpha),
            ["lora_dropout"] = parameters.Number("dropout") ?? 0,
            ["peft_type"] = Lora.Method,
            ["r"] = rank,
            ["target_modules"] = new JsonArray([.. PeftNames.Shortest(file.Tensors.Keys.Select(PathOf).ToHashSet(), parts).Select(name => (JsonNode)name)]),
            ["task_type"] = "CAUSAL_LM",
            ["use_dora"] = kind == "dora",
            ["use_rslora"] = false,
        };
        return PeftMethods.Build(PeftConfig.Made(peft, config.Location), new GivenWeights(tensors, file.Location), parts);
    }

    private static string PathOf(string name) => name[..Math.Max(0, name.LastIndexOf('.'))];

    private static string NameOf(string name, ModelParts parts, string location)
    {
        string path = PathOf(name);
        bool isTable = parts.Embeddings.Any(embedding => embedding.Path == path);
        string? leaf = (name[(name.LastIndexOf('.') + 1)..], isTable) switch
        {
            ("lora_a", false) => "lora_A.weight",
            ("lora_b", false) => "lora_B.weight",
            ("m", false) => "lora_magnitude_vector",
            ("lora_a", true) => "lora_embedding_A",
            ("lora_b", true) => "lora_embedding_B",
            _ => null,
        };
        return leaf is null
            ? throw new PerenosException($"{location}: {Refusal.Quote(name)} is no part of a LoRA that is known here.", "Known are lora_a and lora_b of linear layers and embeddings, and m of linear layers (DoRA).")
            : PeftNames.OnDisk(path, leaf);
    }
}
