namespace Perenos.Text.Tokenization;

/// <summary>A token of one word: its id, its place in the word's UTF-8 bytes, and its text where that is not the vocabulary's.</summary>
internal readonly record struct WordToken(int Id, int Start, int End, string? Text = null);

/// <summary>Turns one word, as the pre-tokenizer left it, into tokens.</summary>
internal abstract class TokenModel(Vocabulary vocabulary)
{
    public Vocabulary Vocabulary { get; } = vocabulary;

    /// <summary>Appends the tokens of a word that is not empty.</summary>
    public abstract void Tokenize(ReadOnlySpan<char> word, List<WordToken> tokens);

    /// <summary>The model's name in a tokenizer.json.</summary>
    public abstract string Name { get; }

    /// <summary>What stands for text that the vocabulary cannot spell, if anything.</summary>
    public abstract string? UnknownToken { get; }

    /// <summary>Whether unknown characters become tokens such as &lt;0xE2&gt;.</summary>
    public virtual bool FallsBackToBytes => false;

    /// <summary>The name with the way bytes are treated.</summary>
    public string Kind(bool isByteLevel) => isByteLevel ? $"{Name}, byte-level" : FallsBackToBytes ? $"{Name}, byte fallback" : Name;

    /// <summary>Bytes without a token; null where the model does not work on bytes.</summary>
    public IReadOnlyList<byte>? MissingBytes(bool isByteLevel)
    {
        if (!isByteLevel && !FallsBackToBytes)
            return null;
        return [.. Enumerable.Range(0, 256).Select(static value => (byte)value)
            .Where(value => Vocabulary.IdOf(isByteLevel ? [ByteAlphabet.CharOf(value)] : FallbackToken(value)) < 0)];
    }

    /// <summary>The token that stands for a byte where unknown characters fall back to bytes.</summary>
    protected static string FallbackToken(byte value) => $"<0x{value:X2}>";
}
