namespace Perenos.Text.Tokenization;

/// <summary>
/// The word patterns of the cl100k family by hand. They differ in how many digits go together; their matches tile any text.
/// </summary>
internal static class Cl100kWords
{
    /// <summary>Three digits together: Llama 3 and its kin.</summary>
    public const string ThreeDigits =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>Every digit on its own: Qwen 2 and 3.</summary>
    public const string OneDigit =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>The end of the word that begins at <paramref name="start"/>.</summary>
    public static int End(ReadOnlySpan<char> text, int start, int mostDigits)
    {
        char first = text[start];
        if (first == '\'' && ContractionLength(text[(start + 1)..]) is > 0 and var contraction)
            return start + 1 + contraction;

        var kind = CharacterClasses.At(text, start, out int width);
        int next = start + width;
        if (kind == CharacterClass.Letter)
            return CharacterClasses.RunEnd(text, next, CharacterClass.Letter);
        if (kind == CharacterClass.Number)
        {
            for (int digits = 1; digits < mostDigits && next < text.Length; digits++)
            {
                if (CharacterClasses.At(text, next, out width) != CharacterClass.Number)
                    break;
                next += width;
            }

            return next;
        }

        var nextKind = next < text.Length ? CharacterClasses.At(text, next, out _) : CharacterClass.Space;
        if (nextKind == CharacterClass.Letter && first is not ('\r' or '\n'))
            return CharacterClasses.RunEnd(text, next, CharacterClass.Letter);
        if (kind == CharacterClass.Other || (first == ' ' && nextKind == CharacterClass.Other))
        {
            next = CharacterClasses.RunEnd(text, next, CharacterClass.Other);
            while (next < text.Length && text[next] is '\r' or '\n')
                next++;
            return next;
        }

        // Blanks: up to the last line break among them, else all but the one that belongs to the word behind.
        int end = CharacterClasses.RunEnd(text, next, CharacterClass.Space);
        int lineBreak = text[start..end].LastIndexOfAny('\r', '\n');
        if (lineBreak >= 0)
            return start + lineBreak + 1;
        return end == text.Length || end - start == 1 ? end : end - 1;
    }

    // U+017F, the long s, is an s when case does not matter.
    private static int ContractionLength(ReadOnlySpan<char> rest)
    {
        if (rest.IsEmpty)
            return 0;
        if (rest[0] is 's' or 'S' or '\u017F' or 't' or 'T' or 'm' or 'M' or 'd' or 'D')
            return 1;
        return rest.Length > 1 && ((char)(rest[0] | 0x20), (char)(rest[1] | 0x20)) is ('r', 'e') or ('v', 'e') or ('l', 'l') ? 2 : 0;
    }
}
