using System.Globalization;
using System.Text;

namespace Perenos.Text.Tokenization;

/// <summary>
/// SentencePiece's replacements as tokenizer.json files use them: on grapheme clusters first, as in
/// https://github.com/huggingface/tokenizers/blob/main/tokenizers/src/normalizers/precompiled.rs.
/// </summary>
internal sealed class PrecompiledNormalizer(CharacterMap map) : Normalizer
{
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
        return map.Shortest(key);
    }

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
