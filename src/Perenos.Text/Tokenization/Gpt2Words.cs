namespace Perenos.Text.Tokenization;

/// <summary>
/// The word pattern of GPT-2 by hand: <c>'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+</c>.
/// Its matches tile any text, so a word is known by where it begins.
/// </summary>
internal static class Gpt2Words
{
    /// <summary>The pattern as tokenizer.json files spell it.</summary>
    public const string Pattern = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    /// <summary>The end of the word that begins at <paramref name="start"/>.</summary>
    public static int End(ReadOnlySpan<char> text, int start)
    {
        char first = text[start];
        if (first == '\'')
        {
            int contraction = ContractionLength(text[(start + 1)..]);
            if (contraction > 0)
                return start + 1 + contraction;
        }

        int body = start;
        if (first == ' ')
        {
            if (start + 1 == text.Length)
                return start + 1;
            body = start + 1;
        }

        var kind = CharacterClasses.At(text, body, out int width);
        if (kind != CharacterClass.Space)
            return CharacterClasses.RunEnd(text, body + width, kind);

        // Blanks leave their last one to the word behind them.
        int end = CharacterClasses.RunEnd(text, body + 1, CharacterClass.Space);
        return end == text.Length || end - start == 1 ? end : end - 1;
    }

    private static int ContractionLength(ReadOnlySpan<char> rest)
    {
        if (rest.IsEmpty)
            return 0;
        if (rest[0] is 's' or 't' or 'm' or 'd')
            return 1;
        return rest.Length > 1 && (rest[0], rest[1]) is ('r', 'e') or ('v', 'e') or ('l', 'l') ? 2 : 0;
    }
}
