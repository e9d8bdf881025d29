using Perenos.Runs;

namespace Perenos.Text.Tokenization;

/// <summary>Byte-level BPE as GPT-2's two files: encoder.json (or vocab.json) and vocab.bpe (or merges.txt), with settings beside them.</summary>
internal static class Gpt2Files
{
    private const string EndOfText = "<|endoftext|>";

    /// <summary>The files alone, with GPT-2's own special token.</summary>
    public static Tokenizer Load(string vocabularyPath, string mergesPath)
    {
        var vocabulary = TokenizerText.Vocabulary(vocabularyPath);
        AddedToken[] added = vocabulary.TryGetValue(EndOfText, out int id) ? [new AddedToken(id, EndOfText) { Special = true, Normalized = true }] : [];
        return Build(vocabularyPath, vocabulary, TokenizerText.Merges(mergesPath), added, Pattern("GPT2Tokenizer", addPrefixSpace: false)!, frame: null);
    }

    /// <summary>The files with what tokenizer_config.json and its like say.</summary>
    /// <exception cref="PerenosException">The files belong to a class whose word pattern is not known.</exception>
    public static Tokenizer Load(string vocabularyPath, string mergesPath, TokenizerConfigFile config)
    {
        string name = config.Class ?? "GPT2Tokenizer";
        var pattern = Pattern(name, config.AddPrefixSpace ?? false) ?? throw new PerenosException(
            $"{vocabularyPath} belongs to a {name}, whose word pattern its files do not say.",
            "Take the tokenizer.json from the checkpoint's page on the hub. Known without one are GPT2Tokenizer, CodeGenTokenizer, Qwen2Tokenizer and BioGptTokenizer.");
        var vocabulary = TokenizerText.Vocabulary(vocabularyPath);
        var added = config.Added(new Vocabulary(vocabulary));
        if (added.Count == 0)
            return Load(vocabularyPath, mergesPath);
        string begin = config.Named("bos_token") ?? EndOfText;
        int? beginId = added.FirstOrDefault(token => token.Content == begin)?.Id ?? (vocabulary.TryGetValue(begin, out int known) ? known : null);
        if (config.AddBegin == true && beginId is null)
            throw new PerenosException($"{vocabularyPath} has no token \"{begin}\", which is to stand before every text.", "Take vocabulary and tokenizer_config.json from the same checkpoint.");
        object? frame = config.AddBegin == true ? TokenizerSections.Frame((beginId!.Value, begin), null) : null;
        return Build(vocabularyPath, vocabulary, TokenizerText.Merges(mergesPath), added, pattern, frame);
    }

    private static TokenizerSections? Pattern(string name, bool addPrefixSpace) => name switch
    {
        "GPT2Tokenizer" or "CodeGenTokenizer" => new TokenizerSections
        {
            PreTokenizers = [new { type = "ByteLevel", add_prefix_space = addPrefixSpace, trim_offsets = true, use_regex = true }],
            Decoder = TokenizerSections.ByteLevel,
            Options = new BpeOptions(),
        },
        "Qwen2Tokenizer" => new TokenizerSections
        {
            Normalizer = new { type = "NFC" },
            PreTokenizers = [TokenizerSections.Split(Cl100kWords.OneDigit), TokenizerSections.ByteLevelOnly],
            Decoder = TokenizerSections.ByteLevel,
            Options = new BpeOptions(),
        },
        _ => null,
    };

    private static Tokenizer Build(
        string file, Dictionary<string, int> vocabulary, List<(string, string)> merges, IEnumerable<AddedToken> added, TokenizerSections pattern, object? frame) =>
        (pattern with { PostProcessor = frame ?? new { type = "ByteLevel", add_prefix_space = true, trim_offsets = false, use_regex = true } })
            .Build(file, added.Select(static token => token.ToSection()), vocabulary, merges);
}
