namespace Perenos.Text.Tokenization;

/// <summary>A token beside the model's vocabulary, as a tokenizer lists it.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Content">How it is spelled in a text.</param>
/// <param name="IsSpecial">Whether decoding can leave it out.</param>
public readonly record struct AddedTokenFact(int Id, string Content, bool IsSpecial);

/// <summary>What a tokenizer is, for reports; see <see cref="Tokenizer.Facts"/>.</summary>
public sealed record TokenizerFacts
{
    /// <summary>BPE, Unigram, WordPiece or WordLevel, with "byte-level" or "byte fallback" where it applies.</summary>
    public required string Kind { get; init; }

    /// <summary>The class with which transformers opens the files that <see cref="Tokenizer.SaveTo"/> writes.</summary>
    public required string TransformersClass { get; init; }

    /// <summary>Tokens, added ones included.</summary>
    public required int Entries { get; init; }

    /// <summary>Merges of a BPE model; 0 for others.</summary>
    public required int Merges { get; init; }

    /// <summary>Added tokens by id, special ones among them.</summary>
    public required IReadOnlyList<AddedTokenFact> Added { get; init; }

    /// <summary>
    /// Bytes that a byte-level or byte-fallback vocabulary has no token for, so that text with them cannot come back; null where the
    /// model does not work on bytes.
    /// </summary>
    public required IReadOnlyList<byte>? MissingBytes { get; init; }

    /// <summary>What stands for text that the vocabulary cannot spell; null where such text vanishes or cannot occur.</summary>
    public required string? UnknownToken { get; init; }
}
