using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace Perenos.Recipes.Gather;

/// <summary>One training record.</summary>
/// <param name="Kind">"pairs", "en" or "fr".</param>
/// <param name="Package">Name of the package the text comes from; null where several packages share a document.</param>
/// <param name="Text">Pairs or paragraphs, a blank line between two.</param>
internal sealed record Document(string Kind, string? Package, string Text);

/// <summary>Numbers in place of a random generator: the same text gets the same draw on every machine and in every order.</summary>
internal static class Draw
{
    private const string Seed = "perenos-base-1";

    /// <summary>A number for a text; each purpose draws independently.</summary>
    public static ulong For(string purpose, string text)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(Encoding.UTF8.GetBytes($"{Seed}|{purpose}|{text}"), hash);
        return BinaryPrimitives.ReadUInt64LittleEndian(hash);
    }

    public static int Below(int limit, string purpose, string text) => (int)(For(purpose, text) % (ulong)limit);

    public static List<T> Shuffle<T>(IEnumerable<T> items, string purpose, Func<T, string> text)
        => [.. items.Select(item => (Rank: For(purpose, text(item)), Item: item)).OrderBy(x => x.Rank).ThenBy(x => text(x.Item), StringComparer.Ordinal).Select(x => x.Item)];
}
