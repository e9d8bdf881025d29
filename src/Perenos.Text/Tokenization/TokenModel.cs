namespace Perenos.Text.Tokenization;

/// <summary>A token of one word: its id, its place in the word's UTF-8 bytes, and its text where that is not the vocabulary's.</summary>
internal readonly record struct WordToken(int Id, int Start, int End, string? Text = null);

/// <summary>Turns one word, as the pre-tokenizer left it, into tokens.</summary>
internal abstract class TokenModel(Vocabulary vocabulary)
{
    public Vocabulary Vocabulary { get; } = vocabulary;

    /// <summary>Appends the tokens of a word that is not empty.</summary>
    public abstract void Tokenize(ReadOnlySpan<char> word, List<WordToken> tokens);
}
