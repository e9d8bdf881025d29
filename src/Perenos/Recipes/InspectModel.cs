using System.Text.Json.Nodes;
using Perenos.Checkpoints;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Text.Tokenization;

namespace Perenos.Recipes;

/// <summary>What the tokenizer of a model is.</summary>
/// <param name="Kind">BPE, Unigram and so on, and how it treats bytes.</param>
/// <param name="Entries">Tokens, added ones included.</param>
/// <param name="Specials">Special tokens.</param>
/// <param name="MissingBytes">Bytes without a token: text with them does not come back.</param>
/// <param name="UnknownToken">What stands for text that cannot be spelt.</param>
public sealed record TokenizerReport(string Kind, int Entries, IReadOnlyList<string> Specials, IReadOnlyList<int> MissingBytes, string? UnknownToken);

/// <summary>An adapter on disk.</summary>
/// <param name="Method">As PEFT names it, or <c>LORA</c> of a GGUF file.</param>
/// <param name="Base">The model that it names as its base.</param>
/// <param name="Rank">Rank, where it has one.</param>
/// <param name="Alpha">Alpha, where it has one.</param>
/// <param name="Layers">Layers that it adapts.</param>
/// <param name="Targets">Ends of their names.</param>
public sealed record AdapterReport(string Method, string? Base, double? Rank, double? Alpha, int Layers, IReadOnlyList<string> Targets);

/// <summary>What is known of a model or adapter from headers and small files.</summary>
public sealed record ModelReport
{
    /// <summary>Folder or file.</summary>
    public required string Location { get; init; }

    /// <summary>safetensors, GGUF, or another form.</summary>
    public required string Form { get; init; }

    /// <summary><c>model_type</c>.</summary>
    public string? Family { get; init; }

    /// <summary>Whether Perenos computes this family.</summary>
    public bool IsKnown { get; init; }

    /// <summary>Values of all tensors.</summary>
    public required long Parameters { get; init; }

    /// <summary>Size of the tensors on disk.</summary>
    public required long Bytes { get; init; }

    /// <summary>By part.</summary>
    public required IReadOnlyList<ParameterPart> Parts { get; init; }

    /// <summary>Files with weights, and their size.</summary>
    public required IReadOnlyList<KeyValuePair<string, long>> Files { get; init; }

    /// <summary>Layers.</summary>
    public int? Layers { get; init; }

    /// <summary>Width of hidden states.</summary>
    public long? Width { get; init; }

    /// <summary>Most tokens that it was made for.</summary>
    public long? ContextLength { get; init; }

    /// <summary>Whether the head shares the embedding's weight.</summary>
    public bool? IsTied { get; init; }

    /// <summary>Memory for each use.</summary>
    public IReadOnlyList<MemoryNeed> Memory { get; init; } = [];

    /// <summary>The tokenizer.</summary>
    public TokenizerReport? Tokenizer { get; init; }

    /// <summary>Kind of chat template: ChatML, Llama 3 and so on, or "own"; null without one.</summary>
    public string? ChatTemplate { get; init; }

    /// <summary>Tokens that end a text.</summary>
    public IReadOnlyList<string> StopTokens { get; init; } = [];

    /// <summary>Licence that the model's card or the file names.</summary>
    public string? License { get; init; }

    /// <summary>The adapter, where it is one.</summary>
    public AdapterReport? Adapter { get; init; }

    /// <summary>What could not be found out, and why.</summary>
    public required IReadOnlyList<string> Problems { get; init; }
}

/// <summary>Looks at a model or adapter without reading a weight and without the engine.</summary>
public static class InspectModel
{
    // What each kind of template cannot do without.
    private static readonly (string Mark, string Kind)[] TemplateKinds =
    [
        ("<|im_start|>", "ChatML"), ("<|start_header_id|>", "Llama 3"), ("<start_of_turn>", "Gemma"), ("[INST]", "Mistral / Llama 2"),
        ("<|assistant|>", "Zephyr / Phi 3"), ("<|START_OF_TURN_TOKEN|>", "Command R"), ("<|start_of_role|>", "Granite"), ("### Instruction", "Alpaca"),
    ];

    /// <summary>Reports on a model's folder or file, or an adapter's.</summary>
    /// <param name="location">What.</param>
    /// <param name="batch">Sequences for the memory.</param>
    /// <param name="length">Tokens of each; at most the context by default.</param>
    /// <exception cref="PerenosException">There are no weights, or they are malformed.</exception>
    public static ModelReport Run(string location, int batch = 1, int? length = null)
    {
        string folder = ModelSource.FolderOf(location);
        if (ModelSource.ReadJson(folder, "adapter_config.json") is { } adapter && !File.Exists(location))
            return PeftReport(folder, adapter);
        if (location.EndsWith(".gguf", StringComparison.Ordinal) && File.Exists(location))
        {
            using var file = GgufFile.Open(location);
            if (file.Text("general.type") == "adapter")
                return GgufAdapterReport(file);
        }

        using var tensors = CheckpointFolder.OpenWeights(location);
        return ModelReportOf(location, folder, tensors, batch, length);
    }

    private static ModelReport ModelReportOf(string location, string folder, ITensorSource tensors, int batch, int? length)
    {
        List<string> problems = [];
        var gguf = (tensors as GgufSource)?.File;
        var parts = gguf is null ? null : GgufTokenizerParts.From(gguf);
        var json = Try(problems, "config.json", () => ModelSource.ReadConfig(folder, gguf));
        var family = json is null ? null : Try(problems, "the family", () => ModelCatalogue.FamilyOf(json, Path.Combine(folder, "config.json")));
        var config = family is null ? null : Try(problems, "the configuration", () => family.Read(json!, Path.Combine(folder, "config.json")));
        var tokenizer = Try(problems, "the tokenizer", () => ModelSource.OpenTokenizer(folder, parts));
        var tokenizerConfig = Try(problems, "tokenizer_config.json", () => ModelSource.ReadJson(folder, "tokenizer_config.json")) ?? [];
        var stops = tokenizer is null ? null : Try(problems, "the stop tokens", () =>
            Models.StopTokens.Find(ModelSource.ReadJson(folder, "generation_config.json"), json ?? [], tokenizerConfig, tokenizer, location));
        string? template = ModelSource.FindTemplate(folder, tokenizerConfig) ?? parts?.ChatTemplate;
        var infos = tensors.Tensors.Values.ToList();
        long parameters = infos.Sum(ParameterParts.Count);
        int tokens = (int)Math.Min(length ?? config?.MaximumLength ?? 2048, int.MaxValue);
        return new ModelReport
        {
            Location = location,
            Form = gguf is not null ? $"GGUF {gguf.Version}" : Path.GetExtension(infos.FirstOrDefault()?.File ?? "") is ".bin" or ".pt" or ".pth" ? "PyTorch" : "safetensors",
            Family = json?["model_type"]?.ToString() ?? gguf?.Architecture,
            IsKnown = family is not null,
            Parameters = parameters,
            Bytes = infos.Sum(info => info.Length),
            Parts = ParameterParts.Of(infos),
            Files = [.. infos.Select(info => info.File).Distinct().Order(StringComparer.Ordinal).Select(file => KeyValuePair.Create(file, FileLength.Of(file)))],
            Layers = config?.LayerCount,
            Width = config?.Width,
            ContextLength = config?.MaximumLength,
            IsTied = config is null ? null : config.IsTied && !tensors.Tensors.ContainsKey(family!.HeadName),
            Memory = config is null ? [] : MemoryNeeds.Of(config, [.. infos.Select(info => (ParameterParts.PartOf(info.Name), info.Shape))], batch, tokens),
            Tokenizer = tokenizer is null ? null : ReportOf(tokenizer.Facts()),
            ChatTemplate = template is null ? null : KindOf(template),
            StopTokens = [.. (stops ?? []).Select(id => tokenizer!.TokenOf(id)!)],
            License = ModelCard.Of(folder).License ?? gguf?.Text("general.license"),
            Problems = problems,
        };
    }

    private static ModelReport PeftReport(string folder, JsonObject config)
    {
        using var file = SafetensorsFile.Open(Path.Combine(folder, "adapter_model.safetensors"));
        var infos = file.Tensors.Values.ToList();
        var modules = infos.Where(info => info.Name.EndsWith(".lora_A.weight", StringComparison.Ordinal)).Select(info => info.Name[..^".lora_A.weight".Length]).ToList();
        double? Number(string key) => config[key] is JsonValue value && value.TryGetValue(out double number) ? number : null;
        return AdapterReportOf(folder, "PEFT", infos, new AdapterReport(
            config["peft_type"]?.ToString() ?? "(missing)", config["base_model_name_or_path"]?.ToString(), Number("r"), Number("lora_alpha"), modules.Count, Ends(modules)));
    }

    private static ModelReport GgufAdapterReport(GgufFile file)
    {
        var (alpha, layers) = GgufLora.Read(file);
        var infos = file.Tensors.Values.Select(tensor => new TensorInfo(tensor.Name, null, tensor.Type, tensor.Shape, tensor.Offset, tensor.Length, file.Location)).ToList();
        return AdapterReportOf(file.Location, $"GGUF {file.Version}", infos, new AdapterReport(
            "LORA", file.Architecture, layers.Max(layer => layer.Rank), alpha, layers.Count, Ends(layers.Select(layer => layer.Module))));
    }

    private static ModelReport AdapterReportOf(string location, string form, List<TensorInfo> infos, AdapterReport adapter) => new()
    {
        Location = location,
        Form = form,
        Parameters = infos.Sum(ParameterParts.Count),
        Bytes = infos.Sum(info => info.Length),
        Parts = [new ParameterPart("adapter", infos.Count, infos.Sum(ParameterParts.Count), infos.Sum(info => info.Length), [.. infos.Select(info => info.DType).Distinct()])],
        Files = [.. infos.Select(info => info.File).Distinct().Select(file => KeyValuePair.Create(file, FileLength.Of(file)))],
        Adapter = adapter,
        Problems = [],
    };

    private static string[] Ends(IEnumerable<string> modules) =>
        [.. modules.Select(module => module[(module.LastIndexOf('.') + 1)..]).Distinct().Order(StringComparer.Ordinal)];

    private static TokenizerReport ReportOf(TokenizerFacts facts) => new(
        facts.Kind, facts.Entries, [.. facts.Added.Where(token => token.IsSpecial).Select(token => token.Content)], [.. (facts.MissingBytes ?? []).Select(value => (int)value)], facts.UnknownToken);

    private static string KindOf(string template) =>
        TemplateKinds.FirstOrDefault(kind => template.Contains(kind.Mark, StringComparison.Ordinal)).Kind ?? "own";

    // What fails in one part says nothing about the others.
    private static T? Try<T>(List<string> problems, string what, Func<T?> read)
        where T : class
    {
        try
        {
            return read();
        }
        catch (PerenosException problem)
        {
            problems.Add($"{what}: {problem.Message}");
            return null;
        }
    }
}
