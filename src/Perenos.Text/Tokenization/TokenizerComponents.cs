using System.Text.Json;

namespace Perenos.Text.Tokenization;

/// <summary>Builds the parts of a tokenizer.json by their "type". Defaults are those of the reference's deserializer.</summary>
internal static class TokenizerComponents
{
    private static readonly CodePointPattern Blanks = new(CharacterClasses.IsWhiteSpace);
    private static readonly CodePointPattern Punctuation = new(CharacterClasses.IsPunctuation);

    private static readonly Dictionary<string, Func<ComponentSpec, PreTokenizer>> PreTokenizers = new()
    {
        ["BertPreTokenizer"] = static _ => new PreTokenizerSequence([
            new PatternSplitter(Blanks, SplitBehavior.Removed), new PatternSplitter(Punctuation, SplitBehavior.Isolated)]),
        ["ByteLevel"] = static spec => new ByteLevelPreTokenizer(spec.Flag("add_prefix_space", true), spec.Flag("use_regex", true)),
        ["CharDelimiterSplit"] = static spec => new PatternSplitter(new LiteralPattern(spec.Character("delimiter")), SplitBehavior.Removed),
        ["Digits"] = static spec => new DigitSplitter(spec.Flag("individual_digits", false)),
        ["FixedLength"] = static spec => new FixedLengthSplitter(Math.Max(1, spec.Number("length", 5))),
        ["Metaspace"] = static spec => new MetaspacePreTokenizer(spec.Character("replacement"), Scheme(spec), spec.Flag("split", true)),
        ["Punctuation"] = static spec => new PatternSplitter(
            Punctuation, spec.Has("behavior") ? Behavior(spec) : SplitBehavior.Isolated),
        ["Split"] = static spec => new PatternSplitter(Pattern(spec.At("pattern")), Behavior(spec), spec.Flag("invert", false)),
        ["Sequence"] = static spec => new PreTokenizerSequence(spec.Items("pretokenizers").ConvertAll(PreTokenizer)),
        ["UnicodeScripts"] = static _ => new ScriptSplitter(),
        ["Whitespace"] = static _ => new WhitespaceSplitter(),
        ["WhitespaceSplit"] = static _ => new PatternSplitter(Blanks, SplitBehavior.Removed),
    };

    private static readonly Dictionary<string, Func<ComponentSpec, PostProcessor>> PostProcessors = new()
    {
        ["BertProcessing"] = static spec => new BertProcessor(spec.TokenAndId("cls"), spec.TokenAndId("sep")),
        ["ByteLevel"] = static spec => new ByteLevelProcessor(spec.Flag("add_prefix_space", true), spec.Flag("trim_offsets", true)),
        ["RobertaProcessing"] = static spec => new RobertaProcessor(
            spec.TokenAndId("cls"), spec.TokenAndId("sep"), spec.Flag("trim_offsets", true), spec.Flag("add_prefix_space", true)),
        ["Sequence"] = static spec => new PostProcessorSequence(spec.Items("processors").ConvertAll(PostProcessor)),
        ["TemplateProcessing"] = static spec => new TemplateProcessor(
            Template(spec, "single", static sequences => !sequences.Contains(1)),
            Template(spec, "pair", static sequences => sequences.Contains(0) && sequences.Contains(1))),
    };

    private static readonly Dictionary<string, Func<ComponentSpec, TokenDecoder>> Decoders = new()
    {
        ["BPEDecoder"] = static spec => new BpeDecoder(spec.TextOrNull("suffix") ?? "</w>"),
        ["ByteFallback"] = static _ => new ByteFallbackDecoder(),
        ["ByteLevel"] = static _ => new ByteLevelDecoder(),
        ["CTC"] = static spec => new CtcDecoder(spec.Text("pad_token"), spec.Text("word_delimiter_token"), spec.Flag("cleanup", true)),
        ["Fuse"] = static _ => new FuseDecoder(),
        ["Metaspace"] = static spec => new MetaspaceDecoder(spec.Character("replacement"), Scheme(spec)),
        ["Replace"] = static spec => new ReplaceDecoder(Pattern(spec.At("pattern")), spec.Text("content")),
        ["Sequence"] = static spec => new DecoderSequence(spec.Items("decoders").ConvertAll(Decoder)),
        ["Strip"] = static spec => new StripDecoder(spec.Character("content"), spec.Number("start"), spec.Number("stop")),
        ["WordPiece"] = static spec => new WordPieceDecoder(spec.Text("prefix"), spec.Flag("cleanup", true)),
    };

    private static readonly Dictionary<string, Func<ComponentSpec, Normalizer>> Normalizers = new()
    {
        ["BertNormalizer"] = static spec => new BertNormalizer(
            spec.Flag("clean_text", true),
            spec.Flag("handle_chinese_chars", true),
            spec.Has("strip_accents") ? spec.Flag("strip_accents", false) : null,
            spec.Flag("lowercase", true)),
        ["ByteLevel"] = static _ => new ByteLevelNormalizer(),
        ["Lowercase"] = static _ => new LowercaseNormalizer(),
        ["NFC"] = static _ => new UnicodeNormalizer(NormalizationKind.Nfc),
        ["NFD"] = static _ => new UnicodeNormalizer(NormalizationKind.Nfd),
        ["NFKC"] = static _ => new UnicodeNormalizer(NormalizationKind.Nfkc),
        ["NFKD"] = static _ => new UnicodeNormalizer(NormalizationKind.Nfkd),
        ["Nmt"] = static _ => new NmtNormalizer(),
        ["Precompiled"] = static spec => new PrecompiledNormalizer(
            CharacterMap.Read(spec.Bytes("precompiled_charsmap")) ?? throw spec.Error("the table is cut off.")),
        ["Prepend"] = static spec => new PrependNormalizer(spec.Text("prepend")),
        ["Replace"] = static spec => new ReplaceNormalizer(Pattern(spec.At("pattern")), spec.Text("content")),
        ["Sequence"] = static spec => new NormalizerSequence(spec.Items("normalizers").ConvertAll(Normalizer)),
        ["Strip"] = static spec => new StripNormalizer(spec.Flag("strip_left", true), spec.Flag("strip_right", true)),
        ["StripAccents"] = static _ => new FilterNormalizer(static codePoint => !CharacterClasses.IsMark(codePoint)),
    };

    public static PreTokenizer PreTokenizer(ComponentSpec spec) => Build(spec, "pre-tokenizer", PreTokenizers);

    public static PostProcessor PostProcessor(ComponentSpec spec) => Build(spec, "post-processor", PostProcessors);

    public static TokenDecoder Decoder(ComponentSpec spec) => Build(spec, "decoder", Decoders);

    public static Normalizer Normalizer(ComponentSpec spec) => Build(spec, "normalizer", Normalizers);

    private static T Build<T>(ComponentSpec spec, string kind, Dictionary<string, Func<ComponentSpec, T>> known)
    {
        if (spec.Json.ValueKind != JsonValueKind.Object)
            throw spec.Error("an object was expected.");
        return known.TryGetValue(spec.Type, out var build) ? build(spec) : throw spec.Unknown(kind, known.Keys);
    }

    /// <summary>{"String": "…"} or {"Regex": "…"}.</summary>
    private static TextPattern Pattern(ComponentSpec spec)
    {
        if (spec.Has("String"))
            return new LiteralPattern(spec.Text("String"));
        string expression = spec.Text("Regex");
        try
        {
            return (TextPattern?)TilingPattern.For(expression) ?? new RegexPattern(expression);
        }
        catch (RegexSyntaxException error)
        {
            throw spec.Error($"the expression {expression} cannot be used: {error.Message}.");
        }
    }

    private static PrependScheme Scheme(ComponentSpec spec)
    {
        // Files from before prepend_scheme have add_prefix_space.
        string name = spec.TextOrNull("prepend_scheme") ?? (spec.Flag("add_prefix_space", true) ? "always" : "never");
        return name switch
        {
            "always" => PrependScheme.Always,
            "first" => PrependScheme.First,
            "never" => PrependScheme.Never,
            _ => throw spec.Error($"there is no prepend_scheme \"{name}\"."),
        };
    }

    private static SplitBehavior Behavior(ComponentSpec spec)
    {
        string name = spec.Text("behavior");
        return Enum.TryParse<SplitBehavior>(name, out var behavior) && behavior.ToString() == name
            ? behavior
            : throw spec.Error($"\"{name}\" is no split behavior.", $"Known are {string.Join(", ", Enum.GetNames<SplitBehavior>())}.");
    }

    private static List<TemplatePiece> Template(ComponentSpec spec, string name, Predicate<HashSet<int>> fits)
    {
        var pieces = spec.Items(name).ConvertAll(item => Piece(spec, item));
        return fits([.. pieces.Select(static piece => piece.Sequence)])
            ? pieces
            : throw spec.At(name).Error("a template for one text knows A alone, one for a pair both A and B.");
    }

    private static TemplatePiece Piece(ComponentSpec spec, ComponentSpec item)
    {
        if (item.Has("Sequence"))
        {
            var sequence = item.At("Sequence");
            return new TemplatePiece(
                sequence.Text("id") switch { "A" => 0, "B" => 1, var other => throw sequence.Error($"there is no sequence \"{other}\".") },
                sequence.Number("type_id", 0),
                [],
                []);
        }

        var special = item.At("SpecialToken");
        string id = special.Text("id");
        var all = spec.At("special_tokens");
        var token = all.At(id);
        var ids = token.Items("ids").ConvertAll(static entry => entry.AsNumber());
        var tokens = token.Items("tokens").ConvertAll(static entry => entry.AsText());
        return ids.Count == tokens.Count
            ? new TemplatePiece(-1, special.Number("type_id", 0), ids, tokens)
            : throw token.Error("there must be as many ids as tokens.");
    }
}
