using System.Text;

namespace Perenos.Text.Tokenization;

/// <summary>Something that can be searched for: a string, a set of characters, an expression.</summary>
internal abstract class TextPattern
{
    /// <summary>Appends all matches from left to right; they do not overlap.</summary>
    public abstract void FindMatches(ReadOnlySpan<char> text, List<TextRange> matches);
}

/// <summary>Occurrences of a string; the empty string never occurs.</summary>
internal sealed class LiteralPattern(string literal) : TextPattern
{
    public override void FindMatches(ReadOnlySpan<char> text, List<TextRange> matches)
    {
        if (literal.Length == 0)
            return;
        int start = 0;
        while (text[start..].IndexOf(literal, StringComparison.Ordinal) is >= 0 and var offset)
        {
            matches.Add(new TextRange(start + offset, start + offset + literal.Length));
            start += offset + literal.Length;
        }
    }
}

/// <summary>Every code point with a property is a match of its own.</summary>
internal sealed class CodePointPattern(Func<int, bool> belongs) : TextPattern
{
    public override void FindMatches(ReadOnlySpan<char> text, List<TextRange> matches)
    {
        for (int index = 0; index < text.Length;)
        {
            Rune.DecodeFromUtf16(text[index..], out var rune, out int width);
            if (belongs(rune.Value))
                matches.Add(new TextRange(index, index + width));
            index += width;
        }
    }
}

/// <summary>Finds the end of the word that begins at a place.</summary>
internal delegate int WordEnd(ReadOnlySpan<char> text, int start);

/// <summary>A pattern whose matches tile the text, by a function that knows where each ends.</summary>
internal sealed class TilingPattern(WordEnd end) : TextPattern
{
    public WordEnd End => end;

    /// <summary>The function for an expression that is known by heart; null for another.</summary>
    public static TilingPattern? For(string expression) => expression switch
    {
        Gpt2Words.Pattern => new TilingPattern(Gpt2Words.End),
        Cl100kWords.ThreeDigits => new TilingPattern(static (text, start) => Cl100kWords.End(text, start, mostDigits: 3)),
        Cl100kWords.OneDigit => new TilingPattern(static (text, start) => Cl100kWords.End(text, start, mostDigits: 1)),
        _ => null,
    };

    public override void FindMatches(ReadOnlySpan<char> text, List<TextRange> matches)
    {
        for (int start = 0; start < text.Length;)
        {
            int next = end(text, start);
            matches.Add(new TextRange(start, next));
            start = next;
        }
    }
}
