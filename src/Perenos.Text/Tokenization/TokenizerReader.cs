using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Unicode;
using Perenos.Runs;

namespace Perenos.Text.Tokenization;

/// <summary>Everything that a tokenizer.json says, with the big lists already in their final form.</summary>
internal sealed record TokenizerParts
{
    public required TokenModel Model { get; init; }

    public required IReadOnlyList<AddedToken> Added { get; init; }

    /// <summary>The sections beside the model, as they stand in the file.</summary>
    public required IReadOnlyDictionary<string, JsonElement> Sections { get; init; }

    /// <summary>The options of the model beside its lists, as they stand in the file.</summary>
    public required IReadOnlyDictionary<string, JsonElement> ModelOptions { get; init; }

    /// <summary>Pairs of ids, best first.</summary>
    public required IReadOnlyList<(int Left, int Right)> Merges { get; init; }

    /// <summary>Takes the place of the section, for what a tokenizer.json cannot say.</summary>
    public Normalizer? Normalizer { get; init; }

    /// <summary>Takes the place of the section, for what a tokenizer.json cannot say.</summary>
    public PreTokenizer? PreTokenizer { get; init; }

    /// <summary>Takes the place of the section, for what a tokenizer.json cannot say.</summary>
    public TokenDecoder? Decoder { get; init; }

    /// <summary>The class with which transformers opens the files.</summary>
    public string Class { get; init; } = "PreTrainedTokenizerFast";

    /// <summary>The files of a tokenizer that is not kept as a tokenizer.json, by name.</summary>
    public IReadOnlyList<(string Name, byte[] Content)> Files { get; init; } = [];
}

/// <summary>
/// Reads a tokenizer.json in one pass (https://huggingface.co/docs/tokenizers/api/tokenizer). Vocabulary and merges never become
/// a tree of JSON nodes.
/// </summary>
internal ref struct TokenizerReader
{
    private readonly string _file;
    private readonly Dictionary<string, JsonElement> _sections = [];
    private readonly Dictionary<string, JsonElement> _options = [];
    private Utf8JsonReader _json;
    private string _path = "$";
    private Dictionary<string, int>? _tokens;
    private List<(int, int)> _merges = [];
    private List<int> _results = [];

    private TokenizerReader(ReadOnlySpan<byte> json, string file)
    {
        _file = file;
        _json = new Utf8JsonReader(json);
    }

    /// <exception cref="PerenosException">The file is no tokenizer.json, or holds something that is not built; names the path.</exception>
    public static TokenizerParts Read(ReadOnlySpan<byte> json, string file)
    {
        if (json.StartsWith((ReadOnlySpan<byte>)[0xEF, 0xBB, 0xBF]))
            json = json[3..];
        if (!Utf8.IsValid(json))
            throw new PerenosException($"{file}, $: not valid UTF-8.", "Download or save the file again.");
        var reader = new TokenizerReader(json, file);
        try
        {
            return reader.ReadAll();
        }
        catch (JsonException error)
        {
            throw new PerenosException(
                $"{file}, {reader._path}: not valid JSON ({error.Message.TrimEnd('.')}).", "Download or save the file again.", error);
        }
        catch (InvalidOperationException error) // text that is not valid Unicode
        {
            throw new PerenosException($"{file}, {reader._path}: {error.Message}", "Download or save the file again.", error);
        }
    }

    private TokenizerParts ReadAll()
    {
        bool sawModel = false;
        Expect(JsonTokenType.StartObject);
        while (NextProperty() is { } name)
        {
            _path = $"$.{name}";
            if (name == "model")
            {
                ReadModel();
                sawModel = true;
            }
            else
            {
                _json.Read();
                _sections[name] = Element();
            }
        }

        _path = "$";
        _json.Read(); // complains about anything behind the object
        if (!sawModel)
            throw Error("there is no \"model\": this is no tokenizer.json.");
        var model = BuildModel();
        return new TokenizerParts
        {
            Model = model,
            Added = ReadAdded(model.Vocabulary),
            Sections = _sections,
            ModelOptions = _options,
            Merges = _merges,
        };
    }

    private void ReadModel()
    {
        Expect(JsonTokenType.StartObject);
        Utf8JsonReader merges = default;
        bool hasMerges = false;
        while (NextProperty() is { } name)
        {
            _path = $"$.model.{name}";
            _json.Read();
            if (name == "vocab" && _json.TokenType == JsonTokenType.StartObject)
            {
                ReadVocabulary();
            }
            else if (name == "merges")
            {
                hasMerges = true;
                merges = _json; // read when the vocabulary is known, wherever it stands
                _json.Skip();
            }
            else
            {
                _options[name] = Element(); // the vocabulary of a unigram model too: it is a list
            }
        }

        if (!hasMerges)
            return;
        var end = _json;
        _json = merges;
        _path = "$.model.merges";
        ReadMerges();
        _json = end;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)] // runs once, and would run unoptimised
    private void ReadVocabulary()
    {
        _tokens = new Dictionary<string, int>();
        while (NextProperty() is { } token)
        {
            _json.Read();
            if (_json.TokenType != JsonTokenType.Number || !_json.TryGetInt32(out int id) || id < 0)
                throw Error($"the id of \"{token}\" must be a whole number from 0 on.");
            _tokens[token] = id;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)] // runs once, and would run unoptimised
    private void ReadMerges()
    {
        if (_json.TokenType != JsonTokenType.StartArray)
            throw Error("a list was expected.");
        if (_tokens is null)
            throw Error("there are merges, but no vocabulary.");
        int prefix = _options.TryGetValue("continuing_subword_prefix", out var option) && option.ValueKind == JsonValueKind.String
            ? option.GetString()!.Length
            : 0;
        var lookup = _tokens.GetAlternateLookup<ReadOnlySpan<char>>();
        char[] buffer = new char[256];
        while (_json.Read() && _json.TokenType != JsonTokenType.EndArray)
        {
            int length, cut;
            if (_json.TokenType == JsonTokenType.StartArray)
            {
                _json.Read();
                cut = Copy(ref buffer, 0);
                _json.Read();
                length = Copy(ref buffer, cut);
                _json.Read();
                if (_json.TokenType != JsonTokenType.EndArray)
                    throw MergeError("has more than two parts");
            }
            else
            {
                length = Copy(ref buffer, 0);
                cut = buffer.AsSpan(0, length).IndexOf(' ');
                if (cut < 0 || buffer.AsSpan(cut + 1, length - cut - 1).Contains(' '))
                    throw MergeError("must be two tokens with a blank between them");
                length--;
                buffer.AsSpan(cut + 1, length - cut).CopyTo(buffer.AsSpan(cut));
            }

            Span<char> left = buffer.AsSpan(0, cut), right = buffer.AsSpan(cut, length - cut);
            if (!lookup.TryGetValue(left, out int leftId) || !lookup.TryGetValue(right, out int rightId))
                throw MergeError("holds a token that is not in the vocabulary");
            if (right.Length < prefix)
                throw MergeError("has a second part without the continuing prefix");
            right[prefix..].CopyTo(right);
            if (!lookup.TryGetValue(buffer.AsSpan(0, length - prefix), out int result))
                throw MergeError("makes a token that is not in the vocabulary");
            _merges.Add((leftId, rightId));
            _results.Add(result);
        }
    }

    private int Copy(ref char[] buffer, int at)
    {
        if (_json.TokenType != JsonTokenType.String)
            throw MergeError("is no pair of strings");
        int room = at + _json.ValueSpan.Length;
        if (buffer.Length < room)
            Array.Resize(ref buffer, Math.Max(room, 2 * buffer.Length));
        return at + _json.CopyString(buffer.AsSpan(at));
    }

    private readonly PerenosException MergeError(string what) => Error($"merge {_merges.Count} {what}.");

    private readonly TokenModel BuildModel()
    {
        var spec = Spec("$.model", _options);
        // Old files name no type: the reference takes those with merges for BPE.
        string type = _options.ContainsKey("type") ? spec.Type : "BPE";
        if (type == "Unigram")
            return BuildUnigram(spec);
        if (type is not ("BPE" or "WordLevel" or "WordPiece"))
            throw spec.Unknown("model", ["BPE", "Unigram", "WordLevel", "WordPiece"]);
        if (_tokens is null)
            throw spec.Error("\"vocab\" is missing.");
        if (type != "BPE")
            return BuildWordModel(spec, type, new Vocabulary(_tokens));
        if (spec.Has("dropout") && !(spec.At("dropout").Json is { ValueKind: JsonValueKind.Number } dropout && dropout.GetDouble() == 0))
            throw spec.Error("\"dropout\" would make every encoding random.", "Set it to null.");
        var vocabulary = new Vocabulary(_tokens);
        string? unknown = spec.TextOrNull("unk_token");
        if (unknown is not null && vocabulary.IdOf(unknown) < 0)
            throw spec.Error($"the unknown token \"{unknown}\" is not in the vocabulary.");
        return new BpeModel(vocabulary, _merges, _results, new BpeOptions
        {
            UnknownToken = unknown,
            ContinuingSubwordPrefix = spec.TextOrNull("continuing_subword_prefix") ?? "",
            EndOfWordSuffix = spec.TextOrNull("end_of_word_suffix") ?? "",
            FuseUnknown = spec.Flag("fuse_unk", false),
            ByteFallback = spec.Flag("byte_fallback", false),
            IgnoreMerges = spec.Flag("ignore_merges", false),
        });
    }

    private static TokenModel BuildWordModel(ComponentSpec spec, string type, Vocabulary vocabulary)
    {
        string unknown = spec.TextOrNull("unk_token") ?? "[UNK]";
        int id = vocabulary.IdOf(unknown);
        if (id < 0)
            throw spec.Error($"the unknown token \"{unknown}\" is not in the vocabulary.");
        return type == "WordLevel"
            ? new WordLevelModel(vocabulary, id)
            : new WordPieceModel(
                vocabulary, id, spec.TextOrNull("continuing_subword_prefix") ?? "##", spec.Number("max_input_chars_per_word", 100));
    }

    private static UnigramModel BuildUnigram(ComponentSpec spec)
    {
        var pieces = spec.Items("vocab").ConvertAll(static entry =>
            entry.Json.ValueKind == JsonValueKind.Array && entry.Json.GetArrayLength() == 2
                && entry.Json[0].ValueKind == JsonValueKind.String && entry.Json[1].ValueKind == JsonValueKind.Number
                ? (entry.Json[0].GetString()!, entry.Json[1].GetDouble())
                : throw entry.Error("a token and its score were expected."));
        int unknown = spec.Number("unk_id", -1);
        if (unknown >= pieces.Count)
            throw spec.Error($"unk_id {unknown} is beyond the {pieces.Count} tokens.");
        return new UnigramModel(pieces, unknown, spec.Flag("byte_fallback", false));
    }

    private readonly List<AddedToken> ReadAdded(Vocabulary vocabulary)
    {
        var all = Spec("$", _sections);
        var tokens = new List<AddedToken>();
        if (!all.Has("added_tokens"))
            return tokens;
        var contents = new HashSet<string>();
        foreach (var spec in all.Items("added_tokens"))
        {
            string content = spec.Text("content");
            bool special = spec.Flag("special", false);
            if (content.Length == 0 || !contents.Add(content))
                continue;
            int known = vocabulary.IdOf(content);
            tokens.Add(new AddedToken(known >= 0 ? known : spec.Number("id"), content)
            {
                SingleWord = spec.Flag("single_word", false),
                StripsLeft = spec.Flag("lstrip", false),
                StripsRight = spec.Flag("rstrip", false),
                Normalized = spec.Flag("normalized", !special),
                Special = special,
            });
        }

        return tokens;
    }

    private readonly ComponentSpec Spec(string path, Dictionary<string, JsonElement> members) =>
        new(JsonSerializer.SerializeToElement(members), path, _file);

    private JsonElement Element()
    {
        using var document = JsonDocument.ParseValue(ref _json);
        var element = document.RootElement.Clone();
        if (element.GetRawText().Contains("\\u", StringComparison.Ordinal))
            ReadTexts(element);
        return element;
    }

    // An escape such as \ud800 is valid JSON but no text: better found here than by whoever asks for it first.
    private static void ReadTexts(JsonElement element)
    {
        if (element.ValueKind == JsonValueKind.String)
        {
            element.GetString();
        }
        else if (element.ValueKind == JsonValueKind.Array)
        {
            foreach (var item in element.EnumerateArray())
                ReadTexts(item);
        }
        else if (element.ValueKind == JsonValueKind.Object)
        {
            foreach (var member in element.EnumerateObject())
            {
                _ = member.Name;
                ReadTexts(member.Value);
            }
        }
    }

    private string? NextProperty() => _json.Read() && _json.TokenType == JsonTokenType.PropertyName ? _json.GetString() : null;

    private void Expect(JsonTokenType type)
    {
        if (!_json.Read() || _json.TokenType != type)
            throw Error("an object was expected.");
    }

    private readonly PerenosException Error(string message) =>
        new($"{_file}, {_path}: {message}", "Save the tokenizer again with the library that made it.");
}
