using System.Text;

namespace Perenos.Text.Tokenization;

/// <summary>
/// SentencePiece's own normalization (https://github.com/google/sentencepiece/blob/master/src/normalizer.cc): the longest replacement at
/// each place, blanks at the ends and doubled ones away, the rest made visible, one put before the text. Pieces of the user pass unchanged.
/// </summary>
internal sealed class SentencePieceNormalizer(CharacterMap? map, StringTrie<int>? userDefined, bool addDummyPrefix, bool removeExtraWhitespaces, bool onlyAtStart) : Normalizer
{
    private const string Mark = "\u2581";

    public override AlignedText Apply(AlignedText text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text.Text);
        var edit = new AlignedText.Edit(text, text.Text.Length + 1);
        bool isBlankBefore = removeExtraWhitespaces, isEmpty = true;
        for (int unit = 0, at = 0; unit < text.Text.Length;)
        {
            var (content, units, length) = Prefix(text.Text, unit, bytes, at);
            if (isBlankBefore)
                content = content.TrimStart(' ');
            if (content.Length > 0 && isEmpty && addDummyPrefix && (!onlyAtStart || text.Origin == 0))
                edit.Insert(Mark, unit);
            isEmpty &= content.Length == 0;
            edit.Insert(content.Replace(" ", Mark, StringComparison.Ordinal), unit);
            isBlankBefore = removeExtraWhitespaces && (content.Length > 0 ? content.EndsWith(' ') : isBlankBefore);
            unit += units;
            at += length;
        }

        var done = edit.Done();
        int end = done.Text.Length;
        while (removeExtraWhitespaces && end > 0 && done.Text[end - 1] == Mark[0])
            end--;
        return done.Slice(0, end);
    }

    // What stands for the next characters, and how many units and bytes they are.
    private (string Content, int Units, int Bytes) Prefix(string text, int unit, byte[] bytes, int at)
    {
        if (userDefined is not null)
        {
            userDefined.Longest(text.AsSpan(unit), out int found);
            if (found > 0)
                return (text.Substring(unit, found), found, Encoding.UTF8.GetByteCount(text.AsSpan(unit, found)));
        }

        if (map?.Longest(bytes.AsSpan(at), out int length) is { } replacement)
            return (replacement, Encoding.UTF8.GetCharCount(bytes, at, length), length);
        int units = char.IsHighSurrogate(text[unit]) ? 2 : 1;
        return (text.Substring(unit, units), units, Encoding.UTF8.GetByteCount(text.AsSpan(unit, units)));
    }
}
