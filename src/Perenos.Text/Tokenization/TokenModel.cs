namespace Perenos.Text.Tokenization;

/// <summary>A token of one word: its id and its place in the word's UTF-8 bytes.</summary>
internal readonly record struct WordToken(int Id, int Start, int End);

/// <summary>Turns one word, as the pre-tokenizer left it, into tokens.</summary>
internal abstract class TokenModel(Vocabulary vocabulary)
{
    public Vocabulary Vocabulary { get; } = vocabulary;

    /// <summary>Appends the tokens of a word that is not empty.</summary>
    public abstract void Tokenize(ReadOnlySpan<char> word, List<WordToken> tokens);
}
