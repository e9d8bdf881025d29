using System.Text.Json;
using System.Text.Json.Nodes;
using Perenos.Adapters;
using Perenos.Checkpoints;
using Perenos.Models;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Recipes;

/// <summary>
/// LoRA adapters between PEFT's folder and llama.cpp's GGUF file. Only a plain LoRA has a form in GGUF; everything else is refused, with
/// the advice to merge. llama.cpp's own converter passes over rank-stabilised scaling and alpha patterns; here they are folded in.
/// </summary>
public static class ConvertAdapter
{
    private const string Prefix = PeftNames.Prefix, DownSuffix = ".lora_A.weight", UpSuffix = ".lora_B.weight";
    private const string ConfigName = "adapter_config.json", WeightsName = "adapter_model.safetensors";
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    // Settings that change what the adapter computes and that a GGUF adapter cannot say.
    private static readonly string[] WithoutForm =
    [
        "use_dora", "bias", "lora_bias", "modules_to_save", "trainable_token_indices", "target_parameters", "layer_replication", "alora_invocation_tokens",
        "use_qalora", "use_bdlora", "arrow_config", "velora_config", "kasa_config", "monteclora_config", "megatron_config",
    ];

    /// <summary>Writes a PEFT folder as a GGUF file.</summary>
    /// <param name="source">The base of the adapter; its weights are not read.</param>
    /// <param name="folder">The adapter.</param>
    /// <param name="path">The new file.</param>
    /// <param name="type">f32, f16, bf16 or q8_0.</param>
    /// <exception cref="PerenosException">The adapter has no form in GGUF or does not fit the base.</exception>
    public static Conversion ToGguf(ModelSource source, string folder, string path, string type = "f32")
    {
        if (type.ToUpperInvariant() is not ("F32" or "F16" or "BF16" or "Q8_0"))
            throw new PerenosException($"an adapter is not written in \"{type}\".", "Use f32, f16, bf16 or q8_0.");
        var sizes = GgufHyperparameters.Of(source.Config, source.ConfigLocation);
        var config = ModelSource.ReadJson(folder, ConfigName) ?? throw new PerenosException($"{folder} holds no {ConfigName}.", "Give the folder of a PEFT adapter.");
        var peft = PeftConfig.Made(config, Path.Combine(folder, ConfigName));
        RefuseWithoutForm(peft, folder);
        using var file = SafetensorsFile.Open(Path.Combine(folder, WeightsName));
        var layers = Layers(source, peft, file, sizes);
        double alpha = (peft.Number("lora_alpha") ?? 8) * (peft.Flag("use_rslora") ? Math.Sqrt(peft.Size("r", 8)) : 1);
        if (alpha == 0)
            throw new PerenosException($"{folder}: lora_alpha is 0, which llama.cpp takes for 1.", "The adapter does nothing: leave it away.");
        string stored = type.ToUpperInvariant();
        string Fit(string wanted, long row) => row % GgmlType.Named(wanted).BlockSize == 0 ? wanted : "F16";
        var entries = layers.SelectMany(layer => new[]
        {
            new GgufEntry(GgufLora.DownName(layer.Gguf), Fit(stored, layer.Inputs), [layer.Rank, layer.Inputs], () => Down(file, layer)),
            new GgufEntry(GgufLora.UpName(layer.Gguf), Fit(stored, layer.Rank), [layer.Outputs, layer.Rank], () => Up(file, layer, alpha, sizes)),
        }).ToList();
        List<KeyValuePair<string, GgufValue>> metadata =
        [
            new("general.architecture", GgufValue.Text(sizes.Architecture)),
            new("general.type", GgufValue.Text("adapter")),
            new("general.name", GgufValue.Text(Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder))))),
            new("adapter.type", GgufValue.Text("lora")),
            new("adapter.lora.alpha", GgufValue.Number(alpha)),
            new("general.file_type", GgufValue.Size(GgufMixture.Named(stored).FileType)),
            new("general.quantization_version", GgufValue.Size(2)),
        ];
        var sums = new ReadBack();
        GgufWriter.Write(path, metadata, entries, temporary => Compare(source, sums, file, layers, temporary));
        return Result(path, new FileInfo(path).Length, sums, layers.Count);
    }

    /// <summary>Writes a GGUF adapter as a PEFT folder.</summary>
    /// <param name="source">The base of the adapter; its weights are not read.</param>
    /// <param name="path">The adapter.</param>
    /// <param name="folder">The new folder.</param>
    /// <exception cref="PerenosException">The file is no LoRA, or does not fit the base.</exception>
    public static Conversion ToPeft(ModelSource source, string path, string folder)
    {
        if (Directory.Exists(folder) && Directory.EnumerateFileSystemEntries(folder).Any())
            throw new PerenosException($"{folder} is not empty.", "Give a new folder: --output NAME.");
        var sizes = GgufHyperparameters.Of(source.Config, source.ConfigLocation);
        using var file = GgufFile.Open(path);
        var (alpha, layers) = GgufLora.Read(file);
        if (file.Architecture != sizes.Architecture)
            throw new PerenosException($"{path} belongs to a {file.Architecture}, and {source.Location} is a {sizes.Architecture}.", "Give the base that the adapter was trained on.");
        var shapes = BaseShapes(source);
        foreach (var layer in layers)
            RefuseMisfit(path, shapes, layer.Module, file.Tensors[layer.Down].Shape[1], file.Tensors[layer.Up].Shape[0]);
        AtomicFile.WriteFolder(folder, temporary =>
        {
            SafetensorsWriter.WriteShards(temporary, layers.SelectMany(layer => new[]
            {
                new SafetensorsEntry(Prefix + layer.Module + DownSuffix, ScalarType.Float32, file.Tensors[layer.Down].Shape, () => file.Read(layer.Down, ScalarType.Float32)),
                new SafetensorsEntry(Prefix + layer.Module + UpSuffix, ScalarType.Float32, file.Tensors[layer.Up].Shape, () => ReadUp(file, layer, sizes)),
            }));
            File.Move(Path.Combine(temporary, "model.safetensors"), Path.Combine(temporary, WeightsName));
            AtomicFile.WriteText(Path.Combine(temporary, ConfigName), ConfigOf(source, shapes, alpha, layers).ToJsonString(Indented));
        });
        var sums = new ReadBack();
        using var written = SafetensorsFile.Open(Path.Combine(folder, WeightsName));
        foreach (var layer in layers)
        {
            Same(layer.Module + DownSuffix, file.Read(layer.Down, ScalarType.Float32));
            Same(layer.Module + UpSuffix, ReadUp(file, layer, sizes));
        }

        return Result(folder, new FileInfo(written.Location).Length, sums, layers.Count);

        void Same(string name, Tensor before)
        {
            using (before)
            using (var after = written.Read(Prefix + name, ScalarType.Float32))
                sums.Compare(name, "F32", before, after);
        }
    }

    private sealed record Layer(string Module, string Gguf, GgufChange Change, long Rank, long Inputs, long Outputs, double Scale);

    private static void RefuseWithoutForm(PeftConfig config, string folder)
    {
        string kind = config.Method;
        if (kind is "PROMPT_TUNING" or "P_TUNING" or "PREFIX_TUNING")
            throw new PerenosException($"{folder}: {kind} has no form in GGUF, nor can it be merged.", "Use it with Perenos or PEFT.");
        string? without = kind != "LORA" ? $"peft_type {kind}"
            : WithoutForm.FirstOrDefault(config.Flag) is { } key ? $"{key} = {config.Json[key]!.ToJsonString()}" : null;
        if (without is not null)
            throw new PerenosException($"{folder}: {without} has no form in a GGUF adapter.", "Merge first: perenos merge --model BASE --adapter ADAPTER --output DIR; then convert the merged model.");
    }

    private static List<Layer> Layers(ModelSource source, PeftConfig config, SafetensorsFile file, GgufHyperparameters sizes)
    {
        var shapes = BaseShapes(source);
        var layout = GgufLayout.Of(sizes.Architecture, source.Location);
        var layers = new List<Layer>();
        foreach (var (name, up) in file.Tensors)
        {
            if (name.EndsWith(DownSuffix, StringComparison.Ordinal) && name.StartsWith(Prefix, StringComparison.Ordinal))
                continue;
            if (!name.EndsWith(UpSuffix, StringComparison.Ordinal) || !name.StartsWith(Prefix, StringComparison.Ordinal))
                throw new PerenosException($"{file.Location}: {name} has no form in a GGUF adapter, which holds updates of linear layers only.", "Merge first: perenos merge --model BASE --adapter ADAPTER --output DIR.");
            string module = name[Prefix.Length..^UpSuffix.Length];
            if (!file.Tensors.TryGetValue(Prefix + module + DownSuffix, out var down) || down.Shape is not [var rank, var inputs] || up.Shape is not [var outputs, var same] || rank != same)
                throw new PerenosException($"{file.Location}: the update of {module} is not complete.", "Copy the adapter's folder again.");
            RefuseMisfit(file.Location, shapes, module, inputs, outputs);
            var (gguf, change) = layout.Place(module + ".weight")!.Value;
            double alpha = config.AlphaOf(module);
            layers.Add(new Layer(module, gguf, change, rank, inputs, outputs, config.Flag("use_rslora") ? alpha / Math.Sqrt(rank) : alpha / rank));
        }

        if (layers.Count == 0 || file.Tensors.Count != 2 * layers.Count)
            throw new PerenosException($"{file.Location} holds {file.Tensors.Count} tensors, which are no pairs of lora_A and lora_B.", "Copy the adapter's folder again.");
        return layers;
    }

    /// <summary>[outputs, inputs] of every matrix of the base, by module.</summary>
    private static Dictionary<string, long[]> BaseShapes(ModelSource source)
    {
        bool isConv1D = source.Config["model_type"]?.ToString() == "gpt2";
        return ModelCatalogue.Outline(source.Config, source.ConfigLocation, source.Tensors)
            .Where(weight => weight.Key.EndsWith(".weight", StringComparison.Ordinal))
            .Select(weight => (Module: weight.Key[..^".weight".Length], source.Tensors.Tensors[weight.Value].Shape))
            .Where(weight => weight.Shape.Length == 2)
            .ToDictionary(weight => weight.Module, weight => isConv1D && weight.Module.Contains(".h.", StringComparison.Ordinal) ? [weight.Shape[1], weight.Shape[0]] : weight.Shape);
    }

    private static void RefuseMisfit(string location, Dictionary<string, long[]> shapes, string module, long inputs, long outputs)
    {
        if (!shapes.TryGetValue(module, out long[]? shape))
        {
            bool isHead = module is "lm_head" or "embed_out";
            throw new PerenosException(
                $"{location} adapts {module}, which {(isHead ? "shares its weight with the token embedding in this base, so that GGUF has no place for its update" : "this base does not have")}.",
                isHead ? "Train an adapter without the head." : "Give the base that the adapter was trained on.");
        }

        if (shape[0] != outputs || shape[1] != inputs)
            throw new PerenosException($"{location}: the update of {module} is [{outputs}, {inputs}], and the base has [{string.Join(", ", shape)}].", "Give the base that the adapter was trained on.");
    }

    private static Tensor Down(SafetensorsFile file, Layer layer)
    {
        var down = file.Read(Prefix + layer.Module + DownSuffix, ScalarType.Float32);
        WeightCheck.RefuseNotFinite(layer.Module + DownSuffix, down);
        return down;
    }

    private static Tensor Up(SafetensorsFile file, Layer layer, double alpha, GgufHyperparameters sizes)
    {
        using var up = file.Read(Prefix + layer.Module + UpSuffix, ScalarType.Float32);
        WeightCheck.RefuseNotFinite(layer.Module + UpSuffix, up);
        using var scope = NewDisposeScope();
        // A reader multiplies by alpha / rank, whatever this layer's own factor is.
        double ratio = layer.Scale * layer.Rank / alpha;
        var scaled = Math.Abs(ratio - 1) < 1e-12 ? up : up.Times(ratio);
        return (IsRowChange(layer.Change) ? GgufLayout.Revert(layer.Change, scaled, HeadsOf(layer.Change, sizes)) : scaled).contiguous().clone().DetachFromDisposeScope();
    }

    private static Tensor ReadUp(GgufFile file, GgufLoraLayer layer, GgufHyperparameters sizes)
    {
        using var up = file.Read(layer.Up, ScalarType.Float32);
        using var scope = NewDisposeScope();
        return (IsRowChange(layer.Change) ? GgufLayout.Apply(layer.Change, up, HeadsOf(layer.Change, sizes)) : up).contiguous().clone().DetachFromDisposeScope();
    }

    // Transposing the base leaves an update as it is: B · A is [outputs, inputs] in both forms.
    private static bool IsRowChange(GgufChange change) => change is GgufChange.QueryRows or GgufChange.KeyRows or GgufChange.FusedRows;

    private static long HeadsOf(GgufChange change, GgufHyperparameters sizes) => change == GgufChange.KeyRows ? sizes.KeyValueHeads : sizes.Heads;

    private static void Compare(ModelSource source, ReadBack sums, SafetensorsFile file, List<Layer> layers, string path)
    {
        var sizes = GgufHyperparameters.Of(source.Config, source.ConfigLocation);
        using var written = GgufFile.Open(path);
        var (alpha, found) = GgufLora.Read(written);
        var byModule = found.ToDictionary(layer => layer.Module);
        foreach (var layer in layers)
        {
            using var scope = NewDisposeScope();
            var back = byModule[layer.Module];
            Tensor Here(Tensor tensor)
            {
                scope.Attach(tensor);
                return tensor;
            }

            sums.Compare(layer.Module, written.Tensors[back.Down].Type, Here(Down(file, layer)), Here(written.Read(back.Down, ScalarType.Float32)));
            var before = Here(file.Read(Prefix + layer.Module + UpSuffix, ScalarType.Float32)).Times(layer.Scale);
            var after = Here(ReadUp(written, back, sizes)).Times(alpha / back.Rank);
            // float32: the factor was folded in and is taken out again.
            sums.Compare(layer.Module, written.Tensors[back.Up].Type, before, after, before.abs().max().item<float>() * 1e-6);
        }
    }

    private static JsonObject ConfigOf(ModelSource source, Dictionary<string, long[]> shapes, double alpha, IReadOnlyList<GgufLoraLayer> layers)
    {
        int rank = layers.GroupBy(layer => layer.Rank).OrderByDescending(group => group.Count()).First().Key;
        var modules = layers.Select(layer => layer.Module).ToHashSet();
        static string End(string module) => module[(module.LastIndexOf('.') + 1)..];
        var ends = modules.Select(End).Distinct().Order(StringComparer.Ordinal).ToList();
        // Ends of names where they mean exactly these layers, whole names otherwise.
        bool areExact = shapes.Keys.Where(module => ends.Contains(End(module))).All(modules.Contains);
        return new JsonObject
        {
            ["alpha_pattern"] = new JsonObject(),
            ["auto_mapping"] = null,
            ["base_model_name_or_path"] = source.Location,
            ["bias"] = "none",
            ["fan_in_fan_out"] = source.Config["model_type"]?.ToString() == "gpt2",
            ["inference_mode"] = true,
            ["init_lora_weights"] = true,
            ["lora_alpha"] = alpha,
            ["lora_dropout"] = 0.0,
            ["modules_to_save"] = null,
            ["peft_type"] = "LORA",
            ["r"] = rank,
            ["rank_pattern"] = new JsonObject(layers.Where(layer => layer.Rank != rank).Select(layer => KeyValuePair.Create(layer.Module, (JsonNode?)layer.Rank))),
            ["target_modules"] = new JsonArray([.. (areExact ? ends : [.. modules.Order(StringComparer.Ordinal)]).Select(name => (JsonNode)name)]),
            ["task_type"] = "CAUSAL_LM",
            ["use_dora"] = false,
            ["use_rslora"] = false,
        };
    }

    private static Conversion Result(string path, long bytes, ReadBack sums, int layers) =>
        new(path, bytes, sums.Types.Sum(type => type.Parameters), sums.Types, [$"{layers} updates read back: names, shapes, values and factors"], []);
}
