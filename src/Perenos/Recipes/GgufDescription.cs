using System.Globalization;
using System.Text.Json.Nodes;
using Perenos.Checkpoints;
using Perenos.Models;
using Perenos.Text.Tokenization;

namespace Perenos.Recipes;

/// <summary>The metadata of a GGUF model file: what it is (<c>general.*</c>), its sizes, its tokenizer, its template.</summary>
internal static class GgufDescription
{
    // Set by every writer for itself.
    private static readonly HashSet<string> OwnKeys =
        ["general.architecture", "general.type", "general.file_type", "general.quantization_version", "general.alignment", "general.quantized_by"];

    private static readonly string[] FurtherEnds = ["eot", "eom"];

    public static List<KeyValuePair<string, GgufValue>> Of(
        ModelSource source, GgufHyperparameters sizes, GgufVocabulary vocabulary, int fileType, long parameters, List<string> losses)
    {
        var pairs = new List<KeyValuePair<string, GgufValue>>();
        void Add(string key, GgufValue value) => pairs.Add(new(key, value));
        Add("general.architecture", GgufValue.Text(sizes.Architecture));
        Add("general.type", GgufValue.Text("model"));
        AddIdentity(source, parameters, Add);
        pairs.AddRange(sizes.Pairs);
        Add("general.file_type", GgufValue.Size(fileType));
        AddTokenizer(source, vocabulary, Add, losses);
        AddTemplates(source, Add);
        // The blocks of today's quantisations.
        Add("general.quantization_version", GgufValue.Size(2));
        return pairs;
    }

    private static void AddIdentity(ModelSource source, long parameters, Action<string, GgufValue> add)
    {
        if (source.Gguf is { } file)
        {
            foreach (var (key, value) in file.Metadata.Where(pair => pair.Key.StartsWith("general.", StringComparison.Ordinal) && !OwnKeys.Contains(pair.Key)))
                add(key, value);
            return;
        }

        var card = ModelCard.Of(source.Folder);
        add("general.name", GgufValue.Text(Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(source.Folder)))));
        add("general.size_label", GgufValue.Text(SizeLabel(parameters)));
        if (card.License is { } licence)
            add("general.license", GgufValue.Text(licence));
        if (card.Languages.Count > 0)
            add("general.languages", GgufValue.Texts(card.Languages));
    }

    private static void AddTokenizer(ModelSource source, GgufVocabulary vocabulary, Action<string, GgufValue> add, List<string> losses)
    {
        const string Prefix = "tokenizer.ggml.";
        add(Prefix + "model", GgufValue.Text(vocabulary.Model));
        add(Prefix + "pre", GgufValue.Text(vocabulary.Pre));
        add(Prefix + "tokens", GgufValue.Texts(vocabulary.Tokens));
        if (vocabulary.Scores.Count > 0)
            add(Prefix + "scores", GgufValue.Numbers(vocabulary.Scores));
        add(Prefix + "token_type", GgufValue.Integers(vocabulary.Types));
        if (vocabulary.Merges.Count > 0)
            add(Prefix + "merges", GgufValue.Texts(vocabulary.Merges));
        // A reader takes it for a special token, whatever its type.
        AddId("bos", vocabulary.BeginId ?? Special(Named("bos_token") ?? IdIn(source.Config["bos_token_id"])));
        AddStops(source, add, losses);
        AddId("unknown", Named("unk_token"));
        AddId("padding", Named("pad_token") ?? IdIn(source.Config["pad_token_id"]));
        add(Prefix + "add_bos_token", GgufValue.Flag(vocabulary.BeginId is not null));
        add(Prefix + "add_eos_token", GgufValue.Flag(vocabulary.EndId is not null));
        add(Prefix + "add_space_prefix", GgufValue.Flag(vocabulary.AddsSpacePrefix));

        void AddId(string name, int? id)
        {
            if (id is { } known && known < vocabulary.Tokens.Count)
                add($"{Prefix}{name}_token_id", GgufValue.Size(known));
        }

        int? Special(int? id) => id is { } known && source.Tokenizer.IsSpecial(known) ? id : null;

        int? Named(string key) => (source.TokenizerConfig[key] switch { JsonObject section => section["content"], var node => node })?.ToString() is { } token
            ? source.Tokenizer.IdOf(token)
            : null;
    }

    /// <summary>The end of a text, then of a turn, then of a message that asks for a tool; a reader stops at each of them.</summary>
    private static void AddStops(ModelSource source, Action<string, GgufValue> add, List<string> losses)
    {
        var stops = source.StopTokens;
        add("tokenizer.ggml.eos_token_id", GgufValue.Size(stops[0]));
        var others = stops.Skip(1).Distinct().Where(id => id != stops[0])
            .OrderBy(id => source.Tokenizer.TokenOf(id)!.Contains("eom", StringComparison.Ordinal)).ToList();
        foreach (var (name, id) in FurtherEnds.Zip(others))
            add($"tokenizer.ggml.{name}_token_id", GgufValue.Size(id));
        if (others.Count > 2)
            losses.Add($"GGUF names three tokens that end a text; this model has {stops.Count}: without {string.Join(", ", others.Skip(2).Select(source.Tokenizer.TokenOf))}.");
    }

    private static void AddTemplates(ModelSource source, Action<string, GgufValue> add)
    {
        if (source.ChatTemplate is { } template)
            add("tokenizer.chat_template", GgufValue.Text(template));
        if (source.TokenizerConfig["chat_template"] is not JsonArray list)
            return;
        var named = list.OfType<JsonObject>().Select(entry => (Name: entry["name"]?.ToString(), Template: entry["template"]?.ToString()))
            .Where(entry => entry is { Name: not (null or "default"), Template: not null }).ToList();
        if (named.Count > 0)
            add("tokenizer.chat_templates", GgufValue.Texts(named.Select(entry => entry.Name!)));
        foreach (var (name, text) in named)
            add($"tokenizer.chat_template.{name}", GgufValue.Text(text!));
    }

    private static int? IdIn(JsonNode? node) => node is JsonValue value && value.TryGetValue(out int id) ? id : null;

    private static string SizeLabel(long parameters) => parameters switch
    {
        < 1_000_000 => $"{Math.Round(parameters / 1e3)}K",
        < 1_000_000_000 => $"{Math.Round(parameters / 1e6)}M",
        < 10_000_000_000 => string.Create(CultureInfo.InvariantCulture, $"{parameters / 1e9:0.0}B"),
        _ => $"{Math.Round(parameters / 1e9)}B",
    };
}
