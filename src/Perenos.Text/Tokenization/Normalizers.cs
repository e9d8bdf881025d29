using System.Globalization;
using System.Text;

namespace Perenos.Text.Tokenization;

/// <summary>NFC, NFD, NFKC or NFKD.</summary>
internal sealed class UnicodeNormalizer(NormalizationKind kind) : Normalizer
{
    public override AlignedText Apply(AlignedText text) =>
        Normalization.IsUnchanged(text.Text, kind) ? text : text.Transform(Normalization.Run(text.Text, kind));

    public override string Apply(string text)
    {
        if (Normalization.IsUnchanged(text, kind))
            return text;
        if (kind == NormalizationKind.Nfc)
            return Normalization.Composed(text);
        var result = new StringBuilder(text.Length);
        foreach (var (codePoint, _) in Normalization.Run(text, kind))
            result.Append(new Rune(codePoint));
        return result.ToString();
    }
}

/// <summary>Lower case, character by character: no rule looks at neighbours.</summary>
internal sealed class LowercaseNormalizer : Normalizer
{
    public override AlignedText Apply(AlignedText text) => text.Map(Lower);

    public static string? Lower(int codePoint)
    {
        if (codePoint == 0x130)
            return "i\u0307"; // the one character whose lower case is two (SpecialCasing.txt)
        var lower = Rune.ToLowerInvariant(new Rune(codePoint));
        return lower.Value == codePoint ? null : lower.ToString();
    }
}

/// <summary>Drops characters that a predicate dislikes.</summary>
internal sealed class FilterNormalizer(Func<int, bool> keep) : Normalizer
{
    public override AlignedText Apply(AlignedText text) => text.Filter(keep);
}

/// <summary>Drops blanks at the ends.</summary>
internal sealed class StripNormalizer(bool left, bool right) : Normalizer
{
    public override AlignedText Apply(AlignedText text)
    {
        int start = 0, end = text.Text.Length;
        while (left && start < end && char.IsWhiteSpace(text.Text[start]))
            start++;
        while (right && end > start && char.IsWhiteSpace(text.Text[end - 1]))
            end--;
        if (end - start == text.Text.Length)
            return text;
        var edit = new AlignedText.Edit(text, end - start);
        edit.Keep(start, end);
        return edit.Done();
    }
}

/// <summary>Puts a string before a text that is not empty.</summary>
internal sealed class PrependNormalizer(string prefix) : Normalizer
{
    public override AlignedText Apply(AlignedText text) => text.Prepend(prefix);
}

/// <summary>Replaces the matches of a pattern.</summary>
internal sealed class ReplaceNormalizer(TextPattern pattern, string content) : Normalizer
{
    public override AlignedText Apply(AlignedText text)
    {
        var matches = new List<TextRange>();
        pattern.FindMatches(text.Text, matches);
        return text.Replace(matches, content);
    }
}

/// <summary>Spells the text in the byte alphabet.</summary>
internal sealed class ByteLevelNormalizer : Normalizer
{
    public override AlignedText Apply(AlignedText text) => ByteLevelPreTokenizer.Spell(text);
}

/// <summary>
/// Control characters out, odd blanks to plain ones
/// (https://github.com/huggingface/tokenizers/blob/main/tokenizers/src/normalizers/unicode.rs, do_nmt).
/// </summary>
internal sealed class NmtNormalizer : Normalizer
{
    public override AlignedText Apply(AlignedText text) => text
        .Filter(static codePoint => codePoint is not ((>= 0x01 and <= 0x08) or 0x0B or (>= 0x0E and <= 0x1F) or 0x7F or 0x8F or 0x9F))
        .Map(static codePoint => codePoint is 0x09 or 0x0A or 0x0C or 0x0D or 0x1680 or (>= 0x200B and <= 0x200F) or 0x2028 or 0x2029
            or 0x2581 or 0xFEFF or 0xFFFD ? " " : null);
}

/// <summary>BERT's cleaning, blanks around Chinese characters, accents and case.</summary>
internal sealed class BertNormalizer(bool cleanText, bool handleChineseChars, bool? stripAccents, bool lowercase) : Normalizer
{
    public override AlignedText Apply(AlignedText text)
    {
        if (cleanText)
        {
            text = text.Filter(static codePoint => codePoint is not (0 or 0xFFFD) && !IsControl(codePoint))
                .Map(static codePoint => CharacterClasses.IsWhiteSpace(codePoint) ? " " : null);
        }

        if (handleChineseChars)
            text = text.Map(static codePoint => IsChinese(codePoint) ? $" {char.ConvertFromUtf32(codePoint)} " : null);
        if (stripAccents ?? lowercase)
        {
            text = text.Transform(Normalization.Run(text.Text, NormalizationKind.Nfd))
                .Filter(static codePoint => CharUnicodeInfo.GetUnicodeCategory(codePoint) != UnicodeCategory.NonSpacingMark);
        }

        return lowercase ? text.Map(LowercaseNormalizer.Lower) : text;
    }

    private static bool IsControl(int codePoint) => codePoint is not ('\t' or '\n' or '\r')
        && CharUnicodeInfo.GetUnicodeCategory(codePoint) is UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.PrivateUse;

    private static bool IsChinese(int codePoint) => codePoint is (>= 0x4E00 and <= 0x9FFF) or (>= 0x3400 and <= 0x4DBF)
        or (>= 0x20000 and <= 0x2A6DF) or (>= 0x2A700 and <= 0x2B73F) or (>= 0x2B740 and <= 0x2B81F) or (>= 0x2B920 and <= 0x2CEAF)
        or (>= 0xF900 and <= 0xFAFF) or (>= 0x2F800 and <= 0x2FA1F);
}

/// <summary>Several normalizers, one behind the other.</summary>
internal sealed class NormalizerSequence(IReadOnlyList<Normalizer> steps) : Normalizer
{
    public override AlignedText Apply(AlignedText text) => steps.Aggregate(text, static (current, step) => step.Apply(current));

    public override string Apply(string text) => steps.Aggregate(text, static (current, step) => step.Apply(current));
}
