using System.Text;

namespace Perenos.Text.Tokenization;

/// <summary>Cuts text into the words that the model sees one by one.</summary>
internal abstract class PreTokenizer
{
    /// <summary>The words of one part; empty ones are left out.</summary>
    public abstract IEnumerable<AlignedText> Apply(AlignedText part);
}

/// <summary>A pre-tokenizer that only cuts and leaves the characters as they are.</summary>
internal abstract class Splitter : PreTokenizer
{
    public abstract void Split(ReadOnlySpan<char> text, List<TextRange> pieces);

    public override IEnumerable<AlignedText> Apply(AlignedText part)
    {
        var ranges = new List<TextRange>();
        Split(part.Text, ranges);
        return ranges.Select(range => part.Slice(range.Start, range.Length));
    }
}

/// <summary>Cuts at the matches of a pattern.</summary>
internal sealed class PatternSplitter(TextPattern pattern, SplitBehavior behavior, bool invert = false) : Splitter
{
    /// <summary>The end of each word, where the pieces are words one behind the other.</summary>
    public WordEnd? Words => behavior == SplitBehavior.Isolated && !invert ? (pattern as TilingPattern)?.End : null;

    public override void Split(ReadOnlySpan<char> text, List<TextRange> pieces) =>
        Splitting.Split(text, pattern, behavior, invert, pieces);
}

/// <summary>Every number character on its own, or (not individual) runs of them.</summary>
internal sealed class DigitSplitter(bool individual) : Splitter
{
    public override void Split(ReadOnlySpan<char> text, List<TextRange> pieces)
    {
        int start = 0;
        for (int index = 0; index < text.Length;)
        {
            bool isNumber = CharacterClasses.At(text, index, out int width) == CharacterClass.Number;
            if (!isNumber)
            {
                index += width;
                continue;
            }

            if (start < index)
                pieces.Add(new TextRange(start, index));
            int end = individual ? index + width : CharacterClasses.RunEnd(text, index, CharacterClass.Number);
            pieces.Add(new TextRange(index, end));
            start = index = end;
        }

        if (start < text.Length)
            pieces.Add(new TextRange(start, text.Length));
    }
}

/// <summary>Pieces of a fixed number of code points.</summary>
internal sealed class FixedLengthSplitter(int length) : Splitter
{
    public override void Split(ReadOnlySpan<char> text, List<TextRange> pieces)
    {
        int start = 0, codePoints = 0;
        for (int index = 0; index < text.Length; codePoints++)
        {
            if (codePoints == length)
            {
                pieces.Add(new TextRange(start, index));
                start = index;
                codePoints = 0;
            }

            index += char.IsHighSurrogate(text[index]) ? 2 : 1;
        }

        if (start < text.Length)
            pieces.Add(new TextRange(start, text.Length));
    }
}

/// <summary>Splits by GPT-2's pattern, if asked to, and spells each word in the byte alphabet.</summary>
internal sealed class ByteLevelPreTokenizer(bool addPrefixSpace, bool useRegex) : PreTokenizer
{
    public bool AddPrefixSpace { get; } = addPrefixSpace;

    public bool UseRegex { get; } = useRegex;

    public override IEnumerable<AlignedText> Apply(AlignedText part)
    {
        if (AddPrefixSpace && !part.Text.StartsWith(' '))
            part = part.Prepend(" ");
        if (!UseRegex)
        {
            yield return Spell(part);
            yield break;
        }

        for (int start = 0; start < part.Text.Length;)
        {
            int end = Gpt2Words.End(part.Text, start);
            yield return Spell(part.Slice(start, end - start));
            start = end;
        }
    }

    /// <summary>The text with each UTF-8 byte as a character of the byte alphabet.</summary>
    public static AlignedText Spell(AlignedText word)
    {
        var edit = new AlignedText.Edit(word, word.Text.Length + 8);
        Span<byte> bytes = stackalloc byte[4];
        Span<char> spelled = stackalloc char[4];
        for (int index = 0; index < word.Text.Length;)
        {
            Rune.DecodeFromUtf16(word.Text.AsSpan(index), out var rune, out int width);
            int count = rune.EncodeToUtf8(bytes);
            for (int part = 0; part < count; part++)
                spelled[part] = ByteAlphabet.CharOf(bytes[part]);
            edit.Insert(spelled[..count], index);
            index += width;
        }

        return edit.Done();
    }
}

/// <summary>Several pre-tokenizers, each on the words of the one before.</summary>
internal sealed class PreTokenizerSequence(IReadOnlyList<PreTokenizer> steps) : PreTokenizer
{
    public IReadOnlyList<PreTokenizer> Steps { get; } = steps;

    public override IEnumerable<AlignedText> Apply(AlignedText part)
    {
        IEnumerable<AlignedText> words = [part];
        foreach (var step in Steps)
            words = words.SelectMany(step.Apply).Where(static word => word.Text.Length > 0);
        return words;
    }
}
