using System.Buffers.Binary;
using System.Text;

namespace Perenos.Text.Tokenization;

/// <summary>
/// SentencePiece's table of replacements: a double-array trie (https://github.com/s-yata/darts-clone) over UTF-8 and the texts that
/// its values point to.
/// </summary>
internal sealed class CharacterMap
{
    private readonly uint[] _trie;
    private readonly byte[] _texts;

    private CharacterMap(uint[] trie, byte[] texts)
    {
        _trie = trie;
        _texts = texts;
    }

    /// <summary>Reads a table: the trie's size in bytes, the trie, the texts. Null if it is cut off.</summary>
    public static CharacterMap? Read(ReadOnlySpan<byte> table)
    {
        if (table.Length < 4 || BinaryPrimitives.ReadUInt32LittleEndian(table) is var size && size > table.Length - 4)
            return null;
        uint[] trie = new uint[size / 4];
        for (int index = 0; index < trie.Length; index++)
            trie[index] = BinaryPrimitives.ReadUInt32LittleEndian(table[(4 + 4 * index)..]);
        return new CharacterMap(trie, table[(4 + (int)size)..].ToArray());
    }

    /// <summary>The replacement of the shortest prefix that has one, or null.</summary>
    public string? Shortest(ReadOnlySpan<byte> text) => Find(text, isShortest: true, out _);

    /// <summary>The replacement of the longest prefix that has one, or null.</summary>
    public string? Longest(ReadOnlySpan<byte> text, out int length) => Find(text, isShortest: false, out length);

    private string? Find(ReadOnlySpan<byte> text, bool isShortest, out int length)
    {
        length = 0;
        if (_trie.Length == 0)
            return null;
        uint place = Offset(_trie[0]);
        uint? found = null;
        for (int index = 0; index < text.Length && text[index] != 0; index++)
        {
            place ^= text[index];
            if (place >= _trie.Length || (_trie[place] & 0x800000FF) != text[index])
                break;
            uint unit = _trie[place];
            place ^= Offset(unit);
            if ((unit >> 8 & 1) == 0)
                continue;
            if (place >= _trie.Length)
                break;
            (found, length) = (_trie[place] & 0x7FFFFFFF, index + 1);
            if (isShortest)
                break;
        }

        return found is { } at ? TextAt(at) : null;
    }

    private string? TextAt(uint place)
    {
        if (place > _texts.Length)
            return null;
        var rest = _texts.AsSpan((int)place);
        int end = rest.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? rest : rest[..end]);
    }

    private static uint Offset(uint unit) => unit >> 10 << (int)((unit & 1 << 9) >> 6);
}
