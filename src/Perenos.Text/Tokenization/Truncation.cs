using Perenos.Runs;

namespace Perenos.Text.Tokenization;

/// <summary>Which of two texts gives way when both together are too long.</summary>
public enum TruncationStrategy
{
    /// <summary>The longer one first, then both alike.</summary>
    LongestFirst,

    /// <summary>The first.</summary>
    OnlyFirst,

    /// <summary>The second.</summary>
    OnlySecond,
}

/// <summary>The section "truncation" of a tokenizer.json.</summary>
public sealed record TruncationSettings
{
    /// <summary>Most tokens, those of the post-processor included.</summary>
    public required int MaximumLength { get; init; }

    /// <summary>Which text gives way.</summary>
    public TruncationStrategy Strategy { get; init; }

    /// <summary>Tokens that neighbouring pieces share.</summary>
    public int Stride { get; init; }

    /// <summary>Whether the beginning of a text is cut off, not its end.</summary>
    public bool FromLeft { get; init; }

    internal static TruncationSettings Read(ComponentSpec spec) => new()
    {
        MaximumLength = spec.Number("max_length"),
        Strategy = spec.Text("strategy") is var name && Enum.TryParse<TruncationStrategy>(name, out var strategy) && strategy.ToString() == name
            ? strategy
            : throw spec.Error($"there is no truncation strategy \"{name}\".", $"Known are {string.Join(", ", Enum.GetNames<TruncationStrategy>())}."),
        Stride = spec.Number("stride", 0),
        FromLeft = Sides.IsLeft(spec),
    };

    internal object ToSection() => new
    {
        direction = Sides.Name(FromLeft),
        max_length = MaximumLength,
        strategy = Strategy.ToString(),
        stride = Stride,
    };

    /// <summary>
    /// Cuts one text, or two that belong together, to the length that is left beside the post-processor's tokens
    /// (https://github.com/huggingface/tokenizers/blob/main/tokenizers/src/utils/truncation.rs).
    /// </summary>
    internal void Apply(List<TokenEncoding> parts, int addedTokens)
    {
        int room = MaximumLength - addedTokens;
        if (room < 0)
            throw new PerenosException($"A length of {MaximumLength} has no room for {addedTokens} special tokens.", "Raise truncation.max_length.");
        int total = parts.Sum(part => part.Ids.Length);
        if (total <= room)
            return;
        if (room == 0)
        {
            for (int index = 0; index < parts.Count; index++)
                parts[index] = Cut(parts[index], 0);
            return;
        }

        if (Strategy == TruncationStrategy.LongestFirst)
        {
            int[] lengths = parts.Count == 1 ? [room] : Shared(parts[0].Ids.Length, parts[1].Ids.Length, room);
            for (int index = 0; index < parts.Count; index++)
                parts[index] = Cut(parts[index], lengths[index]);
            return;
        }

        int target = Strategy == TruncationStrategy.OnlyFirst ? 0 : 1;
        if (target >= parts.Count)
            throw new PerenosException("Truncation is to cut the second text, but there is only one.", "Set truncation.strategy to LongestFirst or OnlyFirst.");
        int left = parts[target].Ids.Length - (total - room);
        if (left <= 0)
            throw new PerenosException($"Cutting the {(target == 0 ? "first" : "second")} text alone cannot bring the pair to {MaximumLength} tokens.", "Set truncation.strategy to LongestFirst.");
        parts[target] = Cut(parts[target], left);
    }

    // The shorter one stays whole while it leaves the other at least as much; else both get half, and the odd token goes to the longer.
    private static int[] Shared(int first, int second, int room)
    {
        int shorter = Math.Min(first, second);
        int longer = shorter > room ? shorter : Math.Max(shorter, room - shorter);
        if (shorter + longer > room)
            (shorter, longer) = (room / 2, room / 2 + room % 2);
        return first > second ? [longer, shorter] : [shorter, longer];
    }

    private TokenEncoding Cut(TokenEncoding encoding, int length)
    {
        int total = encoding.Ids.Length;
        if (length >= total)
            return encoding;
        if (length == 0)
            return TokenEncoding.Empty.With(overflowing: [encoding]);
        if (Stride >= length)
            throw new PerenosException($"Pieces of {length} tokens cannot share {Stride}.", "Set truncation.stride below max_length less the special tokens.");
        var pieces = new List<TokenEncoding>();
        for (int step = 0; ; step++)
        {
            int near = step * (length - Stride), far = Math.Min(near + length, total);
            pieces.Add(FromLeft ? encoding.Part(total - far, total - near) : encoding.Part(near, far));
            if (far == total)
                return pieces[0].With(overflowing: pieces[1..]);
        }
    }
}

/// <summary>"Left" and "Right" as tokenizer.json files write them.</summary>
internal static class Sides
{
    public static bool IsLeft(ComponentSpec spec) => spec.Has("direction") && spec.Text("direction") switch
    {
        "Left" => true,
        "Right" => false,
        var other => throw spec.Error($"there is no direction \"{other}\".", "Known are Left and Right."),
    };

    public static string Name(bool isLeft) => isLeft ? "Left" : "Right";
}
