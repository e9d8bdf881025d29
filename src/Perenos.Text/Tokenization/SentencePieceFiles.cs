using System.Text.Json;
using Perenos.Runs;

namespace Perenos.Text.Tokenization;

/// <summary>
/// A tokenizer from a SentencePiece .model: ids are those of SentencePiece itself, with control pieces found in the text as transformers
/// has it. Written as tokenizer.json it takes the form that transformers' converter gives it, which normalizes rare characters otherwise.
/// </summary>
internal static class SentencePieceFiles
{
    private const string Mark = "\u2581";

    public static Tokenizer Load(string path, TokenizerConfigFile config)
    {
        byte[] bytes = File.ReadAllBytes(path);
        var file = SentencePieceFile.Read(bytes, path);
        var vocabulary = new Vocabulary(Ids(file));
        var merges = file.IsBpe ? Merges(file) : [];
        var added = Added(file, config, vocabulary);
        var userDefined = UserDefined(file);
        return Tokenizer.Of(
            new TokenizerParts
            {
                Model = file.IsBpe
                    ? new BpeModel(vocabulary, [.. merges.Select(static merge => merge.Pair)], [.. merges.Select(static merge => merge.Result)], Options(file, userDefined), [.. merges.Select(static merge => merge.Rank)])
                    : new UnigramModel([.. file.Pieces.Select(static piece => (piece.Text, (double)piece.Score))], file.UnknownId, file.ByteFallback, [.. file.Pieces.Select(static piece => piece.Kind)]),
                Added = added,
                Sections = Sections(file, config, added),
                ModelOptions = ModelOptions(file),
                Merges = [.. merges.Select(static merge => merge.Pair)],
                Normalizer = new SentencePieceNormalizer(
                    file.CharacterMap.Length == 0 ? null : CharacterMap.Read(file.CharacterMap) ?? throw new PerenosException($"{path}: the table of replacements is cut off.", "Download the file again."),
                    userDefined, file.AddDummyPrefix, file.RemoveExtraWhitespaces, onlyAtStart: config.IsLegacy == false),
                Class = "LlamaTokenizer",
                Files = [("tokenizer.model", bytes)],
            },
            path);
    }

    private static BpeOptions Options(SentencePieceFile file, StringTrie<int>? userDefined) => new()
    {
        UnknownToken = file.Pieces[file.UnknownId].Text,
        FuseUnknown = true,
        ByteFallback = file.ByteFallback,
        WholePieces = userDefined,
    };

    private static Dictionary<string, int> Ids(SentencePieceFile file)
    {
        var ids = new Dictionary<string, int>();
        for (int id = 0; id < file.Pieces.Count; id++)
            ids.TryAdd(file.Pieces[id].Text, id);
        return ids;
    }

    private static StringTrie<int>? UserDefined(SentencePieceFile file)
    {
        var trie = new StringTrie<int>();
        bool hasAny = false;
        for (int id = 0; id < file.Pieces.Count; id++)
        {
            if (file.Pieces[id].Kind != PieceKind.UserDefined)
                continue;
            trie.Set(file.Pieces[id].Text, id);
            hasAny = true;
        }

        return hasAny ? trie : null;
    }

    // Two neighbours join if that gives a piece, the best score first and leftmost among equals
    // (https://github.com/google/sentencepiece/blob/master/src/bpe_model.cc).
    private static List<((int Left, int Right) Pair, int Result, int Rank)> Merges(SentencePieceFile file)
    {
        var joinable = new Dictionary<string, int>();
        for (int id = 0; id < file.Pieces.Count; id++)
        {
            if (file.Pieces[id].Kind is PieceKind.Normal or PieceKind.Unused)
                joinable[file.Pieces[id].Text] = id;
        }

        var lookup = joinable.GetAlternateLookup<ReadOnlySpan<char>>();
        var merges = new List<((int, int) Pair, int Result, float Score)>();
        foreach (var (text, result) in joinable)
        {
            for (int cut = 1; cut < text.Length; cut++)
            {
                if (lookup.TryGetValue(text.AsSpan(0, cut), out int left) && lookup.TryGetValue(text.AsSpan(cut), out int right))
                    merges.Add(((left, right), result, file.Pieces[result].Score));
            }
        }

        var ranks = merges.Select(static merge => merge.Score).Distinct().OrderDescending().Select(static (score, rank) => (score, rank)).ToDictionary();
        return [.. merges.OrderBy(merge => ranks[merge.Score]).Select(merge => (merge.Pair, merge.Result, ranks[merge.Score]))];
    }

    // Control pieces, and what the files beside the model add or say otherwise.
    private static List<AddedToken> Added(SentencePieceFile file, TokenizerConfigFile config, Vocabulary vocabulary)
    {
        var tokens = new Dictionary<string, AddedToken>();
        for (int id = 0; id < file.Pieces.Count; id++)
        {
            var (text, _, kind) = file.Pieces[id];
            if (kind is PieceKind.Control or PieceKind.Unknown)
                tokens.TryAdd(text, new AddedToken(id, text) { Special = true });
        }

        foreach (var token in config.Added(vocabulary))
            tokens[token.Content] = token;
        return [.. tokens.Values.OrderBy(static token => token.Id)];
    }

    private static Dictionary<string, JsonElement> Sections(SentencePieceFile file, TokenizerConfigFile config, List<AddedToken> added)
    {
        var all = added.Concat(file.Pieces.Select(static (piece, id) => (piece, id))
                .Where(entry => entry.piece.Kind == PieceKind.UserDefined && !added.Exists(token => token.Id == entry.id))
                .Select(static entry => new AddedToken(entry.id, entry.piece.Text)))
            .OrderBy(static token => token.Id).Select(static token => token.ToSection());
        bool isPlain = file.CharacterMap.Length == 0 && !file.RemoveExtraWhitespaces;
        string scheme = !file.AddDummyPrefix ? "never" : config.IsLegacy == false ? "first" : "always";
        object metaspace = new { type = "Metaspace", replacement = Mark, prepend_scheme = scheme, split = !isPlain };
        var sections = new Dictionary<string, object?>
        {
            ["added_tokens"] = all,
            ["normalizer"] = isPlain && scheme != "first" ? PlainNormalizer(file) : isPlain ? null : FoldingNormalizer(file),
            ["pre_tokenizer"] = isPlain && scheme != "first" ? null : metaspace,
            ["post_processor"] = Frame(file, config),
            ["decoder"] = file.IsBpe || file.ByteFallback ? TokenizerSections.SentencePieceDecoder(file.AddDummyPrefix) : metaspace,
        };
        return sections.ToDictionary(static section => section.Key, static section => JsonSerializer.SerializeToElement(section.Value));
    }

    private static object PlainNormalizer(SentencePieceFile file)
    {
        object blanks = new { type = "Replace", pattern = new { String = " " }, content = Mark };
        return new { type = "Sequence", normalizers = file.AddDummyPrefix ? [new { type = "Prepend", prepend = Mark }, blanks] : new[] { blanks } };
    }

    private static object FoldingNormalizer(SentencePieceFile file)
    {
        var steps = new List<object>();
        if (file.CharacterMap.Length > 0)
            steps.Add(new { type = "Precompiled", precompiled_charsmap = Convert.ToBase64String(file.CharacterMap) });
        if (file.RemoveExtraWhitespaces)
        {
            steps.Add(new { type = "Strip", strip_left = false, strip_right = true });
            steps.Add(new { type = "Replace", pattern = new { Regex = " {2,}" }, content = Mark });
        }

        return new { type = "Sequence", normalizers = steps };
    }

    private static object? Frame(SentencePieceFile file, TokenizerConfigFile config)
    {
        bool hasBegin = (config.AddBegin ?? true) && file.BeginId >= 0, hasEnd = (config.AddEnd ?? false) && file.EndId >= 0;
        return TokenizerSections.Frame(
            hasBegin ? (file.BeginId, file.Pieces[file.BeginId].Text) : null, hasEnd ? (file.EndId, file.Pieces[file.EndId].Text) : null);
    }

    private static Dictionary<string, JsonElement> ModelOptions(SentencePieceFile file)
    {
        object options = file.IsBpe
            ? new
            {
                type = "BPE",
                dropout = (double?)null,
                unk_token = file.Pieces[file.UnknownId].Text,
                continuing_subword_prefix = (string?)null,
                end_of_word_suffix = (string?)null,
                fuse_unk = true,
                byte_fallback = file.ByteFallback,
                ignore_merges = false,
            }
            : new
            {
                type = "Unigram",
                unk_id = file.UnknownId,
                vocab = file.Pieces.Select(static piece => new object[] { piece.Text, (double)piece.Score }),
                byte_fallback = file.ByteFallback,
            };
        return JsonSerializer.SerializeToElement(options).EnumerateObject().ToDictionary(static option => option.Name, static option => option.Value);
    }
}
