using Perenos.Runs;

namespace Perenos.Text.Tokenization;

/// <summary>Finds the tokenizer of a model's folder, whatever form it has.</summary>
internal static class TokenizerFolder
{
    private static readonly string[] SentencePieceNames = ["tokenizer.model", "spiece.model", "sentencepiece.bpe.model"];

    /// <summary>The tokenizer, or null where the folder holds none.</summary>
    /// <exception cref="PerenosException">It is malformed, or of a class that is not built.</exception>
    public static Tokenizer? Open(string folder)
    {
        string? Present(string name) => Path.Combine(folder, name) is var path && File.Exists(path) ? path : null;
        if (Present("tokenizer.json") is { } json)
            return Tokenizer.Load(json);
        var config = TokenizerConfigFile.Read(folder);
        if (SentencePieceNames.Select(Present).FirstOrDefault(static path => path is not null) is { } model)
            return SentencePieceFiles.Load(model, config);
        if (Present("dict.txt") is { } dictionary && Present("bpecodes") is { } codes)
            return BioGptFiles.LoadFairseq(dictionary, codes);
        string? vocabulary = Present("vocab.json") ?? Present("encoder.json"), merges = Present("merges.txt") ?? Present("vocab.bpe");
        if (vocabulary is null || merges is null)
            return null;
        return config.Class == BioGptFiles.Class ? BioGptFiles.LoadHub(vocabulary, merges) : Gpt2Files.Load(vocabulary, merges, config);
    }
}
