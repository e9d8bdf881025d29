using System.Globalization;
using System.Text;

namespace Perenos.Text.Tokenization;

/// <summary>The four normalization forms (https://www.unicode.org/reports/tr15/).</summary>
internal enum NormalizationKind
{
    Nfc,
    Nfd,
    Nfkc,
    Nfkd,
}

/// <summary>
/// Unicode normalization that says for every code point how it came from the text before, in the way of
/// https://docs.rs/unicode-normalization-alignments (see <see cref="AlignedText.Transform"/>).
/// </summary>
internal static class Normalization
{
    private const int HangulBase = 0xAC00, LeadBase = 0x1100, VowelBase = 0x1161, TailBase = 0x11A7;
    private const int Leads = 19, Vowels = 21, Tails = 28;

    private static readonly Dictionary<int, int[]> Canonical = Mappings(NormalizationData.Canonical);
    private static readonly Dictionary<int, int[]> Compatibility = Mappings(NormalizationData.Compatibility);
    private static readonly Dictionary<int, byte> Classes = CombiningClasses();
    private static readonly Dictionary<(int, int), int> Compositions = BuildCompositions();
    private static readonly HashSet<int> ComposedChanges = FindComposedChanges();

    /// <summary>Whether a text certainly stays as it is; a cheap test that may say no too often.</summary>
    public static bool IsUnchanged(string text, NormalizationKind kind)
    {
        bool composes = kind == NormalizationKind.Nfc;
        char mostPlain = composes ? '\u02FF' : '\u007F';
        for (int index = 0; index < text.Length; index++)
        {
            int offset = text.AsSpan(index).IndexOfAnyExceptInRange('\0', mostPlain);
            if (offset < 0)
                return true;
            index += offset;
            if (!composes || (!char.IsLowSurrogate(text[index]) && ComposedChanges.Contains(char.ConvertToUtf32(text, index))))
                return false;
        }

        return true;
    }

    /// <summary>NFC of a text of which little changes: only the neighbourhood of what may change is taken apart.</summary>
    public static string Composed(string text)
    {
        var result = new StringBuilder(text.Length);
        int done = 0, anchor = 0; // the anchor is the last code point that stays, but may join with what follows
        for (int index = 0; index < text.Length;)
        {
            int width = char.IsHighSurrogate(text[index]) ? 2 : 1;
            if (!MayChange(text, index))
            {
                anchor = index;
                index += width;
                continue;
            }

            int end = index;
            while (end < text.Length && MayChange(text, end))
                end += char.IsHighSurrogate(text[end]) ? 2 : 1;
            result.Append(text, done, anchor - done);
            foreach (var (codePoint, _) in Run(text[anchor..end], NormalizationKind.Nfc))
                result.Append(new Rune(codePoint));
            done = anchor = index = end;
        }

        return result.Append(text, done, text.Length - done).ToString();

        static bool MayChange(string text, int index) =>
            text[index] >= 0x300 && ComposedChanges.Contains(char.ConvertToUtf32(text, index));
    }

    /// <summary>The code points of the normalized text with their changes.</summary>
    public static List<(int CodePoint, int Change)> Run(string text, NormalizationKind kind)
    {
        var decomposed = Decompose(text, kind is NormalizationKind.Nfkc or NormalizationKind.Nfkd);
        return kind is NormalizationKind.Nfc or NormalizationKind.Nfkc ? Compose(decomposed) : decomposed;
    }

    private static List<(int CodePoint, int Change)> Decompose(string text, bool compatibility)
    {
        var all = new List<(int CodePoint, int Change)>(text.Length);
        var parts = new List<int>();
        foreach (var rune in text.EnumerateRunes())
        {
            parts.Clear();
            Expand(rune.Value, compatibility, parts);
            for (int index = 0; index < parts.Count; index++)
                all.Add((parts[index], index == 0 ? 0 : 1));
        }

        // Canonical order: marks by class, each run between starters on its own, equals as they came.
        for (int start = 0; start < all.Count;)
        {
            int end = start + 1;
            if (Class(all[start].CodePoint) != 0)
            {
                while (end < all.Count && Class(all[end].CodePoint) != 0)
                    end++;
                if (end - start > 1)
                {
                    var sorted = all.GetRange(start, end - start).OrderBy(static entry => Class(entry.CodePoint)).ToList();
                    for (int index = start; index < end; index++)
                        all[index] = sorted[index - start];
                }
            }

            start = end;
        }

        return all;
    }

    private static List<(int CodePoint, int Change)> Compose(List<(int CodePoint, int Change)> decomposed)
    {
        var result = new List<(int CodePoint, int Change)>(decomposed.Count);
        int starter = -1, lastClass = -1; // the place of the last starter; the class of the last mark kept behind it
        foreach (var (codePoint, change) in decomposed)
        {
            int combiningClass = Class(codePoint);
            if (starter >= 0 && lastClass < combiningClass // else a mark between the two blocks it
                && Composed(result[starter].CodePoint, codePoint) is >= 0 and var composed)
            {
                result[starter] = (composed, result[starter].Change + change - 1);
                continue;
            }

            result.Add((codePoint, change));
            if (combiningClass == 0)
                (starter, lastClass) = (result.Count - 1, -1);
            else
                lastClass = combiningClass;
        }

        return result;
    }

    private static void Expand(int codePoint, bool compatibility, List<int> parts)
    {
        int syllable = codePoint - HangulBase;
        if (syllable is >= 0 and < Leads * Vowels * Tails)
        {
            parts.Add(LeadBase + syllable / (Vowels * Tails));
            parts.Add(VowelBase + syllable % (Vowels * Tails) / Tails);
            if (syllable % Tails != 0)
                parts.Add(TailBase + syllable % Tails);
        }
        else if (Canonical.TryGetValue(codePoint, out int[]? mapping) || (compatibility && Compatibility.TryGetValue(codePoint, out mapping)))
        {
            foreach (int part in mapping)
                Expand(part, compatibility, parts);
        }
        else
        {
            parts.Add(codePoint);
        }
    }

    private static int Composed(int first, int second)
    {
        int lead = first - LeadBase, vowel = second - VowelBase;
        if (lead is >= 0 and < Leads && vowel is >= 0 and < Vowels)
            return HangulBase + (lead * Vowels + vowel) * Tails;
        int syllable = first - HangulBase, tail = second - TailBase;
        if (syllable is >= 0 and < Leads * Vowels * Tails && syllable % Tails == 0 && tail is > 0 and < Tails)
            return first + tail;
        return Compositions.TryGetValue((first, second), out int composed) ? composed : -1;
    }

    private static int Class(int codePoint) =>
        codePoint >= 0x300 && Classes.TryGetValue(codePoint, out byte combiningClass) ? combiningClass : 0;

    private static Dictionary<int, int[]> Mappings(string data) => Words(data).Select(static word => word.Split('='))
        .ToDictionary(static sides => Hex(sides[0]), static sides => Array.ConvertAll(sides[1].Split('+'), Hex));

    private static Dictionary<int, byte> CombiningClasses()
    {
        var classes = new Dictionary<int, byte>();
        foreach (string word in Words(NormalizationData.CombiningClasses))
        {
            string[] sides = word.Split(':');
            foreach (int codePoint in sides[1].Split(',').SelectMany(Range))
                classes[codePoint] = byte.Parse(sides[0], CultureInfo.InvariantCulture);
        }

        return classes;
    }

    private static Dictionary<(int, int), int> BuildCompositions()
    {
        var excluded = Words(NormalizationData.Exclusions).SelectMany(Range).ToHashSet();
        return Canonical.Where(entry => entry.Value.Length == 2 && !excluded.Contains(entry.Key))
            .ToDictionary(static entry => (entry.Value[0], entry.Value[1]), static entry => entry.Key);
    }

    // What composition may change: marks, singletons and excluded characters, and everything that can be a second part.
    private static HashSet<int> FindComposedChanges()
    {
        var composed = Compositions.Values.ToHashSet();
        return
        [
            .. Classes.Keys,
            .. Canonical.Keys.Where(codePoint => !composed.Contains(codePoint)),
            .. Compositions.Keys.Select(static pair => pair.Item2),
            .. Enumerable.Range(VowelBase, Vowels),
            .. Enumerable.Range(TailBase + 1, Tails - 1),
        ];
    }

    private static string[] Words(string data) => data.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);

    private static IEnumerable<int> Range(string range)
    {
        string[] ends = range.Split('-');
        return Enumerable.Range(Hex(ends[0]), Hex(ends[^1]) - Hex(ends[0]) + 1);
    }

    private static int Hex(string digits) => int.Parse(digits, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
}
