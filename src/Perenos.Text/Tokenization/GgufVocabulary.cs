using System.Text.Json;
using Perenos.Runs;

namespace Perenos.Text.Tokenization;

/// <summary>A tokenizer as the metadata of a GGUF file hold it (the keys tokenizer.ggml.*); see <see cref="Tokenizer.ToGguf"/>.</summary>
/// <param name="Model">"gpt2" for byte-level BPE, "llama" for BPE with scores as SentencePiece makes it.</param>
/// <param name="Pre">Name of the word pattern; "default" where the model has none.</param>
/// <param name="Tokens">Tokens by id.</param>
/// <param name="Types">By id: 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte.</param>
/// <param name="Merges">Pairs with a blank between, best first; empty for "llama".</param>
/// <param name="Scores">Scores by id; empty for "gpt2".</param>
/// <param name="BeginId">The token that is put before a text, if any.</param>
/// <param name="EndId">The token that is put behind a text, if any.</param>
/// <param name="AddsSpacePrefix">Whether a blank is put before a text.</param>
/// <param name="Losses">What the metadata cannot say, one sentence each.</param>
public sealed record GgufVocabulary(
    string Model,
    string Pre,
    IReadOnlyList<string> Tokens,
    IReadOnlyList<int> Types,
    IReadOnlyList<string> Merges,
    IReadOnlyList<float> Scores,
    int? BeginId,
    int? EndId,
    bool AddsSpacePrefix,
    IReadOnlyList<string> Losses)
{
    /// <summary>The tokenizer that a reader of these metadata builds.</summary>
    public Tokenizer Open() => GgufTokenizer.Build(
        Model, Pre, Tokens, Merges.Count > 0 ? Merges : null, Scores.Count > 0 ? Scores : null, Types, BeginId, EndId,
        BeginId is not null, EndId is not null, AddsSpacePrefix);
}

/// <summary>Spells a tokenizer in the metadata of GGUF, and makes sure that it still cuts text in the same way.</summary>
internal sealed class GgufVocabularyBuilder(Tokenizer tokenizer, TokenizerParts parts, int rows)
{
    private const int Normal = 1, Unknown = 2, Control = 3, UserDefined = 4, Unused = 5, Byte = 6;

    /// <summary>Blanks, digits, contractions, scripts, line ends, code and emoji: what word patterns treat differently.</summary>
    private static readonly string[] Probes =
    [
        "Hello, world! It's 3 33 333 3333 o'clock;  we'll see — naïve café.",
        "def f(x):\n\treturn x**2  # 10_000\r\n\r\n    print(\"a\\tb\")   \n \n",
        "ÉCOLE don'T I'LL Straße нещо на Български ភាសា 我想在apple工作1314151天～ 日本語 한국어",
        "🚀 😶\u200d🌫️ ✅ ---===*** ... ??? \u00a0\u2003x\t\t y½ ²³ ٣٤",
        " leading", "trailing ", "   ", "\n\n\n", "a",
    ];

    private static readonly string[] ByteLevelSections = ["pre_tokenizer", "normalizer"];

    /// <summary>e and a combining accent, not composed: what NFC changes.</summary>
    private const string Decomposed = "cafe\u0301 e\u0301cole";

    public GgufVocabulary Build(string? preferredPre)
    {
        if (parts.Model is not BpeModel)
        {
            throw new PerenosException(
                $"The tokenizer is of the kind {parts.ModelOptions.GetValueOrDefault("type")}, which GGUF has no place for here.",
                "BPE vocabularies can be written, byte-level or with byte fallback; keep the safetensors form of this model.");
        }

        var candidates = IsByteLevel() ? ByteLevelCandidates(preferredPre) : SentencePieceCandidates();
        foreach (var candidate in candidates)
        {
            var rebuilt = candidate.Open();
            if (!Probes.All(text => tokenizer.Encode(text, addSpecialTokens: true).SequenceEqual(rebuilt.Encode(text, addSpecialTokens: true))))
                continue;
            return tokenizer.Encode(Decomposed).SequenceEqual(rebuilt.Encode(Decomposed))
                ? candidate
                : candidate with { Losses = [.. candidate.Losses, "GGUF does not name the tokenizer's Unicode normalization: text that is not composed (NFC) is cut differently."] };
        }

        throw new PerenosException(
            "None of the ways to cut text that GGUF can name cuts as this tokenizer does.",
            $"Known are {string.Join(", ", GgufTokenizer.KnownPatterns.Order(StringComparer.Ordinal))}, and SentencePiece vocabularies; keep the safetensors form of this model.");
    }

    private bool IsByteLevel() => ByteLevelSections
        .Any(name => parts.Sections.TryGetValue(name, out var section) && section.ValueKind == JsonValueKind.Object && section.GetRawText().Contains("\"ByteLevel\"", StringComparison.Ordinal));

    private IEnumerable<GgufVocabulary> ByteLevelCandidates(string? preferredPre)
    {
        var (tokens, types) = Entries(isByteLevel: true);
        var vocabulary = parts.Model.Vocabulary;
        string[] merges = [.. parts.Merges.Select(merge => $"{vocabulary.TokenOf(merge.Left)} {vocabulary.TokenOf(merge.Right)}")];
        var (begin, end) = Frame();
        // Building one takes as long as loading the tokenizer: only those whose words are alike are tried in full.
        return GgufTokenizer.KnownPatterns.Where(SplitsAlike).OrderByDescending(pre => pre == preferredPre)
            .Select(pre => new GgufVocabulary("gpt2", pre, tokens, types, merges, [], begin, end, false, Losses()));
    }

    private bool SplitsAlike(string pre)
    {
        var other = GgufTokenizer.PreTokenizerOf(pre);
        return Probes.All(text => tokenizer.Words(text).SequenceEqual(other.Apply(new AlignedText(text)).Select(word => word.Text)));
    }

    private IEnumerable<GgufVocabulary> SentencePieceCandidates()
    {
        var (tokens, types) = Entries(isByteLevel: false);
        var (begin, end) = Frame();
        float[] scores = Scores(tokens.Length);
        GgufVocabulary With(bool prefix) => new("llama", "default", tokens, types, [], scores, begin, end, prefix, Losses());
        return [With(true), With(false)];
    }

    private (string[] Tokens, int[] Types) Entries(bool isByteLevel)
    {
        int count = Math.Max(rows, tokenizer.VocabularySize);
        var tokens = new string[count];
        int[] types = new int[count];
        string? unknown = parts.ModelOptions.GetValueOrDefault("unk_token") is { ValueKind: JsonValueKind.String } name ? name.GetString() : null;
        var added = parts.Added.ToDictionary(token => token.Id);
        for (int id = 0; id < count; id++)
        {
            (tokens[id], types[id]) = (tokenizer.TokenOf(id), added.GetValueOrDefault(id)) switch
            {
                (null, _) => ($"[PAD{id}]", Unused),
                ({ } token, _) when !isByteLevel && token == unknown => (token, Unknown),
                ({ } token, { Special: true }) => (token, Control),
                // SentencePiece's mark for a blank stands for a blank in user-defined tokens.
                ({ } token, not null) => (isByteLevel ? token : token.Replace('\u2581', ' '), UserDefined),
                ({ Length: 6 } token, _) when !isByteLevel && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>' => (token, Byte),
                ({ } token, _) => (token, Normal),
            };
        }

        return (tokens, types);
    }

    /// <summary>The order in which merges make tokens, best first; tokens that no merge makes come last and are never asked for theirs.</summary>
    private float[] Scores(int count)
    {
        var vocabulary = parts.Model.Vocabulary;
        var scores = new float[count];
        int made = 0;
        foreach (var (left, right) in parts.Merges)
        {
            int id = vocabulary.IdOf(vocabulary.TokenOf(left) + vocabulary.TokenOf(right));
            if (id >= 0 && scores[id] == 0)
                scores[id] = -++made;
        }

        for (int id = 0; id < count; id++)
            scores[id] = scores[id] == 0 ? -(made + 1) : scores[id];
        return scores;
    }

    private (int? Begin, int? End) Frame()
    {
        int[] plain = tokenizer.Encode("a"), framed = tokenizer.Encode("a", addSpecialTokens: true);
        int extra = framed.Length - plain.Length;
        int before = extra == 0 ? 0 : Enumerable.Range(0, extra + 1).FirstOrDefault(start => framed.AsSpan(start, plain.Length).SequenceEqual(plain), -1);
        return before is 0 or 1 && extra - before is 0 or 1
            ? (before == 1 ? framed[0] : null, extra > before ? framed[^1] : null)
            : throw new PerenosException(
                "The tokenizer puts more than one token before or behind a text, which GGUF cannot say.",
                "Keep the safetensors form of this model.");
    }

    private List<string> Losses()
    {
        int particular = parts.Added.Count(token => token.StripsLeft || token.StripsRight || token.SingleWord);
        return particular == 0 ? [] : [$"GGUF cannot say that {particular} added tokens swallow the blanks beside them or stand alone as words."];
    }
}
