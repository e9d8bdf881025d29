using System.Text;

namespace Perenos.Text.Tokenization;

/// <summary>
/// The Moses tokenizer for English with hyphens split and XML escapes, which cuts BioGPT's texts
/// (https://github.com/moses-smt/mosesdecoder/blob/master/scripts/tokenizer/tokenizer.perl, in the form of
/// https://github.com/alvations/sacremoses). Its rules run one after the other over the whole text, each from left to right.
/// </summary>
internal sealed class MosesPreTokenizer : PreTokenizer
{
    // Stands for one of several dots in a row: controls have left the text before.
    private const int HiddenDot = 1;

    // Abbreviations whose dot belongs to them; single capitals do too.
    private static readonly HashSet<string> Abbreviations = [.. (
        "Adj Adm Adv Apr Asst Aug Bart Bldg Brig Bros Capt Cmdr Col Comdr Con Corp Cpl DR Dec Dr Drs Ens Feb Gen Gov Hon Hosp Hr Insp "
        + "Jan Jul Jun Lt MM MR MRS MS Maj Mar Messrs Mlle Mme Mr Mrs Ms Msgr Nos Nov Nr Oct Op Ord Pfc Ph Prof Pvt Rep Reps Res Rev "
        + "Rs Rt Sen Sens Sep Sfc Sgt Sr St Supt Surg e.g i.e rev v vs").Split(' '),
        .. Enumerable.Range('A', 26).Select(static letter => ((char)letter).ToString())];

    // Abbreviations only where a number follows.
    private static readonly HashSet<string> BeforeNumbers = ["Art", "No", "pp"];

    private static readonly Rule[] Hyphens = [new(MosesCharacters.IsAlnum, '-', MosesCharacters.IsAlnum, " @-@ ") { LooksAhead = true }];

    private static readonly Rule[] Commas =
    [
        new(IsNoNumber, ',', null, " , "),
        new(null, ',', IsNoNumber, " , "),
        new(MosesCharacters.IsNumber, ',', null, " , ") { AtEnd = true },
    ];

    private static readonly Rule[] Apostrophes =
    [
        new(IsNoLetter, '\'', IsNoLetter, " ' "),
        new(static codePoint => IsNoLetter(codePoint) && IsNoNumber(codePoint), '\'', MosesCharacters.IsAlpha, " ' "),
        new(MosesCharacters.IsAlpha, '\'', IsNoLetter, " ' "),
        new(MosesCharacters.IsAlpha, '\'', MosesCharacters.IsAlpha, " '"),
        new(MosesCharacters.IsNumber, '\'', static codePoint => codePoint == 's', " '"),
    ];

    /// <summary>A code point and the unit of the source whose place it takes.</summary>
    private readonly record struct Mark(int CodePoint, int Unit);

    /// <summary>A character between two others (or, AtEnd, the last) that becomes Middle; LooksAhead leaves the one behind for the next match.</summary>
    private sealed record Rule(Func<int, bool>? Before, int Center, Func<int, bool>? Behind, string Middle)
    {
        public bool LooksAhead { get; init; }

        public bool AtEnd { get; init; }
    }

    public override IEnumerable<AlignedText> Apply(AlignedText part)
    {
        var text = HideDots(Run(Clean(part.Text), Hyphens));
        text = Run(Run(text, Commas), Apostrophes);
        foreach (var word in DetachDots(Words(text)))
        {
            var edit = new AlignedText.Edit(part, word.Count + 8);
            Span<char> units = stackalloc char[2];
            foreach (var (codePoint, unit) in word)
            {
                if (Escape(codePoint) is { } escaped)
                    edit.Insert(escaped, unit);
                else
                    edit.Insert(units[..new Rune(codePoint == HiddenDot ? '.' : codePoint).EncodeToUtf16(units)], unit);
            }

            yield return edit.Done();
        }
    }

    private static bool IsNoNumber(int codePoint) => !MosesCharacters.IsNumber(codePoint);

    private static bool IsNoLetter(int codePoint) => !MosesCharacters.IsAlpha(codePoint);

    // Blanks become one, controls vanish, symbols stand alone.
    private static List<Mark> Clean(string source)
    {
        var text = new List<Mark>(source.Length + 16);
        bool isBlank = false;
        for (int unit = 0; unit < source.Length;)
        {
            Rune.DecodeFromUtf16(source.AsSpan(unit), out var rune, out int width);
            int codePoint = rune.Value;
            if (MosesCharacters.IsBlank(codePoint))
            {
                if (!isBlank)
                    text.Add(new Mark(' ', unit));
            }
            else if (codePoint >= 0x20)
            {
                bool isSymbol = codePoint is not ('.' or '\'' or '`' or ',' or '-') && !MosesCharacters.IsAlnum(codePoint);
                if (isSymbol)
                    text.Add(new Mark(' ', unit));
                text.Add(new Mark(codePoint, unit));
                if (isSymbol)
                    text.Add(new Mark(' ', unit));
            }

            isBlank = MosesCharacters.IsBlank(codePoint);
            unit += width;
        }

        int first = text.FindIndex(static mark => mark.CodePoint != ' '), last = text.FindLastIndex(static mark => mark.CodePoint != ' ');
        return first < 0 ? [] : text[first..(last + 1)];
    }

    private static List<Mark> HideDots(List<Mark> text)
    {
        var result = new List<Mark>(text.Count + 16);
        for (int start = 0; start < text.Count;)
        {
            int end = start;
            while (end < text.Count && text[end].CodePoint == '.')
                end++;
            if (end - start < 2)
            {
                result.Add(text[start++]);
                continue;
            }

            result.Add(new Mark(' ', text[start].Unit));
            for (; start < end; start++)
                result.Add(new Mark(HiddenDot, text[start].Unit));
            if (end < text.Count)
                result.Add(new Mark(' ', text[end].Unit));
        }

        return result;
    }

    private static List<Mark> Run(List<Mark> text, Rule[] rules)
    {
        foreach (var rule in rules)
        {
            var result = new List<Mark>(text.Count + 16);
            for (int at = 0; at < text.Count;)
            {
                int center = at + (rule.Before is null ? 0 : 1), behind = center + 1;
                bool matches = center < text.Count && text[center].CodePoint == rule.Center
                    && (rule.Before is null || rule.Before(text[at].CodePoint))
                    && (rule.Behind is null || (behind < text.Count && rule.Behind(text[behind].CodePoint)))
                    && (!rule.AtEnd || behind == text.Count);
                if (!matches)
                {
                    result.Add(text[at++]);
                    continue;
                }

                if (rule.Before is not null)
                    result.Add(text[at]);
                foreach (char unit in rule.Middle)
                    result.Add(new Mark(unit, text[center].Unit));
                at = behind;
                if (rule.Behind is not null && !rule.LooksAhead)
                    result.Add(text[at++]);
            }

            text = result;
        }

        return text;
    }

    private static List<List<Mark>> Words(List<Mark> text)
    {
        var words = new List<List<Mark>>();
        for (int start = 0; start < text.Count; start++)
        {
            int end = start;
            while (end < text.Count && text[end].CodePoint != ' ')
                end++;
            if (end > start)
                words.Add(text[start..end]);
            start = end;
        }

        return words;
    }

    // A dot at a word's end stands alone unless it belongs to an abbreviation or the sentence goes on.
    private static IEnumerable<List<Mark>> DetachDots(List<List<Mark>> words)
    {
        for (int index = 0; index < words.Count; index++)
        {
            var word = words[index];
            bool isLast = index == words.Count - 1;
            if (word.Count > 1 && word[^1].CodePoint == '.' && !KeepsDot(word[..^1], isLast ? [] : words[index + 1]))
            {
                yield return word[..^1];
                yield return word[^1..];
            }
            else if (isLast && word is [.. var rest, { CodePoint: '.' }, { CodePoint: '\'' }])
            {
                if (rest.Count > 0)
                    yield return rest;
                yield return word[^2..^1];
                yield return word[^1..];
            }
            else
            {
                yield return word;
            }
        }
    }

    private static bool KeepsDot(List<Mark> prefix, List<Mark> next)
    {
        if (prefix.Exists(static mark => mark.CodePoint == '.') && prefix.Exists(static mark => MosesCharacters.IsAlpha(mark.CodePoint)))
            return true;
        string text = string.Concat(prefix.Select(static mark => char.ConvertFromUtf32(mark.CodePoint)));
        return Abbreviations.Contains(text)
            || (next.Count > 0 && (MosesCharacters.IsLower(next[0].CodePoint)
                || (BeforeNumbers.Contains(text) && next[0].CodePoint is >= '0' and <= '9')));
    }

    private static string? Escape(int codePoint) => codePoint switch
    {
        '&' => "&amp;",
        '|' => "&#124;",
        '<' => "&lt;",
        '>' => "&gt;",
        '\'' => "&apos;",
        '"' => "&quot;",
        '[' => "&#91;",
        ']' => "&#93;",
        _ => null,
    };
}
