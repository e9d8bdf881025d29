using System.Text.Json;
using Perenos.Runs;

namespace Perenos.Text.Tokenization;

/// <summary>
/// What a Hugging Face tokenizer.json describes: added tokens, normalizer, pre-tokenizer, model, post-processor, decoder. All
/// methods may be called from several threads at once.
/// </summary>
public sealed class Tokenizer
{
    private const int InputPlace = -1;

    private readonly TokenizerParts _parts;
    private readonly string _file;
    private readonly TextEncoder _encoder;
    private readonly PostProcessor? _postProcessor;
    private readonly TokenDecoder? _decoder;
    private readonly Dictionary<int, AddedToken> _addedById = [];
    private readonly Dictionary<string, int> _addedByContent = [];
    private readonly HashSet<string> _specials;
    private readonly int[] _frame;

    private Tokenizer(TokenizerParts parts, string file)
    {
        _parts = parts;
        _file = file;
        _encoder = new TextEncoder(
            parts.Normalizer ?? Section("normalizer", TokenizerComponents.Normalizer),
            parts.PreTokenizer ?? Section("pre_tokenizer", TokenizerComponents.PreTokenizer),
            parts.Model,
            parts.Added);
        _postProcessor = Section("post_processor", TokenizerComponents.PostProcessor);
        _decoder = parts.Decoder ?? Section("decoder", TokenizerComponents.Decoder);
        Truncation = Section("truncation", TruncationSettings.Read);
        Padding = Section("padding", PaddingSettings.Read);
        foreach (var token in parts.Added)
        {
            _addedById[token.Id] = token;
            _addedByContent[token.Content] = token.Id;
        }

        _specials = [.. parts.Added.Where(token => token.Special).Select(token => token.Content)];
        _frame = Frame();

        T? Section<T>(string name, Func<ComponentSpec, T> build)
            where T : class =>
            parts.Sections.TryGetValue(name, out var json) && json.ValueKind != JsonValueKind.Null
                ? build(new ComponentSpec(json, $"$.{name}", file))
                : null;
    }

    /// <summary>The highest id + 1, added tokens included: the least number of rows an embedding must have.</summary>
    public int VocabularySize =>
        Math.Max(_parts.Model.Vocabulary.HighestId, _addedById.Count == 0 ? -1 : _addedById.Keys.Max()) + 1;

    /// <summary>How <see cref="EncodeBatch"/> cuts long texts; null where the file says nothing.</summary>
    public TruncationSettings? Truncation { get; }

    /// <summary>How <see cref="EncodeBatch"/> fills short texts up; null where the file says nothing.</summary>
    public PaddingSettings? Padding { get; }

    /// <summary>What this tokenizer is: kind, size, added tokens, bytes that it cannot spell.</summary>
    public TokenizerFacts Facts()
    {
        var vocabulary = _parts.Model.Vocabulary;
        return new TokenizerFacts
        {
            Kind = _parts.Model.Kind(isByteLevel: _decoder is ByteLevelDecoder),
            TransformersClass = _parts.Class,
            Entries = vocabulary.Count + _addedById.Values.Count(token => vocabulary.IdOf(token.Content) < 0),
            Merges = _parts.Merges.Count,
            Added = [.. _addedById.Values.OrderBy(token => token.Id).Select(token => new AddedTokenFact(token.Id, token.Content, token.Special))],
            MissingBytes = _parts.Model.MissingBytes(isByteLevel: _decoder is ByteLevelDecoder),
            UnknownToken = _parts.Model.UnknownToken,
        };
    }

    /// <summary>Reads a tokenizer.json file.</summary>
    /// <exception cref="PerenosException">The file is missing or malformed, or names a component that is not known.</exception>
    public static Tokenizer Load(string path)
    {
        if (!File.Exists(path))
            throw new PerenosException($"There is no file {path}.", "Name a tokenizer.json.");
        return Parse(File.ReadAllBytes(path), path);
    }

    /// <summary>Reads the text of a tokenizer.json; <paramref name="name"/> stands for it in error messages.</summary>
    /// <exception cref="PerenosException">It is malformed, or names a component that is not known.</exception>
    public static Tokenizer Parse(ReadOnlySpan<byte> json, string name) => new(TokenizerReader.Read(json, name), name);

    /// <summary>Reads the files that GPT-2's tokenizer came as: encoder.json (vocab.json) and vocab.bpe (merges.txt).</summary>
    /// <exception cref="PerenosException">A file is missing or malformed.</exception>
    public static Tokenizer LoadGpt2(string vocabularyPath, string mergesPath) => Gpt2Files.Load(vocabularyPath, mergesPath);

    /// <summary>
    /// Opens the tokenizer of a folder: tokenizer.json, else a SentencePiece model (tokenizer.model), else vocab.json with merges.txt, else
    /// BioGPT's dict.txt with bpecodes; null where it holds none of these.
    /// </summary>
    /// <exception cref="PerenosException">A file is malformed, or its kind is not known.</exception>
    public static Tokenizer? OpenFolder(string folder)
    {
        ArgumentNullException.ThrowIfNull(folder);
        return TokenizerFolder.Open(folder);
    }

    /// <summary>Builds the tokenizer that the metadata of a GGUF file describes (the keys tokenizer.ggml.*).</summary>
    /// <param name="model">tokenizer.ggml.model: "gpt2" (byte-level BPE) or "llama" (SentencePiece BPE).</param>
    /// <param name="pre">tokenizer.ggml.pre, the name of the word pattern of byte-level BPE.</param>
    /// <param name="tokens">All tokens by id.</param>
    /// <param name="merges">Pairs with a blank between; needed by "gpt2".</param>
    /// <param name="scores">Scores by id; needed by "llama".</param>
    /// <param name="tokenTypes">Types by id: 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte.</param>
    /// <param name="bosId">The token that begins a text; special whatever its type.</param>
    /// <param name="eosId">The token that ends a text; special whatever its type.</param>
    /// <param name="addsBos">Whether it is put before a text; by default "llama" and the pattern "llama-bpe" do so.</param>
    /// <param name="addsEos">Whether it is put behind a text; not so by default.</param>
    /// <param name="addsSpacePrefix">Whether "llama" puts a blank before a text; so by default.</param>
    /// <exception cref="PerenosException">The lists do not fit together, or a kind or pattern is not known.</exception>
    public static Tokenizer FromGguf(
        string model,
        string? pre,
        IReadOnlyList<string> tokens,
        IReadOnlyList<string>? merges,
        IReadOnlyList<float>? scores,
        IReadOnlyList<int> tokenTypes,
        int? bosId,
        int? eosId,
        bool? addsBos = null,
        bool? addsEos = null,
        bool? addsSpacePrefix = null)
    {
        ArgumentNullException.ThrowIfNull(tokens);
        ArgumentNullException.ThrowIfNull(tokenTypes);
        return GgufTokenizer.Build(model, pre, tokens, merges, scores, tokenTypes, bosId, eosId, addsBos, addsEos, addsSpacePrefix);
    }

    /// <summary>This tokenizer as the metadata of a GGUF file, after a check that texts are still cut alike.</summary>
    /// <param name="rows">Rows of the model's embedding: ids without a token get a placeholder.</param>
    /// <param name="preferredPre">Name of the word pattern where several names mean the same, such as that of the file it came from.</param>
    /// <exception cref="PerenosException">GGUF has no words for its kind or its way to cut text.</exception>
    public GgufVocabulary ToGguf(int rows, string? preferredPre = null) => new GgufVocabularyBuilder(this, _parts, rows).Build(preferredPre);

    /// <summary>The ids of a text.</summary>
    /// <param name="text">Any text; lone surrogates count as U+FFFD.</param>
    /// <param name="addSpecialTokens">Whether the post-processor puts its tokens around the text.</param>
    /// <param name="specialsAsText">Whether special tokens spelled out in the text are ordinary text.</param>
    public int[] Encode(string text, bool addSpecialTokens = false, bool specialsAsText = false)
    {
        ArgumentNullException.ThrowIfNull(text);
        var ids = new List<int>(text.Length / 3 + 8);
        if (!addSpecialTokens)
        {
            _encoder.Append(text, specialsAsText, ids);
        }
        else
        {
            foreach (int id in _frame)
            {
                if (id == InputPlace)
                    _encoder.Append(text, specialsAsText, ids);
                else
                    ids.Add(id);
            }
        }

        return [.. ids];
    }

    /// <summary>The tokens of a text with their places in it.</summary>
    public TokenEncoding EncodeWithOffsets(string text, bool addSpecialTokens = false, bool specialsAsText = false)
    {
        ArgumentNullException.ThrowIfNull(text);
        return Process([_encoder.Trace(text, specialsAsText)], addSpecialTokens);
    }

    /// <summary>The tokens of two texts that belong together, as the post-processor joins them.</summary>
    public TokenEncoding EncodePair(string text, string pair, bool addSpecialTokens = true, bool specialsAsText = false)
    {
        ArgumentNullException.ThrowIfNull(text);
        ArgumentNullException.ThrowIfNull(pair);
        return Process([_encoder.Trace(text, specialsAsText), _encoder.Trace(pair, specialsAsText).With(typeId: 1)], addSpecialTokens);
    }

    /// <summary>
    /// Encodes texts, or pairs of texts, cut and filled up as <see cref="Truncation"/> and <see cref="Padding"/> say; the other methods
    /// never cut or fill.
    /// </summary>
    /// <exception cref="PerenosException">A pair cannot be cut as asked.</exception>
    public TokenEncoding[] EncodeBatch(IReadOnlyList<(string Text, string? Pair)> inputs, bool addSpecialTokens = true)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        var encodings = new TokenEncoding[inputs.Count];
        for (int index = 0; index < encodings.Length; index++)
        {
            var (text, pair) = inputs[index];
            var parts = new List<TokenEncoding> { _encoder.Trace(text, specialsAsText: false) };
            if (pair is not null)
                parts.Add(_encoder.Trace(pair, specialsAsText: false).With(typeId: 1));
            Truncation?.Apply(parts, addSpecialTokens ? _postProcessor?.AddedTokens(parts.Count > 1) ?? 0 : 0);
            encodings[index] = Process(parts, addSpecialTokens);
        }

        Padding?.Apply(encodings);
        return encodings;
    }

    /// <summary>This tokenizer with other settings for batches; null means neither cutting nor filling.</summary>
    public Tokenizer With(TruncationSettings? truncation, PaddingSettings? padding)
    {
        var sections = new Dictionary<string, JsonElement>(_parts.Sections)
        {
            ["truncation"] = JsonSerializer.SerializeToElement(truncation?.ToSection()),
            ["padding"] = JsonSerializer.SerializeToElement(padding?.ToSection()),
        };
        return new Tokenizer(_parts with { Sections = sections }, _file);
    }

    /// <summary>This tokenizer with more tokens, which are found in a text as they are written; the ids follow the highest.</summary>
    /// <param name="tokens">How they are written.</param>
    /// <param name="areSpecial">Whether decoding leaves them out with the special tokens.</param>
    /// <param name="areWholeWords">Whether only a match that stands alone as a word counts.</param>
    /// <exception cref="PerenosException">A token is there already, is empty or comes twice; or the tokenizer is not kept as a tokenizer.json.</exception>
    public Tokenizer Extend(IReadOnlyList<string> tokens, bool areSpecial = false, bool areWholeWords = false)
    {
        ArgumentNullException.ThrowIfNull(tokens);
        if (_parts.Files.Count > 0)
            throw new PerenosException($"{_file} is not kept as a tokenizer.json, and its own form takes no more tokens.", "Take the tokenizer.json of the same model, if there is one.");
        if (tokens.FirstOrDefault(token => token.Length == 0 || IdOf(token) is not null) is { } known)
            throw new PerenosException($"The tokenizer has the token \"{known}\" already.", "Leave it out.");
        if (tokens.CountBy(static token => token).FirstOrDefault(static entry => entry.Value > 1) is { Key: { } twice })
            throw new PerenosException($"The token \"{twice}\" comes twice.", "Name each token once.");
        int first = VocabularySize;
        AddedToken[] added = [.. tokens.Select((token, index) => new AddedToken(first + index, token) { Special = areSpecial, SingleWord = areWholeWords })];
        var sections = new Dictionary<string, JsonElement>(_parts.Sections)
        {
            ["added_tokens"] = JsonSerializer.SerializeToElement(
                (_parts.Sections.TryGetValue("added_tokens", out var listed) && listed.ValueKind == JsonValueKind.Array ? listed.EnumerateArray().Select(static token => (object)token) : [])
                .Concat(added.Select(static token => token.ToSection()))),
        };
        return new Tokenizer(_parts with { Added = [.. _parts.Added, .. added], Sections = sections }, _file);
    }

    /// <summary>The text of ids; ids that no token has are left out.</summary>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens = true)
    {
        var tokens = new List<string>(ids.Length);
        foreach (int id in ids)
        {
            if (Piece(id, skipSpecialTokens) is { } token)
                tokens.Add(token);
        }

        return _decoder is null ? string.Join(' ', tokens) : tokens.Count == 0 ? "" : string.Concat(_decoder.Apply(tokens));
    }

    /// <summary>Decodes ids one at a time, as they are generated.</summary>
    public TokenStream Stream(bool skipSpecialTokens = true) => new(this, _decoder, skipSpecialTokens);

    /// <summary>The id of a token as the vocabulary spells it, or null.</summary>
    public int? IdOf(string token)
    {
        ArgumentNullException.ThrowIfNull(token);
        if (_addedByContent.TryGetValue(token, out int id))
            return id;
        return _parts.Model.Vocabulary.IdOf(token) is >= 0 and var known ? known : null;
    }

    /// <summary>The token of an id as the vocabulary spells it, or null.</summary>
    public string? TokenOf(int id) => _addedById.TryGetValue(id, out var added) ? added.Content : _parts.Model.Vocabulary.TokenOf(id);

    /// <summary>Whether the id is that of an added token marked special.</summary>
    public bool IsSpecial(int id) => _addedById.TryGetValue(id, out var added) && added.Special;

    /// <summary>The tokenizer as a tokenizer.json.</summary>
    /// <exception cref="PerenosException">It is BioGPT's, which a tokenizer.json cannot hold.</exception>
    public byte[] ToJson()
    {
        if (_parts.Model is BioGptModel)
            throw new PerenosException("BioGPT's tokenizer has no form as a tokenizer.json.", "Save it to a folder, as vocab.json and merges.txt.");
        var vocabulary = _parts.Model.Vocabulary;
        return TokenizerWriter.Write(
            _parts.Sections,
            _parts.ModelOptions,
            _parts.Model is UnigramModel ? null : vocabulary.InOrder, // a unigram model's list is among its options
            _parts.Model is BpeModel
                ? _parts.Merges.Select(merge => (vocabulary.TokenOf(merge.Left)!, vocabulary.TokenOf(merge.Right)!))
                : null);
    }

    /// <summary>Writes the tokenizer into a folder in the form that it came in: tokenizer.json, tokenizer.model, or vocab.json and merges.txt.</summary>
    public void SaveTo(string folder)
    {
        if (_parts.Files.Count == 0)
            Save(Path.Combine(folder, "tokenizer.json"));
        foreach (var (name, content) in _parts.Files)
            File.WriteAllBytes(Path.Combine(folder, name), content);
    }

    /// <summary>Writes a tokenizer.json: under a temporary name first, so that a reader never sees half of it.</summary>
    public void Save(string path)
    {
        string temporary = path + ".tmp";
        File.WriteAllBytes(temporary, ToJson());
        File.Move(temporary, path, overwrite: true);
    }

    internal static Tokenizer Of(TokenizerParts parts, string file) => new(parts, file);

    /// <summary>
    /// The token that a decoder sees for an id; null for one that is not there or not wanted. As in the reference, decoders see the
    /// normalized form of an added token, and it is this form that must spell a special token to be left out.
    /// </summary>
    internal string? Piece(int id, bool skipSpecialTokens)
    {
        string? token = _encoder.NormalizedForm(id) ?? TokenOf(id);
        return token is not null && skipSpecialTokens && _specials.Contains(token) ? null : token;
    }

    /// <summary>The words that the model would see of a text without added tokens.</summary>
    internal IEnumerable<string> Words(string text) => _encoder.Words(text);

    private TokenEncoding Process(List<TokenEncoding> parts, bool addSpecialTokens)
    {
        for (int index = 0; index < parts.Count; index++)
            parts[index] = parts[index].WithEach(part => part.With(sequence: index)).With(typeId: index);
        return TokenEncoding.Join(_postProcessor?.Apply(parts, addSpecialTokens) ?? parts);
    }

    // What the post-processor puts around the ids of a text, found by showing it a text of one token.
    private int[] Frame()
    {
        var probe = new TokenEncoding
        {
            Ids = [InputPlace],
            Tokens = [""],
            Offsets = [(0, 0)],
            TypeIds = [0],
            SpecialTokensMask = [false],
            AttentionMask = [true],
            WordIds = [0],
            SequenceIds = [0],
        };
        return Process([probe], addSpecialTokens: true).Ids;
    }
}
