using System.Text.Json;
using Perenos.Runs;

namespace Perenos.Text.Tokenization;

/// <summary>
/// Tokenizers from the metadata of a GGUF file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, tokenizer.ggml.*). The
/// word pattern is only named there, by tokenizer.ggml.pre; what each name means is in
/// https://github.com/ggml-org/llama.cpp/blob/master/src/llama-vocab.cpp.
/// </summary>
internal static class GgufTokenizer
{
    private const int UnknownType = 2, ControlType = 3, UserDefinedType = 4;

    private static readonly Dictionary<string, (object[] Steps, bool Nfc, bool IgnoreMerges)> Known = new()
    {
        ["gpt-2"] = ([TokenizerSections.ByteLevel], false, false),
        ["mpt"] = ([TokenizerSections.ByteLevel], false, false),
        ["olmo"] = ([TokenizerSections.ByteLevel], false, false),
        ["jais"] = ([TokenizerSections.ByteLevel], false, false),
        ["smollm"] = ([TokenizerSections.Digits, TokenizerSections.ByteLevel], false, false),
        ["starcoder"] = ([TokenizerSections.Digits, TokenizerSections.ByteLevel], false, false),
        ["refact"] = ([TokenizerSections.Digits, TokenizerSections.ByteLevel], false, false),
        ["command-r"] = ([TokenizerSections.Digits, TokenizerSections.ByteLevel], false, false),
        ["codeshell"] = ([TokenizerSections.Digits, TokenizerSections.ByteLevel], false, false),
        ["exaone"] = ([TokenizerSections.Digits, TokenizerSections.ByteLevel], false, false),
        ["llama-bpe"] = ([TokenizerSections.Split(Cl100kWords.ThreeDigits), TokenizerSections.ByteLevelOnly], false, true),
        ["dbrx"] = ([TokenizerSections.Split(Cl100kWords.ThreeDigits), TokenizerSections.ByteLevelOnly], false, false),
        ["smaug-bpe"] = ([TokenizerSections.Split(Cl100kWords.ThreeDigits), TokenizerSections.ByteLevelOnly], false, true),
        ["qwen2"] = ([TokenizerSections.Split(Cl100kWords.OneDigit), TokenizerSections.ByteLevelOnly], true, false),
        ["stablelm2"] = ([TokenizerSections.Split(Cl100kWords.OneDigit), TokenizerSections.ByteLevelOnly], false, false),
    };

    /// <summary>The names of word patterns that are known, commonest first.</summary>
    public static IEnumerable<string> KnownPatterns => Known.Keys;

    /// <summary>What a name of <see cref="KnownPatterns"/> stands for.</summary>
    public static PreTokenizer PreTokenizerOf(string pre)
    {
        var steps = JsonSerializer.SerializeToElement(new { type = "Sequence", pretokenizers = Known[pre].Steps });
        return TokenizerComponents.PreTokenizer(new ComponentSpec(steps, "$.pre_tokenizer", pre));
    }

    public static Tokenizer Build(
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
        if (tokenTypes.Count != tokens.Count)
        {
            throw new PerenosException(
                $"The GGUF file has {tokens.Count} tokens but {tokenTypes.Count} token types.", "Convert the model to GGUF again.");
        }

        var vocabulary = tokens.Select((token, id) => KeyValuePair.Create(token, id)).DistinctBy(entry => entry.Key);
        bool IsSpecial(int id) => tokenTypes[id] is UnknownType or ControlType || id == bosId || id == eosId;
        var added = Enumerable.Range(0, tokens.Count)
            .Where(id => tokens[id].Length > 0 && (IsSpecial(id) || tokenTypes[id] == UserDefinedType))
            .DistinctBy(id => tokens[id])
            .Select(id => new AddedToken(id, tokens[id]) { Special = IsSpecial(id) }.ToSection());
        // What a file leaves open: SentencePiece vocabularies begin a text, byte-level ones do not but for Llama 3's.
        bool begins = addsBos ?? (model == "llama" || pre == "llama-bpe");
        object? template = TokenizerSections.Frame(Token(begins ? bosId : null), Token(addsEos == true ? eosId : null));
        return model switch
        {
            "gpt2" => ByteLevel(pre ?? "gpt-2", template).Build("the tokenizer of the GGUF file", added, vocabulary, Pairs(merges)),
            "llama" => SentencePiece(tokens, tokenTypes, template, addsSpacePrefix ?? true).Build(
                "the tokenizer of the GGUF file", added, vocabulary, merges is null ? PairsByScore(tokens, scores) : Pairs(merges)),
            _ => throw new PerenosException(
                $"The GGUF file has a tokenizer of the kind \"{model}\".", "Known are gpt2 and llama; else pass a tokenizer.json."),
        };

        (int Id, string Token)? Token(int? id) => id is >= 0 and var known && known < tokens.Count ? (known, tokens[known]) : null;
    }

    private static TokenizerSections ByteLevel(string pre, object? template)
    {
        if (!Known.TryGetValue(pre, out var known))
        {
            throw new PerenosException(
                $"The GGUF file names the word pattern \"{pre}\", which is not known.",
                $"Pass the model's tokenizer.json. Known are {string.Join(", ", Known.Keys.Order(StringComparer.Ordinal))}.");
        }

        return new TokenizerSections
        {
            Normalizer = known.Nfc ? new { type = "NFC" } : null,
            PreTokenizers = known.Steps,
            PostProcessor = template,
            Decoder = TokenizerSections.ByteLevel,
            Options = new BpeOptions { IgnoreMerges = known.IgnoreMerges },
        };
    }

    private static TokenizerSections SentencePiece(IReadOnlyList<string> tokens, IReadOnlyList<int> tokenTypes, object? template, bool addsSpacePrefix)
    {
        int unknown = Enumerable.Range(0, tokens.Count).FirstOrDefault(id => tokenTypes[id] == UnknownType, -1);
        object blank = new { String = " " };
        object[] normalizers = [new { type = "Prepend", prepend = "\u2581" }, new { type = "Replace", pattern = blank, content = "\u2581" }];
        return new TokenizerSections
        {
            // The first and the last step concern the blank before the text.
            Normalizer = new { type = "Sequence", normalizers = addsSpacePrefix ? normalizers : normalizers[1..] },
            PostProcessor = template,
            Decoder = TokenizerSections.SentencePieceDecoder(stripsBlank: addsSpacePrefix),
            Options = new BpeOptions { UnknownToken = unknown < 0 ? null : tokens[unknown], FuseUnknown = true, ByteFallback = true },
        };
    }

    private static IEnumerable<(string Left, string Right)> Pairs(IReadOnlyList<string>? merges) =>
        (merges ?? throw new PerenosException("The GGUF file has no tokenizer.ggml.merges.", "Convert the model to GGUF again."))
        .Select((merge, rank) => merge.IndexOf(' ', 1) is > 0 and var cut // a token may begin with a blank
            ? (merge[..cut], merge[(cut + 1)..])
            : throw new PerenosException($"Merge {rank} of the GGUF file is not two tokens.", "Convert the model to GGUF again."));

    // A SentencePiece vocabulary has no merges: two neighbours join if that gives a token, the best score first
    // (https://github.com/google/sentencepiece/blob/master/src/bpe_model.cc).
    private static IEnumerable<(string Left, string Right)> PairsByScore(IReadOnlyList<string> tokens, IReadOnlyList<float>? scores)
    {
        if (scores is null || scores.Count != tokens.Count)
        {
            throw new PerenosException(
                $"The GGUF file has {tokens.Count} tokens but {scores?.Count ?? 0} scores.", "Convert the model to GGUF again.");
        }

        var ids = new Dictionary<string, int>();
        for (int id = 0; id < tokens.Count; id++)
            ids.TryAdd(tokens[id], id);
        var lookup = ids.GetAlternateLookup<ReadOnlySpan<char>>();
        var pairs = new List<(float Score, int Left, int Right)>();
        for (int id = 0; id < tokens.Count; id++)
        {
            string token = tokens[id];
            for (int cut = 1; cut < Math.Min(token.Length, 512); cut++)
            {
                if (!char.IsLowSurrogate(token[cut]) && lookup.TryGetValue(token.AsSpan(0, cut), out int left)
                    && lookup.TryGetValue(token.AsSpan(cut), out int right))
                {
                    pairs.Add((scores[id], left, right));
                }
            }
        }

        return pairs.OrderByDescending(static pair => pair.Score).ThenBy(static pair => pair.Left).ThenBy(static pair => pair.Right)
            .Select(pair => (tokens[pair.Left], tokens[pair.Right]));
    }
}
