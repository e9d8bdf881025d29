using System.Text;
using Perenos.Runs;

namespace Perenos.Text.Data;

/// <summary>
/// Lines of a UTF-8 file, one at a time, counted, with a bound on their length: a compressed file of a few kilobytes may hold one line of gigabytes.
/// Only a line feed ends a line; a byte-order mark at the start is dropped.
/// </summary>
internal sealed class LineReader(Stream stream, string file) : IDisposable
{
    /// <summary>The longest line (or record) that is read, in bytes.</summary>
    public const int LongestLine = 64 << 20;

    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private byte[] _buffer = new byte[64 << 10];
    private int _start;
    private int _end;
    private bool _isAtEnd;

    /// <summary>Number of the line that was read last; the first is 1.</summary>
    public long Line { get; private set; }

    /// <summary>The next line without its line feed (a carriage return before it is kept), or null at the end.</summary>
    public string? ReadRaw()
    {
        int searched = 0;
        while (true)
        {
            int length = _buffer.AsSpan(_start + searched, _end - _start - searched).IndexOf((byte)'\n');
            if (length >= 0)
                return Take(searched + length, searched + length + 1);

            searched = _end - _start;
            if (_isAtEnd)
                return searched == 0 ? null : Take(searched, searched);
            if (searched > LongestLine)
            {
                throw new PerenosException($"{file}:{Line + 1}: the line is longer than {LongestLine >> 20} MiB.",
                    "Is this really a text file with one record a line? Split it into smaller records.");
            }

            Fill();
        }
    }

    /// <summary>The next line without its line end (LF or CRLF), or null at the end.</summary>
    public string? Read() => ReadRaw() is { } line ? line.EndsWith('\r') ? line[..^1] : line : null;

    public void Dispose() => stream.Dispose();

    private void Fill()
    {
        if (_start > 0)
        {
            Buffer.BlockCopy(_buffer, _start, _buffer, 0, _end - _start);
            (_start, _end) = (0, _end - _start);
        }

        if (_end == _buffer.Length)
            Array.Resize(ref _buffer, _buffer.Length * 2);
        try
        {
            int read = stream.Read(_buffer, _end, _buffer.Length - _end);
            _isAtEnd = read == 0;
            _end += read;
        }
        catch (InvalidDataException exception)
        {
            throw new PerenosException($"{file}: the compressed data are damaged after line {Line}.", "Fetch the file again; test it with gzip -t.", exception);
        }
    }

    private string Take(int length, int advance)
    {
        Line++;
        var bytes = _buffer.AsSpan(_start, length);
        _start += advance;
        if (Line == 1)
        {
            if (bytes is [0xFF, 0xFE, ..] or [0xFE, 0xFF, ..])
                throw new PerenosException($"{file}: the file is UTF-16, but UTF-8 is needed.", $"Convert it: iconv -f UTF-16 -t UTF-8 {file}");
            if (bytes is [0xEF, 0xBB, 0xBF, ..])
                bytes = bytes[3..];
        }

        try
        {
            return StrictUtf8.GetString(bytes);
        }
        catch (DecoderFallbackException exception)
        {
            throw new PerenosException($"{file}:{Line}: the line is not valid UTF-8.",
                $"Convert the file, for example: iconv -f ISO-8859-1 -t UTF-8 {file}", exception);
        }
    }
}
