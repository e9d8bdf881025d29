using Perenos.Text.Data;

namespace Perenos.Text.Tests.Data;

/// <summary>An encoder that can be read: &lt;|im_end|&gt; and its like are 1, 2, …; two line feeds are 10,010; any other character is its code + 100.</summary>
internal sealed class CharacterEncoder : ITextEncoder
{
    public const int DoubleLine = 10_010;

    private static readonly string[] Specials = ["<|start|>", "<|im_start|>", "<|im_end|>"];

    public static int Start => 1;

    public static int Stop => 3;

    public IReadOnlyList<(int Id, int Start, int End)> Encode(string text)
    {
        var tokens = new List<(int, int, int)>();
        for (int at = 0; at < text.Length;)
        {
            int special = Array.FindIndex(Specials, name => string.CompareOrdinal(text, at, name, 0, name.Length) == 0);
            bool isDouble = special < 0 && at + 1 < text.Length && text[at] == '\n' && text[at + 1] == '\n';
            int length = special >= 0 ? Specials[special].Length : isDouble ? 2 : 1;
            tokens.Add((special >= 0 ? special + 1 : isDouble ? DoubleLine : text[at] + 100, at, at + length));
            at += length;
        }

        return tokens;
    }

    public static string Text(int id) => id <= Specials.Length ? Specials[id - 1] : id == DoubleLine ? "\n\n" : ((char)(id - 100)).ToString();

    public static string Text(IEnumerable<int> ids) => string.Concat(ids.Select(Text));

    /// <summary>The learnt part of an example, with the rest as dots.</summary>
    public static string Learnt(Example example) => string.Concat(example.Ids.Zip(example.IsLearnt, (id, isLearnt) => isLearnt ? Text(id) : "."));
}
