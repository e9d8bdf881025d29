using System.Text.Json;
using System.Text.Json.Nodes;
using Perenos.Layers;
using Perenos.Runs;

namespace Perenos.Adapters;

/// <summary>The part of PEFT's <c>adapter_config.json</c> that a LoRA needs; what is not implemented is named, never dropped.</summary>
internal sealed class PeftLoraConfig(JsonObject json, string location)
{
    // Values under which a key changes nothing.
    private static readonly Dictionary<string, Func<JsonNode?, bool>> MustBePlain = new()
    {
        ["use_dora"] = IsOff,
        ["lora_bias"] = IsOff,
        ["use_qalora"] = IsOff,
        ["use_bdlora"] = IsOff,
        ["trainable_token_indices"] = IsOff,
        ["modules_to_save"] = IsOff,
        ["layer_replication"] = IsOff,
        ["target_parameters"] = IsOff,
        ["alora_invocation_tokens"] = IsOff,
        ["arrow_config"] = IsOff,
        ["velora_config"] = IsOff,
        ["kasa_config"] = IsOff,
        ["monteclora_config"] = IsOff,
        ["megatron_config"] = IsOff,
        // PiSSA and its kin change the base weight as well: only converted adapters stand alone.
        ["init_lora_weights"] = node => node?.GetValueKind() != JsonValueKind.String || node.GetValue<string>() is "gaussian" or "orthogonal" or "eva",
        ["bias"] = node => node is null || node.GetValueKind() == JsonValueKind.String && node.GetValue<string>() == "none",
    };

    public double Dropout => Number(json["lora_dropout"], "lora_dropout") ?? 0;

    public string? Base => json["base_model_name_or_path"]?.ToString();

    /// <summary>Why this adapter cannot be opened here, or null.</summary>
    public string? NotImplemented
    {
        get
        {
            if (json["peft_type"]?.ToString() != "LORA")
                return $"peft_type {json["peft_type"]?.ToJsonString() ?? "(missing)"}";
            foreach (var (key, isPlain) in MustBePlain)
            {
                if (!isPlain(json[key]))
                    return $"{key} = {json[key]!.ToJsonString()}";
            }

            return null;
        }
    }

    /// <summary>The layers that the configuration names, with rank and scale.</summary>
    public IReadOnlyList<LoraPlacement> Place(ModelParts parts)
    {
        if (NotImplemented is { } reason)
            throw new PerenosException($"{location}: {reason} is not implemented.", "Implemented: LORA on linear layers, rsLoRA, rank and alpha patterns.");
        var placements = parts.Projections.Where(projection => IsTarget(projection, parts)).Select(Placement).ToList();
        if (placements.Count == 0)
        {
            throw new PerenosException(
                $"{location}: target_modules = {json["target_modules"]?.ToJsonString()} matches no layer of the model.",
                $"The adapter belongs to another model; this one has {LoraTargets.Names(parts)}.");
        }

        return placements;
    }

    private bool IsTarget(Projection projection, ModelParts parts)
    {
        if (Matches(json["exclude_modules"], projection.Path))
            return false;
        if (json["target_modules"] is JsonValue value && value.TryGetValue(out string? all) && all == "all-linear")
            return !ReferenceEquals(projection, parts.Projections[^1]);
        return Matches(json["target_modules"], projection.Path) && IsInLayers(projection.Path);
    }

    // layers_to_transform looks at the first number in the name.
    private bool IsInLayers(string path)
    {
        var wanted = json["layers_to_transform"] switch
        {
            null => null,
            JsonArray array => array.Select(node => Whole(node, "layers_to_transform")).ToList(),
            { } single => [Whole(single, "layers_to_transform")],
        };
        var part = path.Split('.').FirstOrDefault(part => part.All(char.IsAsciiDigit));
        return wanted is null || part is not null && int.TryParse(part, out int index) && wanted.Contains(index);
    }

    private LoraPlacement Placement(Projection projection)
    {
        int rank = Whole(Pattern("rank_pattern", projection.Path) ?? json["r"], "r");
        if (rank < 1 || rank > 1 << 16)
            throw new PerenosException($"{location}: the rank {rank} of {projection.Path} is not a rank.", "Take adapter_config.json as PEFT wrote it.");
        double alpha = Number(Pattern("alpha_pattern", projection.Path), "alpha_pattern") ?? Number(json["lora_alpha"], "lora_alpha") ?? 8;
        return new LoraPlacement(projection, rank, IsOff(json["use_rslora"]) ? alpha / rank : alpha / Math.Sqrt(rank));
    }

    // The first pattern in file order that matches ^(.*\.)?(P)$ wins.
    private JsonNode? Pattern(string key, string path) => json[key] is JsonObject patterns
        ? patterns.FirstOrDefault(pattern => LoraTargets.MatchesWhole(path, $@"(.*\.)?({pattern.Key})")).Value
        : null;

    private static bool Matches(JsonNode? entries, string path) => entries switch
    {
        null => false,
        JsonArray array => array.Any(entry => entry is not null && LoraTargets.MatchesName(path, entry.ToString())),
        _ => LoraTargets.MatchesWhole(path, entries.ToString()),
    };

    private static bool IsOff(JsonNode? node) => node switch
    {
        null => true,
        JsonArray array => array.Count == 0,
        JsonObject section => section.Count == 0,
        _ => node.GetValueKind() == JsonValueKind.False,
    };

    private double? Number(JsonNode? node, string key) => node switch
    {
        null => null,
        JsonValue value when value.GetValueKind() == JsonValueKind.Number => value.GetValue<double>(),
        { } other => throw new PerenosException($"{location}: {key} = {other.ToJsonString()} is not a number.", "Take adapter_config.json as PEFT wrote it."),
    };

    private int Whole(JsonNode? node, string key) =>
        node is JsonValue value && value.GetValueKind() == JsonValueKind.Number && value.TryGetValue(out int number)
            ? number
            : throw new PerenosException($"{location}: {key} = {node?.ToJsonString()} is not a whole number.", "Take adapter_config.json as PEFT wrote it.");
}
