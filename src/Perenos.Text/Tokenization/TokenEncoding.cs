namespace Perenos.Text.Tokenization;

/// <summary>The tokens of a text and where they come from; all lists have one entry per token.</summary>
public sealed class TokenEncoding
{
    internal static readonly TokenEncoding Empty = new()
    {
        Ids = [],
        Tokens = [],
        Offsets = [],
        TypeIds = [],
        SpecialTokensMask = [],
        WordIds = [],
        SequenceIds = [],
    };

    /// <summary>Token ids.</summary>
    public required int[] Ids { get; init; }

    /// <summary>Tokens as the vocabulary spells them; for an added token the text that it matched.</summary>
    public required string[] Tokens { get; init; }

    /// <summary>The part of the original text behind each token, in code points, end exclusive; (0, 0) for what was put in.</summary>
    public required (int Start, int End)[] Offsets { get; init; }

    /// <summary>Which sequence of a pair the post-processor says a token belongs to.</summary>
    public required int[] TypeIds { get; init; }

    /// <summary>True where the post-processor put a token in.</summary>
    public required bool[] SpecialTokensMask { get; init; }

    /// <summary>The word each token is part of, counted from 0; null for what was put in.</summary>
    public required int?[] WordIds { get; init; }

    /// <summary>The input (0 or 1) each token comes from; null for what was put in.</summary>
    public required int?[] SequenceIds { get; init; }

    internal static TokenEncoding Inserted(IReadOnlyList<int> ids, IReadOnlyList<string> tokens, int typeId) => new()
    {
        Ids = [.. ids],
        Tokens = [.. tokens],
        Offsets = new (int, int)[ids.Count],
        TypeIds = [.. Enumerable.Repeat(typeId, ids.Count)],
        SpecialTokensMask = [.. Enumerable.Repeat(true, ids.Count)],
        WordIds = new int?[ids.Count],
        SequenceIds = new int?[ids.Count],
    };

    internal static TokenEncoding Join(IReadOnlyList<TokenEncoding> parts) => parts.Count == 1 ? parts[0] : new TokenEncoding
    {
        Ids = [.. parts.SelectMany(part => part.Ids)],
        Tokens = [.. parts.SelectMany(part => part.Tokens)],
        Offsets = [.. parts.SelectMany(part => part.Offsets)],
        TypeIds = [.. parts.SelectMany(part => part.TypeIds)],
        SpecialTokensMask = [.. parts.SelectMany(part => part.SpecialTokensMask)],
        WordIds = [.. parts.SelectMany(part => part.WordIds)],
        SequenceIds = [.. parts.SelectMany(part => part.SequenceIds)],
    };

    internal TokenEncoding With(int? typeId = null, int? sequence = null, (int, int)[]? offsets = null) => new()
    {
        Ids = Ids,
        Tokens = Tokens,
        Offsets = offsets ?? Offsets,
        TypeIds = typeId is null ? TypeIds : [.. Enumerable.Repeat(typeId.Value, Ids.Length)],
        SpecialTokensMask = SpecialTokensMask,
        WordIds = WordIds,
        SequenceIds = sequence is null ? SequenceIds : [.. Enumerable.Repeat(sequence, Ids.Length)],
    };
}
