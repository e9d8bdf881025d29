using System.Text.Json;

namespace Perenos.Text.Tokenization;

/// <summary>Builds the parts of a tokenizer.json by their "type". Defaults are those of the reference's deserializer.</summary>
internal static class TokenizerComponents
{
    private static readonly Dictionary<string, Func<ComponentSpec, PreTokenizer>> PreTokenizers = new()
    {
        ["ByteLevel"] = static spec => new ByteLevelPreTokenizer(spec.Flag("add_prefix_space", true), spec.Flag("use_regex", true)),
        ["Digits"] = static spec => new DigitSplitter(spec.Flag("individual_digits", false)),
        ["FixedLength"] = static spec => new FixedLengthSplitter(Math.Max(1, spec.Number("length", 5))),
        ["Split"] = static spec => new PatternSplitter(Pattern(spec.At("pattern")), Behavior(spec), spec.Flag("invert", false)),
        ["Sequence"] = static spec => new PreTokenizerSequence(spec.Items("pretokenizers").ConvertAll(PreTokenizer)),
    };

    private static readonly Dictionary<string, Func<ComponentSpec, PostProcessor>> PostProcessors = new()
    {
        ["BertProcessing"] = static spec => new BertProcessor(spec.TokenAndId("cls"), spec.TokenAndId("sep")),
        ["ByteLevel"] = static spec => new ByteLevelProcessor(spec.Flag("add_prefix_space", true), spec.Flag("trim_offsets", true)),
        ["RobertaProcessing"] = static spec => new RobertaProcessor(
            spec.TokenAndId("cls"), spec.TokenAndId("sep"), spec.Flag("trim_offsets", true), spec.Flag("add_prefix_space", true)),
        ["Sequence"] = static spec => new PostProcessorSequence(spec.Items("processors").ConvertAll(PostProcessor)),
        ["TemplateProcessing"] = static spec => new TemplateProcessor(Template(spec, "single"), Template(spec, "pair")),
    };

    private static readonly Dictionary<string, Func<ComponentSpec, TokenDecoder>> Decoders = new()
    {
        ["ByteLevel"] = static _ => new ByteLevelDecoder(),
        ["Sequence"] = static spec => new DecoderSequence(spec.Items("decoders").ConvertAll(Decoder)),
    };

    private static readonly Dictionary<string, Func<ComponentSpec, Normalizer>> Normalizers = [];

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
        if (expression == Gpt2Words.Pattern)
            return new Gpt2Pattern();
        throw spec.Error($"the expression {expression} is not known.");
    }

    private static SplitBehavior Behavior(ComponentSpec spec)
    {
        string name = spec.Text("behavior");
        return Enum.TryParse<SplitBehavior>(name, out var behavior) && behavior.ToString() == name
            ? behavior
            : throw spec.Error($"\"{name}\" is no split behavior.", $"Known are {string.Join(", ", Enum.GetNames<SplitBehavior>())}.");
    }

    private static List<TemplatePiece> Template(ComponentSpec spec, string name) => spec.Items(name).ConvertAll(item =>
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
    });
}
