using System.Globalization;

namespace Perenos.Text.Tokenization;

/// <summary>A set of code points: a bitmap for the basic plane, the defining predicate for the rest.</summary>
internal sealed class CodePointSet
{
    private static readonly Lazy<Dictionary<int, int[]>> Foldings = new(BuildFoldings);

    private readonly ulong[] _basic = new ulong[0x10000 / 64];
    private readonly Func<int, bool> _contains;

    public CodePointSet(Func<int, bool> contains)
    {
        _contains = contains;
        for (int codePoint = 0; codePoint < 0x10000; codePoint++)
        {
            if (contains(codePoint))
                _basic[codePoint >> 6] |= 1ul << codePoint;
        }
    }

    /// <summary>The set that a list such as "41-5A AA" names, in hexadecimal and ascending.</summary>
    public static CodePointSet OfRanges(string list)
    {
        var ranges = list.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)
            .Select(static word => word.Split('-'))
            .Select(static ends => (First: Convert.ToInt32(ends[0], 16), Last: Convert.ToInt32(ends[^1], 16))).ToArray();
        return new CodePointSet(codePoint =>
        {
            int low = 0, high = ranges.Length;
            while (low < high)
            {
                int middle = (low + high) / 2;
                if (ranges[middle].Last < codePoint)
                    low = middle + 1;
                else
                    high = middle;
            }

            return low < ranges.Length && ranges[low].First <= codePoint;
        });
    }

    public bool Contains(int codePoint) =>
        codePoint < 0x10000 ? (_basic[codePoint >> 6] >> codePoint & 1) != 0 : _contains(codePoint);

    /// <summary>The code points that differ from one only in case, by simple case mapping.</summary>
    public static ReadOnlySpan<int> CaseVariants(int codePoint) =>
        Foldings.Value.TryGetValue(codePoint, out int[]? variants) ? variants : [];

    /// <summary>The predicate behind \p{name}: general categories, their groups and scripts; null for an unknown name.</summary>
    public static Func<int, bool>? Property(string name)
    {
        string key = name.Replace("_", "", StringComparison.Ordinal).Replace(" ", "", StringComparison.Ordinal).ToLowerInvariant();
        if (Categories(key) is { } categories)
            return codePoint => (categories >> (int)CharUnicodeInfo.GetUnicodeCategory(codePoint) & 1) != 0;
        return key switch
        {
            "any" => static _ => true,
            "alpha" or "alphabetic" => static codePoint => CharacterClasses.IsWord(codePoint) && !IsIn(codePoint, "nd pc")
                && codePoint is not (0x200C or 0x200D),
            "space" or "whitespace" => CharacterClasses.IsWhiteSpace,
            "word" => Word,
            _ => UnicodeScripts.Named(key) is >= 0 and var script ? codePoint => UnicodeScripts.Of(codePoint) == script : null,
        };
    }

    /// <summary>\w as Oniguruma has it: without the joiners.</summary>
    public static bool Word(int codePoint) => codePoint is not (0x200C or 0x200D) && CharacterClasses.IsWord(codePoint);

    private static bool IsIn(int codePoint, string groups) => groups.Split(' ')
        .Any(group => (Categories(group)!.Value >> (int)CharUnicodeInfo.GetUnicodeCategory(codePoint) & 1) != 0);

    private static int? Categories(string key)
    {
        // In the order of System.Globalization.UnicodeCategory.
        const string Names = "lu ll lt lm lo mn mc me nd nl no zs zl zp cc cf cs co pc pd ps pe pi pf po sm sc sk so cn";
        string[] names = Names.Split(' ');
        key = key switch
        {
            "letter" => "l",
            "mark" => "m",
            "number" => "n",
            "punctuation" or "punct" => "p",
            "symbol" => "s",
            "separator" => "z",
            "other" => "c",
            "digit" => "nd",
            "upper" or "uppercase" => "lu",
            "lower" or "lowercase" => "ll",
            _ => key,
        };
        int mask = 0;
        for (int index = 0; index < names.Length; index++)
        {
            if (names[index] == key || (key.Length == 1 && names[index][0] == key[0]) || (key == "lc" && index < 3))
                mask |= 1 << index;
        }

        return mask == 0 ? null : mask;
    }

    private static Dictionary<int, int[]> BuildFoldings() => Enumerable.Range(0, 0x1F000)
        .Where(static codePoint => codePoint is < 0xD800 or > 0xDFFF)
        .GroupBy(static codePoint => Lower(Upper(codePoint)))
        .Where(static group => group.Skip(1).Any())
        .Select(static group => group.ToArray())
        .SelectMany(static group => group.Select(codePoint => (codePoint, group)))
        .ToDictionary(static entry => entry.codePoint, static entry => entry.group);

    // .NET keeps the long s apart from S, which Unicode's folding (CaseFolding.txt) does not.
    private static int Upper(int codePoint) => codePoint == 0x17F ? 'S' : System.Text.Rune.ToUpperInvariant(new System.Text.Rune(codePoint)).Value;

    private static int Lower(int codePoint) => System.Text.Rune.ToLowerInvariant(new System.Text.Rune(codePoint)).Value;
}
