using System.Text.Json;
using Perenos.Runs;

namespace Perenos.Text.Tokenization;

/// <summary>
/// BioGPT's tokenizer: Moses words, then byte-pair codes. It comes as fairseq's dict.txt and bpecodes, or as the hub's vocab.json and
/// merges.txt, whose merges keep their counts.
/// </summary>
internal static class BioGptFiles
{
    /// <summary>The class that its files are opened with.</summary>
    public const string Class = "BioGptTokenizer";

    private const string Unknown = "<unk>", Begin = "</s>"; // the token that stands before every text

    private static readonly string[] Specials = ["<s>", "<pad>", Begin, Unknown];

    /// <param name="dictionaryPath">dict.txt: a piece and its count in each line, "@@" where the word goes on.</param>
    /// <param name="codesPath">bpecodes: two symbols and a count in each line.</param>
    public static Tokenizer LoadFairseq(string dictionaryPath, string codesPath)
    {
        var vocabulary = new Dictionary<string, int>();
        foreach (string special in Specials)
            vocabulary[special] = vocabulary.Count;
        int line = 0, id = vocabulary.Count;
        foreach (string entry in TokenizerText.Lines(dictionaryPath))
        {
            line++;
            int cut = entry.LastIndexOf(' ');
            if (cut <= 0)
                throw new PerenosException($"{dictionaryPath}, line {line}: a piece and its count were expected.", "Download the file again.");
            string piece = entry[..cut];
            vocabulary[piece.EndsWith("@@", StringComparison.Ordinal) ? piece[..^2] : piece + MosesDecoder.WordEnd] = id++;
        }

        return Build(dictionaryPath, vocabulary, TokenizerText.Merges(codesPath));
    }

    /// <param name="vocabularyPath">vocab.json: tokens and ids.</param>
    /// <param name="mergesPath">merges.txt: two symbols in each line, with or without a count.</param>
    public static Tokenizer LoadHub(string vocabularyPath, string mergesPath) =>
        Build(vocabularyPath, TokenizerText.Vocabulary(vocabularyPath), TokenizerText.Merges(mergesPath));

    private static Tokenizer Build(string file, Dictionary<string, int> ids, List<(string Left, string Right)> merges)
    {
        if (Specials.FirstOrDefault(special => !ids.ContainsKey(special)) is { } missing)
            throw new PerenosException($"{file} has no {missing}.", "Download the file again.");
        var vocabulary = new Vocabulary(ids);
        var sections = new Dictionary<string, JsonElement>
        {
            ["post_processor"] = JsonSerializer.SerializeToElement(TokenizerSections.Frame((ids[Begin], Begin), null)),
        };
        return Tokenizer.Of(
            new TokenizerParts
            {
                Model = new BioGptModel(vocabulary, merges, Unknown),
                Added = [.. Specials.Select(special => new AddedToken(ids[special], special) { Special = true })],
                Sections = sections,
                ModelOptions = new Dictionary<string, JsonElement>(),
                Merges = [],
                PreTokenizer = new MosesPreTokenizer(),
                Decoder = new MosesDecoder(),
                Class = Class,
                Files = [("vocab.json", TokenizerText.Json(vocabulary)), ("merges.txt", TokenizerText.Lines(merges))],
            },
            file);
    }
}
