using System.IO.Compression;

namespace Perenos.Text.Data.Parquet;

/// <summary>
/// Expands pages. Room is taken as content comes, never because a header claims it, and no more than claimed: a page of a few bytes
/// cannot ask for gigabytes.
/// </summary>
internal static class ParquetCodec
{
    /// <summary>The largest page that is read; writers make them of about a megabyte.</summary>
    public const int LargestPage = 256 << 20;

    /// <summary>The content of a page that is <paramref name="size"/> bytes long.</summary>
    /// <param name="codec">CompressionCodec of parquet.thrift.</param>
    /// <param name="page">The page as it lies in the file.</param>
    /// <param name="size">Its length expanded, as the header says.</param>
    public static byte[] Expand(int codec, byte[] page, int size)
    {
        if (size is < 0 or > LargestPage)
            throw new InvalidDataException($"a page claims {size:N0} bytes");
        byte[] content = codec switch
        {
            0 => page,
            1 => Snappy(page, size),
            2 => Copy(new GZipStream(new MemoryStream(page), CompressionMode.Decompress), size),
            4 => Copy(new BrotliStream(new MemoryStream(page), CompressionMode.Decompress), size),
            6 => Copy(Zstandard(page), size),
            7 => Lz4(page, size),
            _ => throw new InvalidDataException($"it is compressed in a way that is not read here (codec {codec}; known: none, snappy, gzip, brotli, zstd, lz4_raw)"),
        };
        return content.Length == size ? content : throw new InvalidDataException("a page has another length than its header says");
    }

    // A frame may ask for a window of any size; no writer of pages needs more than this.
    private static ZstdSharp.DecompressionStream Zstandard(byte[] page)
    {
        const int largestWindowLog = 24;
        var stream = new ZstdSharp.DecompressionStream(new MemoryStream(page));
        stream.SetParameter(ZstdSharp.Unsafe.ZSTD_dParameter.ZSTD_d_windowLogMax, largestWindowLog);
        return stream;
    }

    private static byte[] Copy(Stream stream, int size)
    {
        using (stream)
        {
            using var content = new MemoryStream();
            byte[] buffer = new byte[1 << 16];
            int read;
            try
            {
                while ((read = stream.Read(buffer)) > 0)
                {
                    if (content.Length + read > size)
                        throw new InvalidDataException("a page is longer than its header says");
                    content.Write(buffer, 0, read);
                }
            }
            catch (Exception problem) when (problem is InvalidOperationException or IOException or ZstdSharp.ZstdException)
            {
                throw new InvalidDataException("a compressed page is damaged", problem);
            }

            return content.ToArray();
        }
    }

    // https://github.com/google/snappy/blob/main/format_description.txt
    private static byte[] Snappy(ReadOnlySpan<byte> page, int size)
    {
        int at = 0;
        long claimed = 0;
        for (int shift = 0; ; shift += 7)
        {
            byte part = Next(page, ref at);
            claimed |= (long)(part & 0x7F) << shift;
            if (part < 0x80)
                break;
            if (shift > 28)
                throw Damaged();
        }

        // An element of three bytes gives at most 64.
        if (claimed != size || size > 64L * page.Length)
            throw Damaged();
        byte[] content = new byte[size];
        int filled = 0;
        while (at < page.Length)
        {
            int tag = Next(page, ref at), kind = tag & 3;
            if (kind == 0)
            {
                int length = tag >> 2;
                if (length >= 60)
                    length = Number(page, ref at, length - 59);
                length++;
                if (length <= 0 || length > page.Length - at || length > size - filled)
                    throw Damaged();
                page.Slice(at, length).CopyTo(content.AsSpan(filled));
                (at, filled) = (at + length, filled + length);
                continue;
            }

            int count = kind == 1 ? (tag >> 2 & 7) + 4 : (tag >> 2) + 1;
            int distance = kind switch { 1 => tag >> 5 << 8 | Next(page, ref at), 2 => Number(page, ref at, 2), _ => Number(page, ref at, 4) };
            filled = Repeat(content, filled, distance, count);
        }

        return filled == size ? content : throw Damaged();
    }

    // https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md
    private static byte[] Lz4(ReadOnlySpan<byte> page, int size)
    {
        // A byte of a match's length gives at most 255.
        if (size > 256L * page.Length)
            throw Damaged();
        byte[] content = new byte[size];
        int at = 0, filled = 0;
        while (at < page.Length)
        {
            int token = Next(page, ref at);
            int literals = Length(page, ref at, token >> 4);
            if (literals > page.Length - at || literals > size - filled)
                throw Damaged();
            page.Slice(at, literals).CopyTo(content.AsSpan(filled));
            (at, filled) = (at + literals, filled + literals);
            if (at == page.Length)
                break; // The last sequence has no match.
            int distance = Number(page, ref at, 2);
            filled = Repeat(content, filled, distance, Length(page, ref at, token & 15) + 4);
        }

        return filled == size ? content : throw Damaged();
    }

    private static int Length(ReadOnlySpan<byte> page, ref int at, int length)
    {
        if (length < 15)
            return length;
        for (byte more = 255; more == 255 && length <= LargestPage;)
            length += more = Next(page, ref at);
        return length;
    }

    // Byte by byte where the copy overlaps itself: that is how runs are written.
    private static int Repeat(byte[] content, int filled, int distance, int count)
    {
        if (distance <= 0 || distance > filled || count > content.Length - filled)
            throw Damaged();
        for (int end = filled + count; filled < end; filled++)
            content[filled] = content[filled - distance];
        return filled;
    }

    private static int Number(ReadOnlySpan<byte> page, ref int at, int bytes)
    {
        int value = 0;
        for (int i = 0; i < bytes; i++)
            value |= Next(page, ref at) << (8 * i);
        return value;
    }

    private static byte Next(ReadOnlySpan<byte> page, ref int at) => at < page.Length ? page[at++] : throw Damaged();

    private static InvalidDataException Damaged() => new("a compressed page is damaged");
}
