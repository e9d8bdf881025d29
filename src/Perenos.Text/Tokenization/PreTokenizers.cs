using System.Text;

namespace Perenos.Text.Tokenization;

/// <summary>When <see cref="MetaspacePreTokenizer"/> puts its blank before a text.</summary>
internal enum PrependScheme
{
    Always,
    First,
    Never,
}

/// <summary>SentencePiece's way: blanks become a visible character that begins words.</summary>
internal sealed class MetaspacePreTokenizer(string replacement, PrependScheme scheme, bool split) : PreTokenizer
{
    private static readonly LiteralPattern Blank = new(" ");

    private readonly LiteralPattern _replacement = new(replacement);

    public override IEnumerable<AlignedText> Apply(AlignedText part)
    {
        var blanks = new List<TextRange>();
        Blank.FindMatches(part.Text, blanks);
        part = part.Replace(blanks, replacement);
        bool prepends = scheme == PrependScheme.Always || (scheme == PrependScheme.First && part.Origin == 0);
        if (prepends && !part.Text.StartsWith(replacement, StringComparison.Ordinal))
            part = part.Prepend(replacement);
        if (!split)
            return [part];
        var ranges = new List<TextRange>();
        Splitting.Split(part.Text, _replacement, SplitBehavior.MergedWithNext, invert: false, ranges);
        return ranges.Select(range => part.Slice(range.Start, range.Length));
    }
}

/// <summary>Runs of word characters and runs of other characters that are not blank.</summary>
internal sealed class WhitespaceSplitter : Splitter
{
    public override void Split(ReadOnlySpan<char> text, List<TextRange> pieces)
    {
        int start = 0, kind = 0; // 0 blank, 1 word, 2 other
        for (int index = 0; index < text.Length;)
        {
            Rune.DecodeFromUtf16(text[index..], out var rune, out int width);
            int next = CharacterClasses.IsWhiteSpace(rune.Value) ? 0 : CharacterClasses.IsWord(rune.Value) ? 1 : 2;
            if (next != kind)
            {
                if (kind != 0)
                    pieces.Add(new TextRange(start, index));
                (start, kind) = (index, next);
            }

            index += width;
        }

        if (kind != 0)
            pieces.Add(new TextRange(start, text.Length));
    }
}

/// <summary>
/// Cuts where the script changes; kana count as Han, a blank as whatever is around it
/// (https://github.com/huggingface/tokenizers/blob/main/tokenizers/src/pre_tokenizers/unicode_scripts/pre_tokenizer.rs). As there,
/// what stands before the first character of a script is lost.
/// </summary>
internal sealed class ScriptSplitter : Splitter
{
    private static readonly int Han = UnicodeScripts.Named("Han");
    private static readonly int Hiragana = UnicodeScripts.Named("Hiragana");
    private static readonly int Katakana = UnicodeScripts.Named("Katakana");

    public override void Split(ReadOnlySpan<char> text, List<TextRange> pieces)
    {
        int start = -1, last = UnicodeScripts.Unknown;
        for (int index = 0; index < text.Length;)
        {
            Rune.DecodeFromUtf16(text[index..], out var rune, out int width);
            int script = ScriptOf(rune.Value);
            if (script != UnicodeScripts.Unknown && script != last)
            {
                if (start >= 0)
                    pieces.Add(new TextRange(start, index));
                (start, last) = (index, script);
            }

            index += width;
        }

        if (start >= 0)
            pieces.Add(new TextRange(start, text.Length));
    }

    private static int ScriptOf(int codePoint)
    {
        if (codePoint == ' ')
            return UnicodeScripts.Unknown;
        int script = UnicodeScripts.Of(codePoint);
        return codePoint == 0x30FC || script == Hiragana || script == Katakana ? Han : script;
    }
}
