using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;

namespace Perenos.Text.Tokenization;

/// <summary>The partition of code points that word patterns use.</summary>
internal enum CharacterClass : byte
{
    /// <summary>Neither of the others: punctuation, symbols, marks, controls, unassigned.</summary>
    Other,

    /// <summary>General category L*.</summary>
    Letter,

    /// <summary>General category N*.</summary>
    Number,

    /// <summary>The property White_Space.</summary>
    Space,

    /// <summary>Of a UTF-16 unit: a high surrogate, whose class is that of the pair.</summary>
    Pair,
}

/// <summary>Properties of code points, with tables for the basic plane.</summary>
internal static class CharacterClasses
{
    private static readonly CharacterClass[] Basic = BuildBasic();

    public static CharacterClass Of(int codePoint) =>
        codePoint < 0x10000 ? Basic[codePoint] : FromCategory(CharUnicodeInfo.GetUnicodeCategory(codePoint));

    /// <summary>The class of the code point that begins at <paramref name="index"/>, and how many units it takes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static CharacterClass At(ReadOnlySpan<char> text, int index, out int width)
    {
        var kind = Basic[text[index]];
        width = 1;
        return kind == CharacterClass.Pair ? AtPair(text, index, ref width) : kind;
    }

    /// <summary>The end of the run of one class that begins at or after <paramref name="index"/>.</summary>
    public static int RunEnd(ReadOnlySpan<char> text, int index, CharacterClass wanted)
    {
        var basic = Basic;
        while (true)
        {
            while (index < text.Length && basic[text[index]] == wanted)
                index++;
            if (index == text.Length || basic[text[index]] != CharacterClass.Pair || At(text, index, out int width) != wanted)
                return index;
            index += width;
        }
    }

    public static bool IsNumber(int codePoint) => Of(codePoint) == CharacterClass.Number;

    public static bool IsWhiteSpace(int codePoint) => codePoint < 0x10000 && Basic[codePoint] == CharacterClass.Space;

    /// <summary>ASCII punctuation (symbols included) and the general category P*.</summary>
    public static bool IsPunctuation(int codePoint) => codePoint < 128
        ? codePoint is >= '!' and <= '/' or >= ':' and <= '@' or >= '[' and <= '`' or >= '{' and <= '~'
        : CharUnicodeInfo.GetUnicodeCategory(codePoint) is UnicodeCategory.ConnectorPunctuation or UnicodeCategory.DashPunctuation
            or UnicodeCategory.OpenPunctuation or UnicodeCategory.ClosePunctuation or UnicodeCategory.InitialQuotePunctuation
            or UnicodeCategory.FinalQuotePunctuation or UnicodeCategory.OtherPunctuation;

    /// <summary>
    /// What \w matches: Alphabetic, marks, decimal digits, connector punctuation and the joiners
    /// (https://unicode.org/reports/tr18/#word).
    /// </summary>
    public static bool IsWord(int codePoint)
    {
        switch (CharUnicodeInfo.GetUnicodeCategory(codePoint))
        {
            case UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter
                or UnicodeCategory.ModifierLetter or UnicodeCategory.OtherLetter or UnicodeCategory.NonSpacingMark
                or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark or UnicodeCategory.DecimalDigitNumber
                or UnicodeCategory.LetterNumber or UnicodeCategory.ConnectorPunctuation:
                return true;
            case UnicodeCategory.OtherSymbol: // circled and squared letters are Alphabetic
                return codePoint is >= 0x24B6 and <= 0x24E9 or >= 0x1F130 and <= 0x1F149
                    or >= 0x1F150 and <= 0x1F169 or >= 0x1F170 and <= 0x1F189;
            default:
                return codePoint is 0x200C or 0x200D;
        }
    }

    public static bool IsMark(int codePoint) => CharUnicodeInfo.GetUnicodeCategory(codePoint)
        is UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark;

    private static CharacterClass AtPair(ReadOnlySpan<char> text, int index, ref int width)
    {
        if (Rune.DecodeFromUtf16(text[index..], out var rune, out int consumed) != System.Buffers.OperationStatus.Done)
            return CharacterClass.Other;
        width = consumed;
        return FromCategory(Rune.GetUnicodeCategory(rune));
    }

    private static CharacterClass[] BuildBasic()
    {
        var classes = new CharacterClass[0x10000];
        for (int unit = 0; unit < classes.Length; unit++)
        {
            classes[unit] = char.IsWhiteSpace((char)unit) ? CharacterClass.Space
                : char.IsHighSurrogate((char)unit) ? CharacterClass.Pair
                : FromCategory(CharUnicodeInfo.GetUnicodeCategory((char)unit));
        }

        return classes;
    }

    private static CharacterClass FromCategory(UnicodeCategory category) => category switch
    {
        UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter
            or UnicodeCategory.ModifierLetter or UnicodeCategory.OtherLetter => CharacterClass.Letter,
        UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber => CharacterClass.Number,
        _ => CharacterClass.Other,
    };
}
