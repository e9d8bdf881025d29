namespace Perenos.Text.Tokenization;

/// <summary>The tokens of a text and where they come from; all lists have one entry per token.</summary>
public sealed class TokenEncoding
{
    internal static readonly TokenEncoding Empty = Inserted([], [], 0);

    /// <summary>Token ids.</summary>
    public required int[] Ids { get; init; }

    /// <summary>Tokens as the vocabulary spells them; for an added token the text that it matched.</summary>
    public required string[] Tokens { get; init; }

    /// <summary>The part of the original text behind each token, in code points, end exclusive; (0, 0) for what was put in.</summary>
    public required (int Start, int End)[] Offsets { get; init; }

    /// <summary>Which sequence of a pair the post-processor says a token belongs to.</summary>
    public required int[] TypeIds { get; init; }

    /// <summary>True where the post-processor or padding put a token in.</summary>
    public required bool[] SpecialTokensMask { get; init; }

    /// <summary>False where padding put a token in.</summary>
    public required bool[] AttentionMask { get; init; }

    /// <summary>The word each token is part of, counted from 0; null for what was put in.</summary>
    public required int?[] WordIds { get; init; }

    /// <summary>The input (0 or 1) each token comes from; null for what was put in.</summary>
    public required int?[] SequenceIds { get; init; }

    /// <summary>What truncation cut off, in pieces of at most the same length; empty without truncation.</summary>
    public IReadOnlyList<TokenEncoding> Overflowing { get; internal init; } = [];

    internal static TokenEncoding Inserted(IReadOnlyList<int> ids, IReadOnlyList<string> tokens, int typeId, bool attended = true) => new()
    {
        Ids = [.. ids],
        Tokens = [.. tokens],
        Offsets = new (int, int)[ids.Count],
        TypeIds = [.. Enumerable.Repeat(typeId, ids.Count)],
        SpecialTokensMask = [.. Enumerable.Repeat(true, ids.Count)],
        AttentionMask = [.. Enumerable.Repeat(attended, ids.Count)],
        WordIds = new int?[ids.Count],
        SequenceIds = new int?[ids.Count],
    };

    /// <summary>The parts in a row; every piece that was cut off one part is put where it stood, beside all pieces of the others.</summary>
    internal static TokenEncoding Join(IReadOnlyList<TokenEncoding> parts)
    {
        if (parts.Count == 1)
            return parts[0];
        var overflowing = new List<TokenEncoding>();
        for (int count = 1; count < parts.Count; count++)
        {
            // As the reference merges: what is there so far with each next part (Encoding::merge_with).
            var next = parts[count];
            var before = count == 1 ? [.. parts[0].Overflowing] : overflowing;
            var whole = Row([.. parts.Take(count)]);
            overflowing =
            [
                .. before.SelectMany(cut => (TokenEncoding[])[Row([cut, next]), .. next.Overflowing.Select(other => Row([cut, other]))]),
                .. next.Overflowing.Select(other => Row([whole, other])),
            ];
        }

        return Row(parts).With(overflowing: overflowing);
    }

    internal TokenEncoding With(
        int? typeId = null, int? sequence = null, (int, int)[]? offsets = null, IReadOnlyList<TokenEncoding>? overflowing = null) => new()
        {
            Ids = Ids,
            Tokens = Tokens,
            Offsets = offsets ?? Offsets,
            TypeIds = typeId is null ? TypeIds : [.. Enumerable.Repeat(typeId.Value, Ids.Length)],
            SpecialTokensMask = SpecialTokensMask,
            AttentionMask = AttentionMask,
            WordIds = WordIds,
            SequenceIds = sequence is null ? SequenceIds : [.. Enumerable.Repeat(sequence, Ids.Length)],
            Overflowing = overflowing ?? Overflowing,
        };

    /// <summary>The same change to this encoding and to what was cut off it.</summary>
    internal TokenEncoding WithEach(Func<TokenEncoding, TokenEncoding> change) =>
        change(this).With(overflowing: [.. Overflowing.Select(change)]);

    /// <summary>Tokens from <paramref name="start"/> to <paramref name="end"/>.</summary>
    internal TokenEncoding Part(int start, int end) => new()
    {
        Ids = Ids[start..end],
        Tokens = Tokens[start..end],
        Offsets = Offsets[start..end],
        TypeIds = TypeIds[start..end],
        SpecialTokensMask = SpecialTokensMask[start..end],
        AttentionMask = AttentionMask[start..end],
        WordIds = WordIds[start..end],
        SequenceIds = SequenceIds[start..end],
    };

    internal static TokenEncoding Row(IReadOnlyList<TokenEncoding> parts) => new()
    {
        Ids = [.. parts.SelectMany(part => part.Ids)],
        Tokens = [.. parts.SelectMany(part => part.Tokens)],
        Offsets = [.. parts.SelectMany(part => part.Offsets)],
        TypeIds = [.. parts.SelectMany(part => part.TypeIds)],
        SpecialTokensMask = [.. parts.SelectMany(part => part.SpecialTokensMask)],
        AttentionMask = [.. parts.SelectMany(part => part.AttentionMask)],
        WordIds = [.. parts.SelectMany(part => part.WordIds)],
        SequenceIds = [.. parts.SelectMany(part => part.SequenceIds)],
    };
}
