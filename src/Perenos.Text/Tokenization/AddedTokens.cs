using System.Buffers;
using System.Text;

namespace Perenos.Text.Tokenization;

/// <summary>A token beside the model's vocabulary that is found in the text before anything else happens.</summary>
internal sealed record AddedToken(int Id, string Content)
{
    /// <summary>Whether only a match that stands alone as a word counts.</summary>
    public bool SingleWord { get; init; }

    /// <summary>Whether a match swallows the blanks before it.</summary>
    public bool StripsLeft { get; init; }

    /// <summary>Whether a match swallows the blanks behind it.</summary>
    public bool StripsRight { get; init; }

    /// <summary>Whether it is searched, in its normalized form, in the normalized text.</summary>
    public bool Normalized { get; init; }

    /// <summary>Whether it is left out when decoding without special tokens.</summary>
    public bool Special { get; init; }

    /// <summary>The token as a tokenizer.json lists it.</summary>
    public object ToSection() => new
    {
        id = Id,
        content = Content,
        single_word = SingleWord,
        lstrip = StripsLeft,
        rstrip = StripsRight,
        normalized = Normalized,
        special = Special,
    };
}

/// <summary>A part of a text: an added token, or (Id -1) what lies between.</summary>
internal readonly record struct Segment(TextRange Range, int Id);

/// <summary>
/// Finds added tokens: leftmost first, the longest of those that begin at one place, as in
/// https://github.com/huggingface/tokenizers/blob/main/tokenizers/src/tokenizer/added_vocabulary.rs.
/// </summary>
internal sealed class AddedTokenFinder
{
    private readonly StringTrie<AddedToken> _patterns = new();
    private readonly SearchValues<string> _contents;

    /// <param name="patterns">What to look for, and which token it is; the first of equal patterns counts.</param>
    public AddedTokenFinder(IReadOnlyList<(string Pattern, AddedToken Token)> patterns)
    {
        foreach (var (pattern, token) in patterns.Reverse())
            _patterns.Set(pattern, token);
        _contents = SearchValues.Create([.. patterns.Select(static entry => entry.Pattern).Where(static pattern => pattern.Length > 0)], StringComparison.Ordinal);
    }

    /// <summary>Appends the segments of the text; an empty text has none.</summary>
    public void Split(ReadOnlySpan<char> text, bool specialsAsText, List<Segment> segments)
    {
        int done = 0;
        for (int at = 0; at < text.Length;)
        {
            int offset = text[at..].IndexOfAny(_contents);
            if (offset < 0)
                break;
            at += offset;
            var token = _patterns.Longest(text[at..], out int length)!;
            int start = at, end = at + length;
            at = end;
            if ((specialsAsText && token.Special) || (token.SingleWord && TouchesWord(text, start, end)))
                continue;
            if (token.StripsLeft)
            {
                while (start > done && char.IsWhiteSpace(text[start - 1]))
                    start--;
            }

            if (token.StripsRight)
                end = CharacterClasses.RunEnd(text, end, CharacterClass.Space);
            if (done < start)
                segments.Add(new Segment(new TextRange(done, start), -1));
            segments.Add(new Segment(new TextRange(start, end), token.Id));
            done = end;
        }

        if (done < text.Length)
            segments.Add(new Segment(new TextRange(done, text.Length), -1));
    }

    private static bool TouchesWord(ReadOnlySpan<char> text, int start, int end)
    {
        bool before = start > 0 && Rune.DecodeLastFromUtf16(text[..start], out var last, out _) == OperationStatus.Done
            && CharacterClasses.IsWord(last.Value);
        bool behind = end < text.Length && Rune.DecodeFromUtf16(text[end..], out var next, out _) == OperationStatus.Done
            && CharacterClasses.IsWord(next.Value);
        return before || behind;
    }
}
