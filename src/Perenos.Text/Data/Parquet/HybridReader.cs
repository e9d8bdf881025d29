namespace Perenos.Text.Data.Parquet;

/// <summary>
/// Small numbers as runs and as packed bits (https://github.com/apache/parquet-format/blob/master/Encodings.md#RLE): levels, places in a
/// dictionary, truth values. One at a time: a run of a billion takes no memory.
/// </summary>
internal struct HybridReader
{
    private readonly byte[] _bytes;
    private readonly int _end;
    private readonly int _width;
    private int _at;
    private long _left;
    private bool _isPacked;
    private long _bit;
    private int _value;

    public HybridReader(byte[] bytes, int start, int length, int width)
    {
        if (width is < 0 or > 32 || length < 0 || start < 0 || length > bytes.Length - start)
            throw new InvalidDataException("a page's runs reach beyond its end");
        (_bytes, _at, _end, _width) = (bytes, start, start + length, width);
    }

    public int Next()
    {
        if (_width == 0)
            return 0;
        while (_left == 0)
            BeginRun();
        _left--;
        if (!_isPacked)
            return _value;
        uint value = 0;
        for (int i = 0; i < _width; i++, _bit++)
        {
            int place = (int)(_bit >> 3);
            if (place >= _end)
                throw new InvalidDataException("a page's runs end early");
            value |= (uint)(_bytes[place] >> (int)(_bit & 7) & 1) << i;
        }

        return (int)value;
    }

    private void BeginRun()
    {
        ulong head = 0;
        for (int shift = 0; ; shift += 7)
        {
            byte part = NextByte();
            head |= (ulong)(part & 0x7F) << shift;
            if (part < 0x80)
                break;
            if (shift > 28)
                throw new InvalidDataException("a page's run is too long");
        }

        _isPacked = (head & 1) != 0;
        if (_isPacked)
        {
            long groups = (long)(head >> 1);
            (_left, _bit) = (groups * 8, (long)_at << 3);
            // The last group may be cut to the bytes that count.
            _at = (int)Math.Min(_end, _at + groups * _width);
            return;
        }

        _left = (long)(head >> 1);
        _value = 0;
        for (int i = 0; i < (_width + 7) / 8; i++)
            _value |= NextByte() << (8 * i);
    }

    private byte NextByte() => _at < _end ? _bytes[_at++] : throw new InvalidDataException("a page's runs end early");
}
