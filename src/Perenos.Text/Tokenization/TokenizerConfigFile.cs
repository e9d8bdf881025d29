using System.Text.Json;
using Perenos.Runs;

namespace Perenos.Text.Tokenization;

/// <summary>
/// What tokenizer_config.json, special_tokens_map.json and added_tokens.json say beside a vocabulary; needed only where there is no
/// tokenizer.json, which says all of it itself.
/// </summary>
internal sealed class TokenizerConfigFile
{
    private static readonly string[] SpecialKeys = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token", "additional_special_tokens"];

    private readonly ComponentSpec _config;
    private readonly ComponentSpec _specials;
    private readonly ComponentSpec _added;

    private TokenizerConfigFile(ComponentSpec config, ComponentSpec specials, ComponentSpec added) => (_config, _specials, _added) = (config, specials, added);

    /// <summary>Reads the files of a folder; missing ones say nothing.</summary>
    /// <exception cref="PerenosException">A file is malformed.</exception>
    public static TokenizerConfigFile Read(string folder) =>
        new(Json(folder, "tokenizer_config.json"), Json(folder, "special_tokens_map.json"), Json(folder, "added_tokens.json"));

    /// <summary>The class that transformers would open it with, without "Fast"; null where none is named.</summary>
    public string? Class => _config.TextOrNull("tokenizer_class") is { } name ? name.EndsWith("Fast", StringComparison.Ordinal) ? name[..^4] : name : null;

    public bool? AddBegin => Flag("add_bos_token");

    public bool? AddEnd => Flag("add_eos_token");

    public bool? AddPrefixSpace => Flag("add_prefix_space");

    /// <summary>Llama's switch: false puts a blank before the text alone, not behind special tokens.</summary>
    public bool? IsLegacy => Flag("legacy");

    /// <summary>The token that a key such as bos_token names.</summary>
    public string? Named(string key) => TokenOf(_config, key) ?? TokenOf(_specials, key);

    /// <summary>
    /// Added tokens: those of added_tokens_decoder, else the special tokens and those of added_tokens.json. A special token without an id
    /// gets the next free one, as in transformers.
    /// </summary>
    public IReadOnlyList<AddedToken> Added(Vocabulary vocabulary)
    {
        var tokens = new Dictionary<string, AddedToken>();
        if (_config.Has("added_tokens_decoder"))
        {
            var decoder = _config.At("added_tokens_decoder");
            foreach (var entry in Members(decoder))
            {
                if (!int.TryParse(entry.Name, out int id) || id < 0)
                    throw decoder.Error($"\"{entry.Name}\" is no id.");
                var token = Token(decoder.At(entry.Name), id, isSpecial: false);
                tokens[token.Content] = token;
            }
        }

        foreach (var entry in Members(_added))
            tokens.TryAdd(entry.Name, new AddedToken(_added.Number(entry.Name), entry.Name) { Normalized = true });
        foreach (var spec in Specials())
        {
            string content = spec.Json.ValueKind == JsonValueKind.String ? spec.AsText() : spec.Text("content");
            int known = tokens.TryGetValue(content, out var other) ? other.Id : vocabulary.IdOf(content);
            int next = Math.Max(vocabulary.HighestId, tokens.Values.Select(static token => token.Id).DefaultIfEmpty(-1).Max()) + 1;
            if (other is not { Special: true })
                tokens[content] = spec.Json.ValueKind == JsonValueKind.String ? new AddedToken(known < 0 ? next : known, content) { Special = true } : Token(spec, known < 0 ? next : known, isSpecial: true);
        }

        return [.. tokens.Values.Where(static token => token.Content.Length > 0).OrderBy(static token => token.Id)];
    }

    private IEnumerable<ComponentSpec> Specials()
    {
        foreach (var file in (ComponentSpec[])[_config, _specials])
        {
            foreach (string key in SpecialKeys.Where(file.Has))
            {
                if (file.At(key).Json.ValueKind != JsonValueKind.Array)
                    yield return file.At(key);
                else
                    foreach (var item in file.Items(key))
                        yield return item;
            }
        }
    }

    private static AddedToken Token(ComponentSpec spec, int id, bool isSpecial) => new(id, spec.Text("content"))
    {
        SingleWord = spec.Flag("single_word", false),
        StripsLeft = spec.Flag("lstrip", false),
        StripsRight = spec.Flag("rstrip", false),
        Normalized = spec.Flag("normalized", false),
        Special = isSpecial || spec.Flag("special", false),
    };

    // A text, or an object with "content".
    private static string? TokenOf(ComponentSpec file, string key) =>
        !file.Has(key) ? null : file.At(key).Json.ValueKind == JsonValueKind.Object ? file.At(key).Text("content") : file.Text(key);

    private bool? Flag(string name) => _config.Has(name) ? _config.Flag(name, false) : null;

    private static JsonElement.ObjectEnumerator Members(ComponentSpec spec) => spec.Json.ValueKind == JsonValueKind.Object ? spec.Json.EnumerateObject() : default;

    private static ComponentSpec Json(string folder, string name)
    {
        string path = Path.Combine(folder, name);
        if (!File.Exists(path))
            return new ComponentSpec(default, "$", path);
        return new ComponentSpec(JsonSerializer.SerializeToElement(JsonFile.ReadObject(path, "Download the file again.")), "$", path);
    }
}
