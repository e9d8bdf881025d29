using System.Text.Json;

namespace Perenos.Text.Tokenization;

/// <summary>The section "padding" of a tokenizer.json.</summary>
public sealed record PaddingSettings
{
    /// <summary>The length to fill up to; null means that of the longest text of the batch.</summary>
    public int? FixedLength { get; init; }

    /// <summary>The length is rounded up to a multiple of this; 0 leaves it.</summary>
    public int MultipleOf { get; init; }

    /// <summary>Whether the padding stands before the text.</summary>
    public bool OnLeft { get; init; }

    /// <summary>Id of the padding.</summary>
    public int Id { get; init; }

    /// <summary>Type id of the padding.</summary>
    public int TypeId { get; init; }

    /// <summary>The padding as the vocabulary spells it.</summary>
    public string Token { get; init; } = "[PAD]";

    internal static PaddingSettings Read(ComponentSpec spec)
    {
        var strategy = spec.At("strategy");
        return new PaddingSettings
        {
            FixedLength = strategy.Json.ValueKind == JsonValueKind.Object ? strategy.Number("Fixed")
                : strategy.AsText() == "BatchLongest" ? null
                : throw strategy.Error($"there is no padding strategy \"{strategy.AsText()}\".", "Known are BatchLongest and {\"Fixed\": length}."),
            MultipleOf = spec.Number("pad_to_multiple_of", 0),
            OnLeft = Sides.IsLeft(spec),
            Id = spec.Number("pad_id"),
            TypeId = spec.Number("pad_type_id"),
            Token = spec.Text("pad_token"),
        };
    }

    internal object ToSection() => new
    {
        strategy = FixedLength is { } length ? new { Fixed = length } : (object)"BatchLongest",
        direction = Sides.Name(OnLeft),
        pad_to_multiple_of = MultipleOf == 0 ? null : (int?)MultipleOf,
        pad_id = Id,
        pad_type_id = TypeId,
        pad_token = Token,
    };

    /// <summary>Fills all encodings, and what was cut off them, to one length.</summary>
    internal void Apply(TokenEncoding[] encodings)
    {
        int length = FixedLength ?? encodings.Select(encoding => encoding.Ids.Length).DefaultIfEmpty().Max();
        if (MultipleOf > 0)
            length = checked((length + MultipleOf - 1) / MultipleOf * MultipleOf);
        for (int index = 0; index < encodings.Length; index++)
            encodings[index] = encodings[index].WithEach(encoding => Filled(encoding, length));
    }

    private TokenEncoding Filled(TokenEncoding encoding, int length)
    {
        int missing = length - encoding.Ids.Length;
        if (missing <= 0)
            return encoding;
        var padding = TokenEncoding.Inserted([.. Enumerable.Repeat(Id, missing)], [.. Enumerable.Repeat(Token, missing)], TypeId, attended: false);
        return TokenEncoding.Row(OnLeft ? [padding, encoding] : [encoding, padding]);
    }
}
