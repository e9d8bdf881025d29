using System.Buffers.Binary;
using System.Text;

namespace Perenos.Recipes.Gather;

/// <summary>The compiled message catalogue of gettext: https://www.gnu.org/software/gettext/manual/html_node/MO-Files.html.</summary>
internal static class GettextCatalogue
{
    private const uint Magic = 0x950412de;
    private const int HeaderBytes = 28;

    /// <summary>Original and translation of every message, singular forms only; nothing for a file that is no catalogue in UTF-8.</summary>
    public static IEnumerable<(string Original, string Translation)> Read(byte[] file)
    {
        if (file.Length < HeaderBytes)
            yield break;
        uint magic = BinaryPrimitives.ReadUInt32LittleEndian(file);
        bool swapped = magic == BinaryPrimitives.ReverseEndianness(Magic);
        if (magic != Magic && !swapped)
            yield break;

        uint Number(long at) => at + 4 > file.Length ? 0
            : swapped ? BinaryPrimitives.ReadUInt32BigEndian(file.AsSpan((int)at))
            : BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan((int)at));

        long count = Math.Min(Number(8), file.Length / 16);
        long originals = Number(12), translations = Number(16);
        for (long i = 0; i < count; i++)
        {
            if (Text(originals + 8 * i) is { } original && Text(translations + 8 * i) is { } translation && original.Length > 0)
                yield return (WithoutContext(original), translation);
        }

        string? Text(long entry)
        {
            long length = Number(entry), start = Number(entry + 4);
            if (start + length > file.Length)
                return null;
            var bytes = file.AsSpan((int)start, (int)length);
            int end = bytes.IndexOf((byte)0);   // plural forms follow a zero
            try
            {
                return StrictUtf8.GetString(end < 0 ? bytes : bytes[..end]);
            }
            catch (DecoderFallbackException)
            {
                return null;
            }
        }
    }

    private static readonly UTF8Encoding StrictUtf8 = new(false, throwOnInvalidBytes: true);

    private static string WithoutContext(string original)
    {
        int end = original.IndexOf('\u0004', StringComparison.Ordinal);
        if (end >= 0)
            return original[(end + 1)..];
        // KDE before 2008 wrote the context into the message: "_: context\nmessage".
        if (original.StartsWith("_:", StringComparison.Ordinal) && original.IndexOf('\n', StringComparison.Ordinal) is > 0 and var line)
            return original[(line + 1)..];
        return original;
    }
}
