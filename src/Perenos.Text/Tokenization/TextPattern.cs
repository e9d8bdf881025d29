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

/// <summary>The words of GPT-2's pattern.</summary>
internal sealed class Gpt2Pattern : TextPattern
{
    public override void FindMatches(ReadOnlySpan<char> text, List<TextRange> matches)
    {
        for (int start = 0; start < text.Length;)
        {
            int end = Gpt2Words.End(text, start);
            matches.Add(new TextRange(start, end));
            start = end;
        }
    }
}
