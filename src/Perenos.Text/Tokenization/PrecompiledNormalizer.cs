using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace Perenos.Text.Tokenization;

/// <summary>
/// SentencePiece's table of replacements: a double-array trie (https://github.com/s-yata/darts-clone) over UTF-8 and the texts that
/// its values point to. Works on grapheme clusters first, as in
/// https://github.com/huggingface/tokenizers/blob/main/tokenizers/src/normalizers/precompiled.rs.
/// </summary>
internal sealed class PrecompiledNormalizer : Normalizer
{
    private readonly uint[] _trie;
    private readonly byte[] _texts;

    private PrecompiledNormalizer(uint[] trie, byte[] texts)
    {
        _trie = trie;
        _texts = texts;
    }

    /// <summary>Reads a table: the trie's size in bytes, the trie, the texts. Null if it is cut off.</summary>
    public static PrecompiledNormalizer? Read(byte[] table)
    {
        if (table.Length < 4 || BinaryPrimitives.ReadUInt32LittleEndian(table) is var size && size > table.Length - 4)
            return null;
        uint[] trie = new uint[size / 4];
        for (int index = 0; index < trie.Length; index++)
            trie[index] = BinaryPrimitives.ReadUInt32LittleEndian(table.AsSpan(4 + 4 * index));
        return new PrecompiledNormalizer(trie, table[(4 + (int)size)..]);
    }

    public override AlignedText Apply(AlignedText text)
    {
        var changes = new List<(int CodePoint, int Change)>(text.Text.Length);
        bool modified = false;
        for (int start = 0; start < text.Text.Length;)
        {
            var cluster = text.Text.AsSpan(start, StringInfo.GetNextTextElementLength(text.Text, start));
            start += cluster.Length;
            if (Encoding.UTF8.GetByteCount(cluster) < 6 && Find(cluster) is { } whole)
            {
                Replace(changes, cluster, whole);
                modified = true;
                continue;
            }

            for (int index = 0; index < cluster.Length;)
            {
                Rune.DecodeFromUtf16(cluster[index..], out var rune, out int width);
                if (Find(cluster.Slice(index, width)) is { } part)
                {
                    Replace(changes, cluster.Slice(index, width), part);
                    modified = true;
                }
                else
                {
                    changes.Add((rune.Value, 0));
                }

                index += width;
            }
        }

        return modified ? text.Transform(changes) : text;
    }

    // The shortest prefix with an entry decides, not the longest: so does the reference.
    private string? Find(ReadOnlySpan<char> part)
    {
        byte[] key = new byte[Encoding.UTF8.GetByteCount(part)];
        Encoding.UTF8.GetBytes(part, key);
        uint place = 0;
        if (_trie.Length == 0)
            return null;
        place ^= Offset(_trie[0]);
        foreach (byte value in key)
        {
            if (value == 0)
                break;
            place ^= value;
            if (place >= _trie.Length || (_trie[place] & 0x800000FF) != value)
                return null;
            uint unit = _trie[place];
            place ^= Offset(unit);
            if ((unit >> 8 & 1) != 0)
                return place < _trie.Length ? TextAt(_trie[place] & 0x7FFFFFFF) : null;
        }

        return null;
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

    private static void Replace(List<(int CodePoint, int Change)> changes, ReadOnlySpan<char> from, string to)
    {
        int before = 0, after = 0;
        foreach (var _ in from.EnumerateRunes())
            before++;
        foreach (var rune in to.EnumerateRunes())
        {
            changes.Add((rune.Value, 0));
            after++;
        }

        for (int added = 0; added < after - before; added++)
            changes[^(added + 1)] = (changes[^(added + 1)].CodePoint, 1);
        if (after < before && changes.Count > 0)
            changes[^1] = (changes[^1].CodePoint, changes[^1].Change + after - before);
    }
}
